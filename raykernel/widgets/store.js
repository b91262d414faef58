// The newest state of a view, as its Python model told it, and the questions asked back.
//
//   model.snapshot --+                  +--> a view in the widget's own place
//   custom messages -+--> Store --------+--> a view over the static form (host.js)
//   ask() <-- answers +
//
// A Store holds a whole snapshot and the deltas that fit onto it (delta.base is the version they
// start from; one that doesn't fit is dropped, the next snapshot heals it). Views share a Store
// with its camera and selection, so that one may be replaced without losing its place.

const stores = new Map();
const SEEN_EVERY = 5000; // ms

export class Store {
  constructor(model) {
    this.model = model;
    this.id = model.get("view_id");
    this.style = model.get("style_table");
    this.views = new Set();
    this.users = 0;
    this.asked = new Map(); // number of a question -> who waits for the answer
    this.number = 0;
    this.setUp();
    this.state = this.empty();
    this.take(model.get("snapshot"));
    this.onSnapshot = () => this.take(model.get("snapshot"));
    this.onMessage = (message) => this.hear(message);
    model.on("change:snapshot", this.onSnapshot);
    model.on("msg:custom", this.onMessage);
    // The kernel asks its engine for more only while somebody looks.
    this.seen = setInterval(() => {
      const looked = [...this.views].some((view) => view.root.isConnected);
      if (looked && !document.hidden) model.send({ seen: true });
    }, SEEN_EVERY);
  }

  static of(model) {
    const id = model.get("view_id");
    if (!stores.has(id)) stores.set(id, new this(model));
    const store = stores.get(id);
    store.users += 1;
    return store;
  }

  release() {
    this.users -= 1;
    if (this.users > 0) return;
    clearInterval(this.seen);
    this.model.off("change:snapshot", this.onSnapshot);
    this.model.off("msg:custom", this.onMessage);
    stores.delete(this.id);
  }

  /** For heirs: make what `replace` needs. */
  setUp() {}

  empty() {
    return { version: -1 };
  }

  take(snapshot) {
    if (!snapshot || snapshot.version === undefined) return;
    this.replace(snapshot);
    this.tell();
  }

  hear(message) {
    if (message.reply !== undefined) {
      const waiting = this.asked.get(message.reply);
      this.asked.delete(message.reply);
      if (waiting) waiting(message);
    } else if (message.base === this.state.version) {
      this.fold(message);
      this.tell();
    }
  }

  /** Ask the kernel for something; resolves with its answer, {refused} where it can't. */
  ask(ask, more = {}) {
    this.number += 1;
    const number = this.number;
    return new Promise((resolve) => {
      this.asked.set(number, resolve);
      this.model.send({ ask, number, ...more });
    });
  }

  /** For heirs: take over a whole state, fold in a change. */
  replace(snapshot) {
    this.state = snapshot;
  }

  fold(delta) {
    const { base, ...rest } = delta;
    Object.assign(this.state, rest);
  }

  tell() {
    for (const view of this.views) view.update();
  }
}
