// Where views live: in the widget's own place, and over the static form that a saved file shows.

/** Front ends call what a module returned, abort the signal they gave it, or both: once is meant. */
export function ending(signal, act) {
  let ended = false;
  const end = () => {
    if (!ended) act();
    ended = true;
  };
  signal?.addEventListener("abort", end, { once: true });
  return end;
}

/** Draw the live view over every static form of this view, now and later in this page. */
export function inhabit(store, makeView) {
  const selector = `[data-raykernel-view="${CSS.escape(store.id)}"]`;
  const homes = new Map();
  const settle = (home) => {
    if (homes.has(home)) return;
    let view = null;
    for (const [left, tenant] of homes) {
      if (left.isConnected) continue;
      homes.delete(left);
      if (view) tenant.destroy();
      else view = tenant; // moves as it is: nothing flickers when an output is updated
    }
    view = view || makeView(store);
    homes.set(home, view);
    home.classList.add("rk-inhabited");
    home.append(view.root);
    view.refocus?.();
    store.model.send({ hello: "in place" });
  };
  const search = (node) => {
    if (node.nodeType !== Node.ELEMENT_NODE) return;
    if (node.matches(selector)) settle(node);
    for (const home of node.querySelectorAll(selector)) settle(home);
  };
  const observer = new MutationObserver((records) => {
    for (const record of records) record.addedNodes.forEach(search);
  });
  observer.observe(document.body, { childList: true, subtree: true });
  search(document.body);
  return () => {
    observer.disconnect();
    for (const [home, view] of homes) {
      view.destroy();
      home.classList.remove("rk-inhabited");
    }
  };
}

/** Remembers what had the focus and how far boxes were scrolled, as a move to another place in the
 *  page takes both away. */
export class Focus {
  constructor(root) {
    this.last = null;
    this.blurred = Infinity;
    this.places = new Map(); // a box -> its scrollTop
    root.addEventListener("scroll", ({ target }) => this.places.set(target, target.scrollTop), true);
    root.addEventListener("focusin", (event) => {
      this.last = event.target;
      this.blurred = Infinity;
    });
    root.addEventListener("focusout", () => { this.blurred = performance.now(); });
  }

  restore() {
    for (const [box, top] of this.places) {
      if (box.isConnected) box.scrollTop = top;
      else this.places.delete(box);
    }
    const lost = this.last && document.activeElement === document.body;
    if (lost && !(performance.now() - this.blurred > 100)) this.last.focus({ preventScroll: true });
  }
}

/** Whether outputs share one document with the widgets, as `inhabit` needs it. */
export function pageIsLab() {
  return document.querySelector(".jp-Notebook, .jp-CodeConsole") !== null;
}
