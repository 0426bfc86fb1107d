/* Verdict: the one line that says whether all hold the same.

Rule 1. The word is the server's, from the versions and digests of the replicas: CONVERGED, or APART. Who lacks how much
        of whom is read off the versions that they reported; those who know the same are named together. DIVERGED is the alarm: the same events, read differently.
Rule 2. Where the server is gone the line says so; what is below it may be old. */

import { found, say, set } from "./element.js";
import { counted, written } from "./model.js";

const TOLD = 3;

export class Verdict {
  constructor(model) {
    this.model = model;
    model.watch("verdict standing replicas reset", () => this.show());
    setInterval(() => this.#fault(), 1000);
  }

  show() {
    const { verdict, there, seen } = this.model;
    const gone = found("gone");
    gone.hidden = there || !seen;
    say(gone, gone.hidden ? "" : "The server of this page is gone: what is shown may be old. It is tried again; start it with: make demo-web");
    if (!verdict) return;
    const alarms = verdict.alarms ?? [];
    const word = !there ? "GONE" : alarms.length ? "DIVERGED" : verdict.converged ? "CONVERGED" : "APART";
    set(found("verdict"), "data-word", word);
    say(found("verdict-word"), word);
    say(found("verdict-text"), there ? this.#words(verdict) : "no answer from the server of this page");
    const alarm = found("alarm");
    alarm.hidden = !alarms.length;
    say(alarm, alarms.map((one) => one.what).join(" "));
    this.#fault();
  }

  #words({ converged, digest }) {
    const down = [...this.model.replicas.values()].filter((one) => !one.up).map((one) => one.name);
    const asleep = down.length ? ` · ${down.join(", ")} ${down.length === 1 ? "is" : "are"} down` : "";
    if (converged) return `all who are up read the same · ${digest ?? ""}${asleep}`;
    const told = lacks(this.model.up());
    if (!told.length) told.push("they hold the same events, and have not all told what they read");
    const more = told.length - TOLD;
    return `${told.slice(0, TOLD).join(" · ")}${more > 0 ? ` · and ${more} more` : ""}${asleep}`;
  }

  #fault() {
    const fault = this.model.verdict?.fault;
    const seconds = fault ? Math.max(0, Math.round((Date.now() - fault) / 1000)) : null;
    say(found("verdict-fault"), seconds === null ? "" : `last fault ${seconds < 90 ? `${seconds} s` : `${Math.round(seconds / 60)} min`} ago`);
  }
}

/** Who lacks what others hold, in words: a line for two groups of replicas that do not know the same. */
function lacks(replicas) {
  const groups = new Map();
  for (const { name, version } of replicas) {
    const key = written(version);
    if (!groups.has(key)) groups.set(key, { names: [], version });
    groups.get(key).names.push(name);
  }
  const told = [];
  for (const here of groups.values()) {
    for (const there of groups.values()) {
      const missing = Object.entries(there.version).reduce((sum, [name, seq]) => sum + Math.max(0, seq - (here.version[name] ?? 0)), 0);
      if (missing) told.push(`${here.names.join(", ")} ${here.names.length > 1 ? "lack" : "lacks"} ${counted(missing, "event")} of ${there.names.join(", ")}`);
    }
  }
  return told;
}
