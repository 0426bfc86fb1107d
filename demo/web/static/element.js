/* Element: how things are put on the page. Text comes in as text only: what replicas hold is nobody's markup. */

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes (`onclick` and the like are listeners) and children. */
export function element(name, attributes = {}, ...children) {
  return made(document.createElement(name), attributes, children);
}

export function drawn(name, attributes = {}, ...children) {
  return made(document.createElementNS(SVG, name), attributes, children);
}

function made(one, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) one.addEventListener(key.slice(2), value);
    else if (value === true) one.setAttribute(key, "");
    else if (value !== false && value !== undefined && value !== null) one.setAttribute(key, value);
  }
  one.append(...children.filter((child) => child !== null && child !== undefined));
  return one;
}

export function found(id) {
  return document.getElementById(id);
}

/** Set a text, where it is another one: nothing is laid out, and nothing is read aloud, for what is the same. */
export function say(one, text) {
  if (one.textContent !== text) one.textContent = text;
}

export function set(one, name, value) {
  if (one.getAttribute(name) !== String(value)) one.setAttribute(name, value);
}

/** Make the children of a list those of `wanted`, by key: what stays, stays where it is, with its focus. */
export function keyed(list, wanted, key, make, update) {
  const old = new Map([...list.children].map((child) => [child.dataset.key, child]));
  let at = list.firstElementChild;
  for (const item of wanted) {
    const name = key(item);
    let child = old.get(name);
    old.delete(name);
    if (child === undefined) {
      child = make(item);
      child.dataset.key = name;
    }
    if (child === at) at = at.nextElementSibling;
    else list.insertBefore(child, at);
    update?.(child, item);
  }
  for (const child of old.values()) child.remove();
}
