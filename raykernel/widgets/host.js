// What anywidget wants of a view's module, and what all panels have.

import { element, keepKeys } from "./dom.js";
import { ending, Focus, inhabit, pageIsLab } from "./place.js";

/** What anywidget wants of a module: `makeStore(model)` and `makeView(store)` draw the view. */
export function widget(makeStore, makeView) {
  return {
    initialize({ model, signal }) {
      const store = makeStore(model);
      model.send({ hello: "model" });
      const leave = inhabit(store, makeView);
      return ending(signal, () => {
        leave();
        store.release();
      });
    },

    render({ model, el, signal }) {
      const store = makeStore(model);
      const view = makeView(store);
      el.append(view.root);
      model.send({ hello: pageIsLab() ? "in place" : "view" });
      return ending(signal, () => {
        view.destroy();
        store.release();
      });
    },
  };
}

/** A view made of the page's own elements, with a bar on top. Who extends it builds the rest, then begins. */
export class Panel {
  constructor(store, kind) {
    this.store = store;
    this.root = element("div", `raykernel-view raykernel-${kind}`);
    keepKeys(this.root);
    this.root.setAttribute("role", "group");
    this.bar = element("div", "rk-bar", this.root);
    this.focus = new Focus(this.root);
  }

  begin() {
    this.store.views.add(this);
    this.update();
  }

  destroy() {
    this.store.views.delete(this);
    this.root.remove();
  }

  refocus() {
    this.focus.restore();
  }
}
