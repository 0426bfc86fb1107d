/* Model: what was reported, and nothing else.

Rule 1. A report replaces or adds; the page computes no present and no merge of its own. What it derives is what
        events and versions say of each other: past, future, concurrent, not yet everywhere.
Rule 2. An event is named by its dot, `alice:3`. Events of one replica are kept in the order of their seqs, without
        gaps, so that a version cuts each of these rows in two.
Rule 3. Reports come faster than screens are painted. Each marks what has changed; once a frame, whoever shows that
        is called.
Rule 4. One knowledge, one hue. It begins at the hash of the version; where replicas that know different things would
        look alike, the later one moves on. */

export class Model {
  replicas = new Map();
  links = [];
  logs = new Map();
  moments = [];
  lessons = [];
  lesson = null;
  verdict = null;
  there = false;
  seen = false;
  #changed = new Set();
  #watchers = [];
  #painting = false;
  #hues = new Map();

  /** Call `show` in the frame after one of these has changed. */
  watch(topics, show) {
    this.#watchers.push([topics.split(" "), show]);
  }

  changed(topic) {
    this.#changed.add(topic);
    if (this.#painting) return;
    this.#painting = true;
    requestAnimationFrame(() => {
      this.#painting = false;
      const topics = this.#changed;
      this.#changed = new Set();
      for (const [wanted, show] of this.#watchers) if (wanted.some((one) => topics.has(one))) show(topics);
    });
  }

  standing(there) {
    this.there = there;
    this.changed("standing");
  }

  take(report) {
    this[`_${report.type}`]?.(report);
  }

  _hello({ replicas, links, lessons, lesson, verdict }) {
    this.replicas.clear();
    this.logs.clear();
    this.moments = [];
    this.links = links;
    this.lessons = lessons;
    this.lesson = lesson;
    this.verdict = verdict;
    this.seen = true;
    for (const one of replicas) this._replica(one);
    for (const topic of ["links", "lessons", "lesson", "verdict", "events", "reset"]) this.changed(topic);
  }

  _replica(report) {
    const known = this.replicas.get(report.name);
    if (known === undefined) this.changed("members");
    this.replicas.set(report.name, { ...known, ...report });
    this.log(report.name);
    this.changed("replicas");
    this.changed("events");
    this.changed(`replica ${report.name}`);
  }

  _link(report) {
    const at = this.links.findIndex((one) => one.a === report.a && one.b === report.b);
    if (at < 0) this.links.push(report);
    else this.links[at] = report;
    this.changed("links");
  }

  _events({ events }) {
    for (const event of events) {
      const log = this.log(event.replica);
      if (event.seq <= log.length) continue;
      if (event.seq > log.length + 1) throw new Error(`${event.replica}:${event.seq} was reported before the event that it follows`);
      log.push(event);
      this.moments.push({ to: event.replica, from: event.replica, first: event.seq, last: event.seq });
    }
    this.changed("events");
  }

  _delivered({ to, from, first, last }) {
    this.moments.push({ to, from, first, last });
    this.changed("events");
  }

  _verdict(report) {
    this.verdict = report;
    this.changed("verdict");
  }

  _lesson({ lesson }) {
    this.lesson = lesson;
    this.changed("lesson");
  }

  /** The events of one replica, in the order of their seqs. */
  log(name) {
    if (!this.logs.has(name)) this.logs.set(name, []);
    return this.logs.get(name);
  }

  /** The replicas whose processes run. */
  up() {
    return [...this.replicas.values()].filter((one) => one.up);
  }

  /** Where each log is cut by an event: up to `past` before it, from `future` on after it. */
  cone(event) {
    const cuts = new Map();
    for (const [name, log] of this.logs) {
      if (name === event.replica) cuts.set(name, { past: event.seq - 1, future: event.seq + 1 });
      else cuts.set(name, { past: event.context[name] ?? 0, future: firstAt(log, (one) => (one.context[event.replica] ?? 0) >= event.seq) + 1 });
    }
    return cuts;
  }

  /** The names of the replicas that do not hold an event. */
  lacking(event) {
    return [...this.replicas.values()].filter((one) => (one.version[event.replica] ?? 0) < event.seq).map((one) => one.name);
  }

  /** The seq up to which all hold what a replica has written. */
  everywhere(name) {
    let least = Infinity;
    for (const one of this.replicas.values()) least = Math.min(least, one.version[name] ?? 0);
    return least;
  }

  /** The hue of a version: 0 to 360. */
  hue(version) {
    const key = written(version);
    const known = this.#hues.get(key);
    if (known !== undefined) return known;
    const others = [...this.replicas.values()].map((one) => this.#hues.get(written(one.version))).filter((hue) => hue !== undefined);
    let hue = hashed(key) % 360;
    for (let tries = 0; tries < 12 && others.some((other) => Math.abs(((hue - other + 540) % 360) - 180) < 40); tries++) {
      hue = (hue + 47) % 360;
    }
    this.#hues.set(key, hue);
    if (this.#hues.size > 5000) this.#hues.delete(this.#hues.keys().next().value);
    return hue;
  }
}

/** A version in words: `alice:3 bob:7`. */
export function written(version) {
  return Object.entries(version).filter(([, seq]) => seq).sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, seq]) => `${name}:${seq}`).join(" ");
}

/** A value in words, on one line. */
export function shown(value) {
  return typeof value === "string" ? `“${value}”` : JSON.stringify(value) ?? "nothing";
}

/** How many and of what: `1 event`, `3 events`. */
export function counted(many, what) {
  return `${many.toLocaleString("en")} ${what}${many === 1 ? "" : "s"}`;
}

function hashed(text) {
  let hash = 2166136261;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 16777619);
  return (hash ^ (hash >>> 15)) >>> 0;
}

/** Where a row begins to hold; its length where it never does. */
export function firstAt(row, holds) {
  let low = 0, high = row.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(row[middle])) high = middle;
    else low = middle + 1;
  }
  return low;
}
