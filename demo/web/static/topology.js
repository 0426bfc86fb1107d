/* Topology: the replicas in a ring, and the links between them.

Rule 1. A click (or Enter) on a link cuts it, or heals it where it is not whole. Its other states are chosen below the
        ring, or with the arrow keys while the link has the focus.
Rule 2. The picture shows what was reported: a link looks cut when the server says that it is.
Rule 3. Colour is knowledge, and never alone: below each name stands how many events it lacks (▼) and how many
        somebody else lacks (▲). */

import { counted, written } from "./model.js";
import { drawn, element, found, say, set } from "./element.js";

const WIDE = 440, HIGH = 350, ROUND = 38;
const ASIDE = 26;
/* Links between opposite replicas would all cross in the middle: they pass it by so much, so that each can be hit. */
const STATES = [
  ["up", "Up"],
  ["down", "Down"],
  ["a-to-b", "Only →"],
  ["b-to-a", "Only ←"],
  ["slow", "Slow"],
  ["lossy", "Lossy"],
];

export class Topology {
  #chosen = null;
  #nodes = new Map();
  #edges = new Map();

  constructor(model, does) {
    this.model = model;
    this.does = does;
    this.edges = drawn("g");
    this.nodes = drawn("g");
    this.words = drawn("g", { class: "words", "aria-hidden": "true" });
    found("ring").append(drawn("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "group", "aria-label": "Replicas and links" }, this.edges, this.nodes, this.words));
    found("split").addEventListener("click", () => does("split"));
    found("heal").addEventListener("click", () => does("heal"));
    found("add").addEventListener("click", () => does("add"));
    model.watch("members links reset", () => this.arrange());
    model.watch("members links replicas reset standing", () => this.show());
  }

  /** Put whatever is there in its place. */
  arrange() {
    const names = [...this.model.replicas.keys()];
    const places = new Map(names.map((name, at) => {
      const half = names.length / 2, turn = (at / names.length) * 2 * Math.PI - Math.PI / 2;
      const aside = names.length % 2 || names.length < 4 ? 0 : ASIDE * (at < half ? 1 : -1);
      const [x, y] = [Math.cos(turn), Math.sin(turn)];
      return [name, [WIDE / 2 + x * (WIDE / 2 - 76) - y * aside, HIGH / 2 + y * (HIGH / 2 - 66) + x * aside]];
    }));
    this.#keep(this.#nodes, new Set(names), this.nodes, (name) => this.#node(name));
    const links = new Map(this.model.links.map((link) => [`${link.a} ${link.b}`, link]));
    this.#keep(this.#edges, new Set(links.keys()), this.edges, (key) => this.#edge(key));
    for (const [name, { group, words }] of this.#nodes) {
      for (const one of [group, words]) set(one, "transform", `translate(${places.get(name).map(Math.round).join(" ")})`);
    }
    for (const [key, edge] of this.#edges) {
      const [from, to] = key.split(" ").map((name) => places.get(name));
      if (!from || !to) continue;
      const long = Math.hypot(to[0] - from[0], to[1] - from[1]);
      const [x, y] = [((to[0] - from[0]) / long) * (ROUND + 9), ((to[1] - from[1]) / long) * (ROUND + 9)];
      for (const line of [edge.line, edge.hit]) {
        for (const [name, value] of Object.entries({ x1: from[0] + x, y1: from[1] + y, x2: to[0] - x, y2: to[1] - y })) set(line, name, value.toFixed(1));
      }
      set(edge.mark, "transform", `translate(${(from[0] + to[0]) / 2} ${(from[1] + to[1]) / 2}) rotate(${(Math.atan2(to[1] - from[1], to[0] - from[0]) * 180) / Math.PI})`);
    }
    const [kind, key] = this.#chosen ?? [];
    if (!(kind === "link" ? this.#edges : this.#nodes).has(key)) this.#chosen = names.length ? ["replica", names[0]] : null;
    this.#choices();
  }

  #keep(held, wanted, into, make) {
    for (const [key, { group, words }] of held) {
      if (wanted.has(key)) continue;
      group.remove();
      words?.remove();
      held.delete(key);
    }
    for (const key of wanted) {
      if (held.has(key)) continue;
      const made = make(key);
      held.set(key, made);
      into.append(made.group);
    }
  }

  #node(name) {
    const label = drawn("text", { class: "name", y: -3 });
    const counts = drawn("text", { class: "counts", y: 15 });
    const circle = drawn("circle", { r: ROUND });
    const group = drawn("g", { class: "node", role: "button", tabindex: 0 }, drawn("circle", { class: "halo", r: ROUND + 5 }), circle);
    const words = drawn("g", {}, label, counts);
    this.words.append(words);
    pressed(group, () => this.choose("replica", name));
    label.textContent = name;
    return { group, words, counts, circle };
  }

  #edge(key) {
    const line = drawn("line", { class: "line" });
    const hit = drawn("line", { class: "hit" });
    const mark = drawn("g", { class: "mark" });
    const group = drawn("g", { class: "edge", role: "button", tabindex: 0 }, hit, line, mark);
    pressed(group, () => {
      this.choose("link", key);
      this.turn(key, this.#link(key).state === "up" ? "down" : "up");
    });
    group.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const at = STATES.findIndex(([state]) => state === this.#link(key).state);
      this.choose("link", key);
      this.turn(key, STATES[(at + step + STATES.length) % STATES.length][0]);
    });
    group.addEventListener("focus", () => this.choose("link", key));
    return { group, line, hit, mark };
  }

  #link(key) {
    return this.model.links.find((one) => `${one.a} ${one.b}` === key);
  }

  turn(key, state) {
    const { a, b } = this.#link(key);
    this.does("link", { a, b, state });
  }

  choose(kind, key) {
    if (this.#chosen?.[0] === kind && this.#chosen[1] === key) return;
    this.#chosen = [kind, key];
    this.#choices();
    this.show();
  }

  /** What can be done to the chosen replica or link. */
  #choices() {
    const box = found("chosen");
    if (!this.#chosen) return box.replaceChildren();
    const [kind, key] = this.#chosen;
    if (kind === "link") {
      const { a, b } = this.#link(key);
      const states = STATES.map(([state, words]) => element("button", {
        type: "button", "data-state": state, onclick: () => this.turn(key, state),
      }, words.replace("Only →", `${a} → ${b}`).replace("Only ←", `${b} → ${a}`)));
      box.replaceChildren(element("strong", {}, `${a} – ${b}`), element("div", { class: "row", role: "group", "aria-label": `State of the link ${a} – ${b}` }, ...states));
    } else {
      const life = element("button", { type: "button", class: "life", onclick: () => this.does(this.model.replicas.get(key).up ? "kill" : "restart", { replica: key }) });
      box.replaceChildren(
        element("strong", {}, key), element("span", { class: "facts" }),
        element("div", { class: "row", role: "group", "aria-label": `What can happen to ${key}` },
          element("button", { type: "button", onclick: () => this.does("isolate", { replica: key }) }, `Isolate ${key}`), life),
      );
    }
    this.#choice();
  }

  #choice() {
    const [kind, key] = this.#chosen ?? [];
    const box = found("chosen");
    if (kind === "link") {
      const link = this.#link(key);
      for (const button of box.querySelectorAll("button")) set(button, "aria-pressed", button.dataset.state === link?.state);
    } else if (kind === "replica") {
      const one = this.model.replicas.get(key);
      say(box.querySelector(".life"), `${one.up ? "Kill -9" : "Restart"} ${key}`);
      say(box.querySelector(".facts"), `${written(one.version) || "nothing yet"} · ${counted(one.events, "event")} · ${sized(one.bytes)}${one.due ? ` · ${counted(one.due, "command")} due` : ""}`);
    }
  }

  show() {
    for (const [name, { group, words, counts, circle }] of this.#nodes) {
      const one = this.model.replicas.get(name);
      if (!one) continue;
      circle.style.setProperty("--hue", this.model.hue(one.version));
      for (const each of [group, words]) each.classList.toggle("down", !one.up);
      group.classList.toggle("chosen", this.#chosen?.[1] === name);
      say(counts, one.up ? (one.behind || one.ahead ? `▼${one.behind} ▲${one.ahead}` : "in step") : "is down");
      set(group, "aria-pressed", this.#chosen?.[1] === name);
      set(group, "aria-label", `Replica ${name}: ${one.up ? `${one.behind} behind, ${one.ahead} ahead` : "is down"}, at ${written(one.version)}`);
    }
    for (const [key, { group, mark }] of this.#edges) {
      const link = this.#link(key);
      if (!link || group.dataset.state === link.state && group.classList.contains("chosen") === (this.#chosen?.[1] === key)) continue;
      group.dataset.state = link.state;
      group.classList.toggle("chosen", this.#chosen?.[1] === key);
      set(group, "aria-label", `Link ${link.a} – ${link.b}: ${inWords(link)}`);
      mark.replaceChildren(...SIGNS[link.state].map((path) => drawn("path", { d: path })));
    }
    this.#choice();
  }
}

const SIGNS = {
  up: [],
  down: ["M-7-7 7 7M7-7-7 7"],
  "a-to-b": ["M-7-7 2 0-7 7", "M8-8V8"],
  "b-to-a": ["M7-7-2 0 7 7", "M-8-8V8"],
  slow: ["M0-8a8 8 0 1 0 .1 0", "M0-4V0H4"],
  lossy: ["M-9 0h3M-2 0h3M6 0h3"],
};

function inWords({ a, b, state }) {
  return { up: "up", down: "down", "a-to-b": `only ${a} to ${b}`, "b-to-a": `only ${b} to ${a}`, slow: "slow", lossy: "lossy" }[state];
}

function sized(bytes) {
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

function pressed(group, call) {
  group.addEventListener("click", call);
  group.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    call();
  });
}
