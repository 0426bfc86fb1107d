/* Time: a slider for each replica, over the past that it holds.

Rule 1. A place of the slider is a number of events, in the order of their stamps: a cut that holds all causes of what
        it holds. The replica itself reads its past there.
Rule 2. A past is only read. *Fork here* starts a new replica, a process of its own, that begins at that cut; *join*
        takes in what the other one holds.
Rule 3. While the slider moves one question is under way, and then the last one that was meant. */

import { element, say, set } from "./element.js";
import { written } from "./model.js";

export class Time {
  past = null;
  #wanted = null;
  #asking = false;

  /** `changed()` is called when another past is to be shown. */
  constructor(name, model, feed, does, changed) {
    this.name = name;
    this.model = model;
    this.feed = feed;
    this.does = does;
    this.changed = changed;
    this.slider = element("input", { type: "range", min: 0, "aria-label": `Time at ${name}`, oninput: () => this.go() });
    this.words = element("output", { class: "quiet" });
    this.now = element("button", { type: "button", onclick: () => this.back(), "aria-label": `Now at ${name}` }, "Now");
    this.fork = element("button", { type: "button", "aria-label": `Fork here at ${name}`, onclick: () => this.#fork() }, "Fork here");
    this.join = element("button", { type: "button", onclick: () => this.#join() });
    this.box = element("div", { class: "time" }, this.slider, element("div", { class: "row" }, this.words, this.now, this.fork, this.join));
  }

  show(replica) {
    set(this.slider, "max", replica.events ?? 0);
    if (!this.past && !this.#asking) this.slider.value = replica.events ?? 0;
    set(this.slider, "aria-valuetext", this.past ? `${this.past.index} of ${this.past.of} events` : "now");
    say(this.words, this.past ? `${this.past.index} of ${this.past.of} · ${written(this.past.version)}` : "now");
    this.now.hidden = !this.past;
    this.slider.disabled = this.fork.disabled = this.join.disabled = !replica.up;
    this.join.hidden = !replica.fork;
    say(this.join, replica.fork ? `Join ${replica.fork}` : "");
    set(this.join, "aria-label", `Join ${replica.fork} at ${this.name}`);
  }

  back() {
    this.past = null;
    this.#wanted = null;
    this.slider.value = this.slider.max;
    this.changed();
    this.slider.focus();
  }

  go() {
    const index = Number(this.slider.value);
    if (index >= Number(this.slider.max)) {
      this.past = null;
      this.#wanted = null;
      this.changed();
      return;
    }
    this.#wanted = index;
    if (!this.#asking) this.#ask();
  }

  async #ask() {
    this.#asking = true;
    try {
      while (this.#wanted !== null) {
        const index = this.#wanted;
        this.#wanted = null;
        const past = await this.feed.ask("at", { replica: this.name, index });
        if (Number(this.slider.value) < Number(this.slider.max)) this.past = past;
        this.changed();
      }
    } catch (error) {
      this.does.failed(error);
    } finally {
      this.#asking = false;
    }
  }

  #fork() {
    this.does("fork", { replica: this.name, index: this.past?.index ?? Number(this.slider.max) });
  }

  #join() {
    this.does("join", { replica: this.name, into: this.model.replicas.get(this.name).fork });
  }
}
