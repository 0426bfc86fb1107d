/* Feed: the one connection to the server of this page.

Rule 1. Everything that is shown came in here. The page asks nothing else of anybody, and of nobody else.
Rule 2. Asking is one message with a number; its answer has the same number. What is asked while nobody is there to
        answer fails at once, in words.
Rule 3. A connection that ends is tried again, later each time, up to four seconds. Until then the page says that what
        it shows may be old. A new connection begins with `hello`, which replaces all that was known. */

const LONGEST = 4000;
const PATIENCE = 20000;

export class Feed {
  #asked = new Map();
  #number = 0;
  #socket = null;
  #wait = 250;

  /** `heard(message)` is called for each report; `standing(isThere)` when the connection comes or goes. */
  constructor(heard, standing) {
    this.#heard = heard;
    this.#standing = standing;
    this.#connect();
  }

  #heard;
  #standing;

  #connect() {
    const token = new URLSearchParams(location.search).get("token") ?? "";
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/feed?token=${encodeURIComponent(token)}`);
    this.#socket = socket;
    socket.addEventListener("open", () => {
      this.#wait = 250;
      this.#standing(true);
    });
    socket.addEventListener("message", ({ data }) => this.#take(JSON.parse(data)));
    socket.addEventListener("close", () => {
      this.#standing(false);
      for (const { fail } of this.#asked.values()) fail(new Error("The server of this page is gone: nothing was asked."));
      this.#asked.clear();
      setTimeout(() => this.#connect(), this.#wait);
      this.#wait = Math.min(this.#wait * 2, LONGEST);
    });
  }

  #take(message) {
    if (message.type !== "answer") {
      this.#heard(message);
      return;
    }
    const waiting = this.#asked.get(message.id);
    this.#asked.delete(message.id);
    if (!waiting) return;
    if (message.error === undefined) waiting.answer(message.answer);
    else waiting.fail(new Error(message.error));
  }

  /** Ask for something to be done; the promise is its answer, or fails with the reason in words. */
  ask(what, fields = {}) {
    if (this.#socket?.readyState !== WebSocket.OPEN) {
      return Promise.reject(new Error("The server of this page is gone; nothing was done."));
    }
    const id = ++this.#number;
    return new Promise((answer, fail) => {
      const timer = setTimeout(() => {
        this.#asked.delete(id);
        fail(new Error("There was no answer; what was asked may still be done."));
      }, PATIENCE);
      const over = (call) => (value) => (clearTimeout(timer), call(value));
      this.#asked.set(id, { answer: over(answer), fail: over(fail) });
      this.#socket.send(JSON.stringify({ id, do: what, ...fields }));
    });
  }
}
