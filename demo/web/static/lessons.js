/* Lessons: scenario files, played step by step by the replicas on this page.

Rule 1. A step is taken when somebody asks for it: `n` next, `p` all that are left, `q` leave. A key counts where
        nobody is typing.
Rule 2. What came of a step is what the server reports: a step that did not go as it should says so, and so does the
        verdict at the end.
Rule 3. Any scenario file can be dropped onto the page, or opened with the button; what makes no sense is refused in
        words before anything is played. */

import { element, found, keyed, say, set } from "./element.js";

export class Lessons {
  #playing = false;

  constructor(model, does) {
    this.model = model;
    this.does = does;
    found("lesson-next").addEventListener("click", () => this.next());
    found("lesson-play").addEventListener("click", () => this.play());
    found("lesson-stop").addEventListener("click", () => this.leave());
    found("scenario-file").addEventListener("change", ({ target }) => {
      if (target.files[0]) this.open(target.files[0]);
      target.value = "";
    });
    document.addEventListener("keydown", (event) => this.#key(event));
    document.addEventListener("dragover", (event) => (event.preventDefault(), document.body.classList.add("dropping")));
    document.addEventListener("dragleave", (event) => event.relatedTarget === null && document.body.classList.remove("dropping"));
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      document.body.classList.remove("dropping");
      if (event.dataTransfer.files[0]) this.open(event.dataTransfer.files[0]);
    });
    model.watch("lessons reset", () => this.list());
    model.watch("lesson reset", () => this.show());
  }

  list() {
    keyed(found("lesson-list"), this.model.lessons, (one) => one.name, ({ name, title, text }) =>
      element("button", { type: "button", title: text, onclick: () => this.begin({ name }) }, element("kbd", { "aria-hidden": "true" }), element("span", {}, title)));
    [...found("lesson-list").children].forEach((button, at) => say(button.firstElementChild, String(at + 1)));
  }

  async begin(which) {
    if (await this.does("lesson", which)) found("lesson-next").focus();
  }

  async open(file) {
    this.begin({ scenario: await file.text() });
  }

  next() {
    const { lesson } = this.model;
    return lesson && !lesson.done ? this.does("next") : Promise.resolve(false);
  }

  async play() {
    if (this.#playing) return;
    this.#playing = true;
    try {
      while (await this.next()) await new Promise((go) => setTimeout(go, 500));
    } finally {
      this.#playing = false;
    }
  }

  leave() {
    if (this.model.lesson) this.does("stop");
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
    if (event.key === "n") this.next();
    else if (event.key === "p" && this.model.lesson) this.play();
    else if (event.key === "q") this.leave();
    else if (/^[1-9]$/.test(event.key) && this.model.lessons[event.key - 1]) this.begin({ name: this.model.lessons[event.key - 1].name });
  }

  show() {
    const { lesson } = this.model;
    found("lesson").hidden = !lesson;
    for (const button of found("lesson-list").children) set(button, "aria-pressed", button.dataset.key === lesson?.name);
    if (!lesson) return;
    const { title, text, rule, step, steps, came, done, held } = lesson;
    say(found("lesson-name"), title);
    say(found("lesson-text"), text);
    say(found("lesson-count"), `Step ${step} of ${steps.length}`);
    const told = steps.slice(0, step).filter((one) => one.say);
    say(found("lesson-say"), told.length ? told[told.length - 1].say : "Press n for the first step.");
    say(found("lesson-verdict"), done ? (held ? `All ${steps.length} steps went as they should. ${rule}` : `Not as it should be: step ${came.filter((one) => !one.held).map((one) => one.number).join(", ")}.`) : "");
    set(found("lesson-verdict"), "data-held", done ? held : "");
    found("lesson-next").disabled = found("lesson-play").disabled = done;
    const list = found("lesson-steps");
    keyed(list, steps.map((one, at) => ({ ...one, at })), ({ at }) => `${title} ${at}`, ({ text: words }) => element("li", {}, element("span", {}, words), element("span", { class: "came quiet" })), (row, { at }) => {
      const result = came.find((one) => one.number === at + 1);
      row.className = at + 1 === step ? "at" : at < step ? "past" : "";
      if (result) {
        row.classList.toggle("failed", !result.held);
        say(row.lastElementChild, result.came);
      }
    });
    const at = list.children[step - 1];
    if (at) list.scrollTop = at.offsetTop - list.offsetTop - list.clientHeight / 2;
  }
}
