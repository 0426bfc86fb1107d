/* Why: what a replica says of how a value came to be.

Rule 1. The words come from the replica's explanation, made from its log: who wrote what, who had not seen what, the
        rule, what is read, what has lost.
Rule 2. What has lost is still in the log. *Restore* records it once more, as a new fact that has seen all there is.
Rule 3. The panel is closed with Escape, and gives the focus back to what opened it. */

import { element, found } from "./element.js";
import { shown } from "./model.js";

export class Why {
  #opener = null;

  constructor(does, feed) {
    this.does = does;
    this.feed = feed;
    found("why-close").addEventListener("click", () => this.close());
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !found("why").hidden) this.close();
    });
  }

  close() {
    found("why").hidden = true;
    document.body.classList.remove("asks");
    if (this.#opener?.isConnected) this.#opener.focus();
    this.#opener = null;
  }

  open(title, ...body) {
    if (found("why").hidden) this.#opener = document.activeElement;
    found("why-title").textContent = title;
    found("why-body").replaceChildren(...body);
    found("why").hidden = false;
    document.body.classList.add("asks");
    found("why-title").focus();
  }

  /** Explain a value of a stream, as a replica reads it. */
  async ask(replica, stream, path) {
    try {
      const told = await this.feed.ask("explain", { replica, stream, path });
      this.open(`Why ${path.replace("/", ": ") || stream}, at ${replica}`, ...this.#told(replica, told));
    } catch (error) {
      this.open("Why", element("p", {}, error.message));
    }
  }

  #told(replica, told) {
    const body = [element("p", { class: "value" }, shown(told.value)), element("p", { class: "rule" }, element("strong", {}, "The rule: "), told.rule)];
    body.push(...this.#acts("Is read", told.read, "won"));
    body.push(...this.#acts("Has lost, and is kept", told.lost, "lost", (act) => element("button", {
      type: "button", "aria-label": `Restore ${act.dot}`, onclick: async () => ((await this.does("restore", { replica, dot: act.dot })) ? this.close() : null),
    }, "Restore")));
    body.push(...this.#acts("Was seen, and replaced", told.earlier, "earlier"));
    if (told.shares?.length) {
      body.push(element("h3", {}, "Who gave what"), element("ul", { class: "acts" }, ...told.shares.map((one) => element("li", {}, `${shown(one.value)} by ${one.author} (${one.dot})`))));
    }
    for (const part of told.parts ?? []) body.push(element("h3", {}, part.path ?? ""), ...this.#told(replica, part));
    return body;
  }

  #acts(title, acts, kind, more) {
    if (!acts?.length) return [];
    return [element("h3", {}, title), element("ul", { class: "acts" }, ...acts.map((act) => element("li", { class: kind },
      element("span", {}, element("strong", {}, act.author), ` ${act.did}`),
      element("span", { class: "quiet" }, `${act.dot}, ${timed(act.time)}${act.unseen?.length ? `, not having seen ${act.unseen.join(" ")}` : ""}`),
      more?.(act))))];
  }

  /** Show one event. */
  event(event, lacking) {
    const { replica, seq, stream, event: type, time, context, payload, cause } = event;
    const rows = [["Event", type], ["Stream", stream], ["Written at", timed(time)], ["Had seen", Object.entries(context).map(([name, at]) => `${name}:${at}`).join(" ") || "nothing"], ["Not yet at", lacking.join(", ") || "nobody: all have it"]];
    if (cause) rows.push(["Because of", cause]);
    this.open(`${replica}:${seq}`,
      element("dl", {}, ...rows.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value ?? "")])),
      element("h3", {}, "Payload"), element("pre", { tabindex: 0, "aria-label": "Payload" }, JSON.stringify(payload, null, 2)));
  }
}

export function timed(time) {
  if (time === undefined || time === null) return "";
  return typeof time === "number" ? new Date(time).toISOString().slice(11, 23) : String(time);
}
