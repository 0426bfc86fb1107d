/* Panes: what each replica reads, and where it is written.

Rule 1. A pane shows the presents that its replica reported. What is written goes to that replica, and is seen when the
        replica reports it; a refusal is told in its words.
Rule 2. What is not yet shared, some replica lacking an event of it, has a mark, in words and in shape as well as in colour.
Rule 3. A replica that is down keeps its pane, with what it last reported, and says so.
Rule 4. A field in which somebody has typed is not written over before that was sent. Lists are changed by key, and long ones show
        their latest rows. */

import { element, found, keyed, say, set } from "./element.js";
import { counted, written } from "./model.js";
import { Time } from "./time.js";

const ROWS = 40;
const PARTY = "party/summer";

export class Panes {
  #panes = new Map();

  constructor(model, feed, does, why) {
    this.model = model;
    this.parts = { model, feed, does, why };
    model.watch("members reset", () => this.arrange());
    model.watch("replicas members reset standing", (topics) => this.show(topics));
  }

  arrange() {
    const names = [...this.model.replicas.keys()];
    for (const name of this.#panes.keys()) if (!this.model.replicas.has(name)) this.#panes.delete(name);
    for (const name of names) if (!this.#panes.has(name)) this.#panes.set(name, new Pane(name, this.parts));
    keyed(found("panes"), names, (name) => name, (name) => this.#panes.get(name).box);
  }

  show(topics) {
    const all = topics.has("members") || topics.has("reset") || topics.has("standing");
    if (topics.has("reset")) for (const { time } of this.#panes.values()) time.past = null;
    for (const [name, pane] of this.#panes) if (all || topics.has(`replica ${name}`)) pane.show();
  }
}

class Pane {
  constructor(name, { model, feed, does, why }) {
    Object.assign(this, { name, model, does, why });
    this.title = this.#field("title", "Title", (text) => does("write", { replica: name, stream: PARTY, command: "NameParty", fields: { name: text } }));
    this.item = element("input", { "aria-label": `New item at ${name}`, placeholder: "Add an item", maxlength: 80, required: true });
    this.items = element("ul", { class: "items", "aria-label": `Shopping list at ${name}` });
    this.more = element("p", { class: "quiet" });
    this.purse = element("output", { class: "number", "aria-label": `Counter at ${name}` });
    this.note = element("textarea", { rows: 3, "aria-label": `Note at ${name}`, maxlength: 4000, oninput: typed, onchange: () => this.#noted() });
    this.orders = element("ul", { class: "orders", "aria-label": `Orders at ${name}` });
    this.stock = element("span", { class: "quiet" });
    this.state = element("span", { class: "state" });
    this.version = element("p", { class: "version quiet" });
    this.time = new Time(name, model, feed, does, () => this.show());
    this.marks = {};
    this.readNote = "";
    this.box = element("article", { class: "pane", "aria-label": `Replica ${name}` },
      element("header", {}, element("h3", {}, element("i", { class: "hue", "aria-hidden": "true" }), name), this.state),
      this.version,
      this.#part("name", "Title", PARTY, "name", this.title.form),
      this.#part("items", "Shopping list", PARTY, "items",
        element("form", { class: "row", onsubmit: (event) => this.#add(event) }, this.item, element("button", { "aria-label": `Add the item at ${name}` }, "Add")), this.items, this.more),
      this.#part("purse", "Counter", PARTY, "purse", element("div", { class: "row counter" },
        ...[-10, -1].map((by) => this.#count(by)), this.purse, ...[1, 10].map((by) => this.#count(by)))),
      this.#part("note", "Note", PARTY, "note", this.note),
      this.#part("orders", "Orders", "", "", element("div", { class: "row" }, this.stock,
        element("button", { type: "button", "aria-label": `+1 lamp at ${name}`, onclick: () => does("write", { replica: name, stream: "stock/lamp", command: "ReceiveStock", fields: { pieces: 1 } }) }, "+1 lamp"),
        element("button", { type: "button", "aria-label": `Order a lamp at ${name}`, onclick: () => does("write", { replica: name, command: "CreateOrder", fields: { product: "lamp", price: 50, customer: name } }) }, "Order a lamp")), this.orders),
      this.time.box);
  }

  #part(key, title, stream, path, ...children) {
    const mark = (this.marks[key] = element("span", { class: "unshared", hidden: true }, "unshared"));
    const why = path ? element("button", { type: "button", class: "ask", "aria-label": `Why ${title.toLowerCase()} at ${this.name}`, onclick: () => this.why.ask(this.name, stream, path) }, "why?") : null;
    return element("div", { class: "part" }, element("div", { class: "label" }, element("h4", {}, title), mark, why), ...children);
  }

  #field(key, title, write) {
    const input = element("input", { "aria-label": `${title} at ${this.name}`, maxlength: 120, placeholder: "no title yet", oninput: typed });
    const form = element("form", { class: "row", onsubmit: (event) => {
      event.preventDefault();
      input.dataset.typed = "";
      write(input.value);
    } }, input, element("button", { "aria-label": `Set the ${title.toLowerCase()} at ${this.name}` }, "Set"));
    return { input, form };
  }

  #count(by) {
    const words = by > 0 ? `+${by}` : `−${-by}`;
    return element("button", { type: "button", "aria-label": `${words} at ${this.name}`, onclick: () => this.does("write", { replica: this.name, stream: PARTY, command: "AddMoney", fields: { amount: by } }) }, words);
  }

  async #add(event) {
    event.preventDefault();
    const item = this.item.value.trim();
    if (item && (await this.does("write", { replica: this.name, stream: PARTY, command: "AddItem", fields: { item } }))) this.item.value = "";
  }

  /** What was typed, as one edit of what the replica reads by now. */
  #noted() {
    const fields = edit(this.readNote, this.note.value);
    const since = edit(this.readNote, this.model.replicas.get(this.name).presents?.party?.note ?? "");
    if (since.at + since.delete <= fields.at) fields.at += since.insert.length - since.delete;
    this.note.dataset.typed = "";
    fields.insert = fields.insert.join("");
    if (fields.delete || fields.insert) this.does("write", { replica: this.name, stream: PARTY, command: "EditNote", fields });
  }

  show() {
    const one = this.model.replicas.get(this.name);
    if (!one) return;
    const past = this.time.past, presents = (past ?? one).presents ?? {};
    this.box.style.setProperty("--hue", this.model.hue(past?.version ?? one.version));
    this.box.classList.toggle("down", !one.up);
    this.box.classList.toggle("past", past !== null);
    say(this.state, past ? "the past" : one.up ? standing(one) : "is down");
    say(this.version, written(past?.version ?? one.version));
    this.#locked(past !== null || !one.up || !this.model.there);
    this.#read(presents, new Set(past ? [] : one.unshared ?? []));
    this.time.show(one);
  }

  #locked(locked) {
    if (this.lock === locked) return;
    this.lock = locked;
    for (const control of this.box.querySelectorAll(".part input, .part textarea, .part button:not(.ask)")) control.disabled = locked;
  }

  #read({ party = {}, orders = [], stock = {} }, unshared) {
    if (!this.title.input.dataset.typed) put(this.title.input, party.name ?? "");
    if (!this.note.dataset.typed) {
      this.readNote = party.note ?? "";
      put(this.note, this.readNote);
    }
    say(this.purse, String(party.purse ?? 0));
    const items = party.items ?? [];
    keyed(this.items, items.slice(-ROWS), String, (item) => this.#row(item), (row, item) => row.classList.toggle("new", unshared.has(`items/${item}`)));
    say(this.more, items.length > ROWS ? `and ${counted(items.length - ROWS, "item")} before these` : items.length ? "" : "nothing on the list");
    keyed(this.orders, orders.slice(-ROWS), (order) => order.id, (order) => this.#order(order), (row, order) => {
      say(row.querySelector(".stage"), order.stage + (order.reason ? `: ${order.reason}` : ""));
      set(row, "data-stage", order.stage);
      row.classList.toggle("new", unshared.has(`order/${order.id}`));
    });
    const lamp = stock.lamp;
    say(this.stock, lamp ? `${lamp.pieces} in stock, ${lamp.reserved} kept` : "no lamps yet");
    const paths = [...unshared];
    for (const key of ["name", "purse", "note"]) this.marks[key].hidden = !unshared.has(key);
    this.marks.items.hidden = !paths.some((path) => path.startsWith("items"));
    this.marks.orders.hidden = !paths.some((path) => path.startsWith("order/") || path.startsWith("stock/"));
  }

  #row(item) {
    return element("li", {},
      element("button", { type: "button", class: "value ask", "aria-label": `Why ${item} at ${this.name}`, onclick: () => this.why.ask(this.name, PARTY, `items/${item}`) }, item),
      element("button", { type: "button", class: "remove", disabled: this.lock, "aria-label": `Remove ${item} at ${this.name}`, onclick: () => this.does("write", { replica: this.name, stream: PARTY, command: "RemoveItem", fields: { item } }) }, "✕"));
  }

  #order({ id, product, customer }) {
    return element("li", {},
      element("button", { type: "button", class: "value ask", "aria-label": `Why ${id}: ${product} for ${customer} at ${this.name}`, onclick: () => this.why.ask(this.name, `order/${id}`, "") }, `${id}: ${product} for ${customer}`),
      element("span", { class: "stage" }));
  }
}

function standing({ behind, ahead }) {
  return behind || ahead ? `${behind} behind, ${ahead} ahead` : "in step";
}

/** Somebody has typed here, and has not sent it. */
function typed({ target }) {
  target.dataset.typed = "yes";
}

/** Set what a field holds, and leave the caret where it was. */
function put(field, text) {
  if (field.value === text) return;
  const { selectionStart, selectionEnd } = field;
  field.value = text;
  if (document.activeElement === field) field.setSelectionRange(Math.min(selectionStart, text.length), Math.min(selectionEnd, text.length));
}

/** What makes one text of another, in code points: what is the same at both ends stays untouched. */
function edit(before, after) {
  const [old, now] = [[...before], [...after]], shorter = Math.min(old.length, now.length);
  let start = 0, end = 0;
  while (start < shorter && old[start] === now[start]) start++;
  while (end < shorter - start && old[old.length - 1 - end] === now[now.length - 1 - end]) end++;
  return { at: start, delete: old.length - start - end, insert: now.slice(start, now.length - end) };
}
