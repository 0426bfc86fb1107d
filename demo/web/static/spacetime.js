/* Space and time: one lane a replica, events as dots, deliveries as slanted lines.

Rule 1. Time runs to the right in the order in which things were reported; an event never stands before what it has
        seen. A lane has the colour of what its replica knew there, so a partition is two colours, and a heal is one.
Rule 2. A run, what one replica wrote while nothing else happened, is one longer dot. Beyond DENSE events runs go on
        across the deliveries of the same events.
Rule 3. What some replica lacks is hollow, with a grey dashed line that does not arrive.
Rule 4. Only what is in sight is drawn, once a frame at most. What the pointer or the keys are at is drawn on a sheet
        of its own above: what is before it, after it, and at once with it, as the contexts of the events say.
Rule 5. Whatever the pointer can do, the keys can, and the event is told in words. */

import { element, found, say, set } from "./element.js";
import { counted, firstAt, shown } from "./model.js";

const DENSE = 500, EDGE = 84, TOP = 30, LISTED = 60;
const ROOM = 340, NARROW = 46, WIDE = 84;
/* Lanes share the room, each between narrow and wide. */
const STEPS = [2, 5, 11, 22, 40];

export class SpaceTime {
  #runs = [];
  #byReplica = new Map();
  #deliveries = [];
  #lanes = new Map();
  #taken = 0;
  #x = 0;
  #open = false;
  #step = 3;
  #at = null;
  #painting = false;
  #scrolled = 0;
  #follows = true;

  constructor(model, why) {
    this.model = model;
    this.why = why;
    this.box = found("diagram");
    this.sheet = element("canvas", { "aria-hidden": "true" });
    this.above = element("canvas", { "aria-hidden": "true" });
    this.spacer = element("div", { class: "spacer" });
    this.box.append(element("div", { class: "sheets" }, this.sheet, this.above), this.spacer);
    this.box.addEventListener("scroll", () => {
      this.#follow(this.box.scrollLeft + this.box.clientWidth >= this.box.scrollWidth - 24);
      this.paint();
    });
    this.box.addEventListener("pointermove", (event) => this.go(this.#near(event)));
    this.box.addEventListener("click", (event) => (this.go(this.#near(event)), this.#show()));
    this.box.addEventListener("keydown", (event) => this.#key(event));
    found("follow").addEventListener("click", () => this.#follow(!this.#follows));
    found("zoom-in").addEventListener("click", () => this.#zoom(1));
    found("zoom-out").addEventListener("click", () => this.#zoom(-1));
    found("event-list").addEventListener("toggle", () => this.#list());
    new ResizeObserver(() => this.paint()).observe(this.box);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.paint());
    model.watch("reset", () => this.#reset());
    model.watch("events members replicas reset", () => {
      this.#take();
      this.#list();
      this.paint();
    });
  }

  #reset() {
    this.#runs = [];
    this.#deliveries = [];
    this.#byReplica.clear();
    this.#lanes.clear();
    this.#taken = this.#x = 0;
    this.#open = false;
    this.#at = null;
    say(found("event-words"), "");
    this.#take();
    this.paint();
  }

  // --- where things stand ---

  #lane(name) {
    if (!this.#lanes.has(name)) this.#lanes.set(name, { knows: {}, stretches: [] });
    return this.#lanes.get(name);
  }

  #runsOf(name) {
    if (!this.#byReplica.has(name)) this.#byReplica.set(name, []);
    return this.#byReplica.get(name);
  }

  #take() {
    const { moments } = this.model;
    const dense = moments.length > DENSE;
    for (; this.#taken < moments.length; this.#taken++) {
      const moment = moments[this.#taken];
      if (moment.to === moment.from) this.#wrote(moment);
      else this.#heard(moment, dense);
      const lane = this.#lane(moment.to);
      lane.knows = { ...lane.knows, [moment.from]: Math.max(moment.last, lane.knows[moment.from] ?? 0) };
      const last = lane.stretches[lane.stretches.length - 1];
      if (last?.x === this.#x) Object.assign(last, { version: lane.knows, hue: undefined });
      else lane.stretches.push({ x: this.#x, version: lane.knows });
    }
  }

  #wrote({ from, first }) {
    const last = this.#runs[this.#runs.length - 1];
    if (this.#open && last?.replica === from && this.#same(from, first)) {
      last.last = first;
      return;
    }
    this.#x++;
    const run = { x: this.#x, replica: from, first, last: first };
    this.#runs.push(run);
    this.#runsOf(from).push(run);
    this.#open = true;
  }

  /** Has an event seen nothing that the one before it had not? */
  #same(name, seq) {
    const log = this.model.log(name), before = log[seq - 2]?.context, here = log[seq - 1].context;
    return before !== undefined && [...this.model.logs.keys()].every((one) => one === name || (before[one] ?? 0) === (here[one] ?? 0));
  }

  #heard({ to, from, first, last }, dense) {
    const run = this.#runs[this.#runs.length - 1], before = this.#deliveries[this.#deliveries.length - 1];
    const fresh = run && run.replica === from && last >= run.first && Math.floor(this.#x) === run.x;
    if (!(fresh && dense)) this.#open = false;
    if (fresh) this.#x = run.x + 0.6;
    else if (!before || before.x2 !== this.#x || run?.x === this.#x) this.#x = Math.floor(this.#x) + 1;
    if (dense && fresh) this.#x = run.x;
    const x2 = dense && fresh ? run.x + 0.6 : this.#x;
    if (before && before.to === to && before.from === from && before.x2 === x2 && before.last === first - 1) before.last = last;
    else this.#deliveries.push({ x1: this.#runAt(from, last)?.x ?? x2, x2, to, from, first, last });
  }

  #runAt(name, seq) {
    const runs = this.#runsOf(name);
    return runs[firstAt(runs, (run) => run.last >= seq)];
  }

  get #high() {
    return Math.max(NARROW, Math.min(WIDE, ROOM / Math.max(1, this.model.replicas.size)));
  }

  get #names() {
    return [...this.model.replicas.keys()];
  }

  #left(x) {
    return EDGE + x * STEPS[this.#step] - this.#scrolled;
  }

  // --- painting ---

  #follow(follows) {
    this.#follows = follows;
    set(found("follow"), "aria-pressed", follows);
    if (follows) this.paint();
  }

  #zoom(by) {
    const step = Math.min(STEPS.length - 1, Math.max(0, this.#step + by));
    const middle = (this.box.scrollLeft + this.box.clientWidth / 2 - EDGE) / STEPS[this.#step];
    this.#step = step;
    this.#size();
    if (!this.#follows) this.box.scrollLeft = middle * STEPS[step] + EDGE - this.box.clientWidth / 2;
    this.paint();
  }

  #size() {
    const wide = `${EDGE + (this.#x + 2) * STEPS[this.#step] + 40}px`, high = `${TOP + this.#names.length * this.#high}px`;
    if (this.spacer.style.width !== wide) this.spacer.style.width = wide;
    if (this.box.style.height !== high) this.box.style.height = high;
  }

  paint() {
    if (this.#painting) return;
    this.#painting = true;
    requestAnimationFrame(() => {
      this.#painting = false;
      this.#size();
      if (this.#follows) this.box.scrollLeft = this.box.scrollWidth;
      this.#scrolled = this.box.scrollLeft;
      this.#paintAll();
      this.#paintAt();
    });
  }

  #clean(canvas) {
    const wide = this.box.clientWidth, high = this.box.clientHeight, sharp = devicePixelRatio || 1;
    if (canvas.width !== Math.round(wide * sharp) || canvas.height !== Math.round(high * sharp)) {
      canvas.width = Math.round(wide * sharp);
      canvas.height = Math.round(high * sharp);
      canvas.style.width = `${wide}px`;
      canvas.style.height = `${high}px`;
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(sharp, 0, 0, sharp, 0, 0);
    pen.clearRect(0, 0, wide, high);
    return pen;
  }

  #paintAll() {
    const pen = this.#clean(this.sheet), style = getComputedStyle(this.box), wide = this.box.clientWidth;
    const colour = (name) => style.getPropertyValue(name).trim();
    const names = this.#names, height = new Map(names.map((name, at) => [name, TOP + at * this.#high]));
    const [light, strong] = [colour("--know-light"), colour("--know-strong")];
    const now = this.#left(this.#x + 1);
    for (const name of names) this.#paintLane(pen, name, height.get(name), Math.min(now, wide), `${light} ${strong}`);
    pen.strokeStyle = colour("--line-strong");
    pen.lineWidth = 1;
    pen.globalAlpha = STEPS[this.#step] < 8 ? 0.45 : 0.8;
    pen.beginPath();
    const drawnTo = new Map();
    for (let at = firstAt(this.#deliveries, ({ x2 }) => this.#left(x2) >= EDGE); at < this.#deliveries.length; at++) {
      const { x1, x2, from, to } = this.#deliveries[at], a = this.#left(x1), b = this.#left(x2);
      if (a > wide) continue;
      const key = `${from} ${to}`;
      if (!height.has(from) || !height.has(to) || drawnTo.get(key) >= Math.round(b / 2)) continue;
      drawnTo.set(key, Math.round(b / 2));
      pen.moveTo(a, height.get(from));
      pen.lineTo(b, height.get(to));
    }
    pen.stroke();
    pen.globalAlpha = 1;
    this.#paintLacking(pen, height, now, colour("--quiet"));
    const ink = colour("--ink"), paper = colour("--surface"), everywhere = new Map(names.map((name) => [name, this.model.everywhere(name)]));
    this.#visible((run, x) => {
      const y = height.get(run.replica);
      if (y !== undefined) dot(pen, x, y, run, run.last > everywhere.get(run.replica) ? paper : ink, ink, STEPS[this.#step]);
    });
    pen.fillStyle = paper;
    pen.fillRect(0, 0, EDGE - 14, this.box.clientHeight);
    pen.font = `600 13px ${style.fontFamily}`;
    pen.textBaseline = "middle";
    for (const name of names) {
      const one = this.model.replicas.get(name);
      pen.fillStyle = one.up ? ink : colour("--quiet");
      pen.fillText(name.length > 9 ? `${name.slice(0, 8)}…` : name, 10, height.get(name) - (one.up ? 0 : 6));
      pen.font = `11px ${style.fontFamily}`;
      if (!one.up) pen.fillText("is down", 10, height.get(name) + 9);
      pen.font = `600 13px ${style.fontFamily}`;
    }
  }

  #paintLane(pen, name, y, end, tone) {
    const { stretches } = this.#lane(name);
    pen.lineWidth = 5;
    for (let at = Math.max(0, firstAt(stretches, ({ x }) => this.#left(x) >= EDGE) - 1); at < stretches.length; at++) {
      const from = Math.max(EDGE - 14, this.#left(stretches[at].x));
      if (from > end) break;
      let next = at + 1;
      while (next < stretches.length - 1 && this.#left(stretches[next].x) - from < 3) next++;
      const to = next < stretches.length ? Math.min(end, this.#left(stretches[next].x)) : end;
      pen.strokeStyle = `oklch(${tone} ${(stretches[next - 1].hue ??= this.model.hue(stretches[next - 1].version))})`;
      pen.beginPath();
      pen.moveTo(from, y);
      pen.lineTo(to, y);
      pen.stroke();
      at = next - 1;
    }
  }

  #paintLacking(pen, height, now, grey) {
    pen.strokeStyle = grey;
    pen.setLineDash([4, 4]);
    pen.beginPath();
    for (const one of this.model.replicas.values()) {
      for (const [name, log] of this.model.logs) {
        const run = (one.version[name] ?? 0) < log.length ? this.#runAt(name, (one.version[name] ?? 0) + 1) : undefined;
        if (!run || !height.has(name)) continue;
        const from = height.get(name), to = height.get(one.name);
        pen.moveTo(Math.max(EDGE - 14, this.#left(run.x)), from);
        pen.lineTo(now, from + (to - from) * 0.8);
      }
    }
    pen.stroke();
    pen.setLineDash([]);
  }

  /** Call with each run in sight, but for those that would lie on another one of their lane. */
  #visible(call) {
    const step = STEPS[this.#step], last = (this.#scrolled + this.box.clientWidth) / step;
    const before = new Map();
    for (let at = firstAt(this.#runs, ({ x }) => x >= (this.#scrolled - 20) / step); at < this.#runs.length && this.#runs[at].x <= last; at++) {
      const run = this.#runs[at], x = this.#left(run.x);
      if (x - (before.get(run.replica) ?? -9) < 2) continue;
      before.set(run.replica, x);
      call(run, x);
    }
  }

  #paintAt() {
    const pen = this.#clean(this.above);
    if (!this.#at) return;
    const style = getComputedStyle(this.box), names = this.#names, cuts = this.model.cone(this.#at);
    const tones = Object.fromEntries(["past", "future", "concurrent"].map((one) => [one, style.getPropertyValue(`--${one}`).trim()]));
    pen.beginPath();
    pen.rect(EDGE - 14, 0, this.box.clientWidth, this.box.clientHeight);
    pen.clip();
    this.#visible((run, x) => {
      const y = names.indexOf(run.replica) * this.#high + TOP, { past, future } = cuts.get(run.replica);
      if (y < TOP || (run.replica === this.#at.replica && run.first <= this.#at.seq && run.last >= this.#at.seq)) return;
      const tone = tones[run.last <= past ? "past" : run.first >= future ? "future" : "concurrent"];
      dot(pen, x, y, run, tone, tone, STEPS[this.#step]);
    });
    const run = this.#runAt(this.#at.replica, this.#at.seq), y = names.indexOf(this.#at.replica) * this.#high + TOP;
    pen.strokeStyle = style.getPropertyValue("--focus").trim();
    pen.lineWidth = 3;
    pen.beginPath();
    pen.arc(this.#left(run.x), y, 11, 0, 7);
    pen.stroke();
  }

  // --- pointing ---

  #near({ clientX, clientY }) {
    const box = this.box.getBoundingClientRect(), names = this.#names;
    const name = names[Math.min(names.length - 1, Math.max(0, Math.round((clientY - box.top - TOP) / this.#high)))];
    const wanted = (clientX - box.left + this.box.scrollLeft - EDGE) / STEPS[this.#step];
    const runs = this.#runsOf(name);
    let near = null;
    for (let low = 0, high = runs.length; low <= high && high;) {
      const middle = Math.min(runs.length - 1, (low + high) >> 1), run = runs[middle];
      if (!near || Math.abs(run.x - wanted) < Math.abs(near.x - wanted)) near = run;
      if (run.x < wanted) low = middle + 1;
      else high = middle - 1;
    }
    return near && Math.abs(near.x - wanted) * STEPS[this.#step] < 24 ? this.model.log(name)[near.last - 1] : null;
  }

  go(event) {
    if (event === this.#at || event === undefined) return;
    this.#at = event;
    say(found("event-words"), event ? this.#words(event) : "");
    requestAnimationFrame(() => this.#paintAt());
  }

  #words(event) {
    let before = 0, after = 0, at = 0;
    for (const [name, { past, future }] of this.model.cone(event)) {
      const all = this.model.log(name).length;
      before += past;
      after += Math.max(0, all - future + 1);
      at += Math.max(0, Math.min(all, future - 1) - past);
    }
    const lacking = this.model.lacking(event);
    return `${event.replica}:${event.seq} ${event.event} ${brief(event.payload)} · ${before} before it, ${after} after it, ${at - 1} at once with it · ${lacking.length ? `not yet at ${lacking.join(", ")}` : "all have it"}`;
  }

  #show() {
    if (this.#at) this.why.event(this.#at, this.model.lacking(this.#at));
  }

  #key(event) {
    const names = this.#names;
    const { replica, seq } = this.#at ?? { replica: names[0], seq: 0 };
    const log = this.model.log(replica);
    const lane = (by) => {
      for (let at = names.indexOf(replica) + by; names[at] !== undefined; at += by) {
        const x = this.#runAt(replica, seq)?.x ?? 0, runs = this.#runsOf(names[at]);
        if (runs.length) return this.model.log(names[at])[(runs.findLast((run) => run.x <= x) ?? runs[0]).last - 1];
      }
      return this.#at;
    };
    const moves = {
      ArrowRight: () => log[Math.min(log.length, seq + 1) - 1],
      ArrowLeft: () => log[Math.max(1, seq - 1) - 1],
      ArrowUp: () => lane(-1),
      ArrowDown: () => lane(1),
      Home: () => log[0],
      End: () => log[log.length - 1],
      Enter: () => (this.#show(), this.#at),
      Escape: () => null,
    };
    if (!moves[event.key]) return;
    event.preventDefault();
    this.go(moves[event.key]());
    if (!this.#at) return;
    const left = this.#left(this.#runAt(this.#at.replica, this.#at.seq).x);
    if (left < EDGE || left > this.box.clientWidth - 20) {
      this.#follow(false);
      this.box.scrollLeft += left - this.box.clientWidth / 2;
    }
  }

  #list() {
    if (!found("event-list").open) return;
    const latest = [];
    for (let at = this.model.moments.length - 1; at >= 0 && latest.length < LISTED; at--) {
      const { to, from, first } = this.model.moments[at];
      if (to === from) latest.push(this.model.log(from)[first - 1]);
    }
    found("event-rows").replaceChildren(...latest.map((event) => element("tr", {},
      element("th", { scope: "row" }, element("button", { type: "button", onclick: () => this.why.event(event, this.model.lacking(event)) }, `${event.replica}:${event.seq}`)),
      element("td", {}, `${event.event} ${brief(event.payload)}`), element("td", {}, event.stream), element("td", {}, this.model.lacking(event).join(", ") || "nobody"))));
    set(found("event-rows"), "aria-label", counted(latest.length, "event"));
  }
}

function brief(payload) {
  const words = Object.values(payload ?? {}).map(shown).join(" ");
  return words.length > 60 ? `${words.slice(0, 59)}…` : words;
}

function dot(pen, x, y, { first, last }, fill, edge, step) {
  const many = last - first + 1, round = step < 8 ? 2.5 : 5;
  pen.fillStyle = fill;
  pen.strokeStyle = edge;
  pen.lineWidth = step < 8 ? 1 : 2;
  pen.beginPath();
  if (many === 1 || step < 22) pen.arc(x, y, round, 0, 7);
  else pen.roundRect(x - 9, y - 8, 18, 16, 8);
  pen.fill();
  pen.stroke();
  if (many === 1 || step < 22) return;
  pen.font = "600 10px system-ui, sans-serif";
  pen.textAlign = "center";
  pen.textBaseline = "bottom";
  pen.fillStyle = edge;
  pen.fillText(`×${many}`, x, y - 9);
  pen.textAlign = "start";
}
