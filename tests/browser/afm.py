"""A front end with anywidget's interface (AFM) and nothing else, as VS Code and Colab offer it.

The page's models answer to `get`, `set`, `on`, `off`, `save_changes` and `send`; any other name is
an error, and so is any address it would have to fetch. Messages take their time in both directions.
What a view asks is answered by its Python model here.
"""

from __future__ import annotations

import json
from typing import Any

from playwright.sync_api import Page

from raykernel.runtime.engines.base import Engine
from raykernel.widgets import modules
from raykernel.widgets.cluster import ClusterView
from raykernel.widgets.graph import GraphView
from raykernel.widgets.logs import LogView
from raykernel.widgets.memory import MemoryView
from raykernel.widgets.picture import SIZES
from raykernel.widgets.style import FUNCTIONS, STORE
from raykernel.widgets.subject import Subject, reply, style_table
from raykernel.widgets.timeline import TimelineView

STYLE = style_table(stops=True, sizes=SIZES, functions=FUNCTIONS, store=STORE)
SHEETS = {
    "graph": GraphView._css,
    "timeline": TimelineView._css,
    "cluster": ClusterView._css,
    "memory": MemoryView._css,
    "logs": LogView._css,
}

#: No scripts, styles or pictures from anywhere, as in a notebook without a network.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'unsafe-inline'; img-src data:"
)

HOST = """
() => {
  const strict = (thing, names, what) => new Proxy(thing, {
    get(target, name) {
      if (typeof name === "symbol" || name === "then" || name === "toJSON") return undefined;
      if (!names.includes(name)) throw new Error(`${what} has no ${String(name)}`);
      return typeof target[name] === "function" ? target[name].bind(target) : target[name];
    },
    set(_, name) { throw new Error(`${what}.${String(name)} can't be set`); },
  });
  for (const name of ["jupyterapp", "jupyterlab", "Jupyter", "IPython", "google", "requirejs",
                      "acquireVsCodeApi"]) {
    Object.defineProperty(window, name, {
      get() { throw new Error(`window.${name} is not there everywhere`); },
    });
  }
  const later = (act) => setTimeout(act, 20);

  class Model {
    constructor(state) { this.state = state; this.heard = {}; this.asked = []; }
    get(name) { return structuredClone(this.state[name]); }
    set(name, value) { this.state[name] = value; }
    save_changes() {}
    on(name, act) { (this.heard[name] ??= []).push(act); }
    off(name, act) {
      this.heard[name] = (this.heard[name] || []).filter((other) => act && other !== act);
    }
    send(content) {
      this.asked.push(content);
      later(async () => {
        const answer = await window.toKernel(JSON.stringify(content));
        if (answer) later(() => this.emit("msg:custom", JSON.parse(answer), []));
      });
    }
    emit(name, ...told) { for (const act of this.heard[name] || []) act(...told); }
    change(name, value) { this.state[name] = value; this.emit(`change:${name}`); }
    listeners() { return Object.values(this.heard).reduce((n, acts) => n + acts.length, 0); }
  }

  window.host = {
    async load(source, css, state) {
      const style = document.createElement("style");
      style.textContent = css;
      document.head.append(style);
      const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
      const widget = (await import(address)).default;
      this.widget = typeof widget === "function" ? await widget() : widget;
      this.model = new Model(state);
      const names = ["get", "set", "on", "off", "save_changes", "send"];
      this.given = strict(this.model, names, "the model");
      this.views = [];
      this.born = new AbortController();
      const about = { model: this.given, signal: this.born.signal };
      const known = ["model", "signal", "experimental"];
      this.forget = await this.widget.initialize?.(strict(about, known, "AFM"));
    },
    /** As front ends do: the element is put into the page after the view was drawn into it. */
    async render() {
      const el = document.createElement("div"), life = new AbortController();
      const about = { model: this.given, el, signal: life.signal };
      const leave = await this.widget.render(
        strict(about, ["model", "el", "signal", "experimental"], "AFM"));
      document.querySelector("main").append(el);
      this.views.push({ el, life, leave });
    },
  };
}
"""


class Host:
    """One page with one view's model."""

    def __init__(self, page: Page, theme: str = "") -> None:
        self.page = page
        self.errors: list[str] = []
        self.fetched: list[str] = []
        self.subject: Subject | None = None
        self.engine: Engine | None = None
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        page.on("request", lambda request: self.fetched.append(request.url))
        page.expose_function("toKernel", self.hear)
        page.set_content(
            f"<!doctype html><html><head><meta charset='utf-8'>"
            f"<meta http-equiv='Content-Security-Policy' content=\"{POLICY}\"></head>"
            f"<body><main></main></body></html>"
        )
        page.evaluate(HOST)
        if theme:
            page.evaluate(theme)

    def open(self, subject: Subject, engine: Engine | None, *, late: bool = False) -> None:
        """Load a view's module; `late`: what it shows comes after it was drawn."""
        self.subject, self.engine = subject, engine
        state = {
            "view_id": f"{subject.kind}-1",
            "style_table": json.loads(json.dumps(STYLE)),
            "snapshot": {} if late else subject.snapshot(),
        }
        self.load(modules.bundle(f"{subject.kind}.js"), SHEETS[subject.kind], state)

    def load(self, source: str, css: str, state: dict[str, Any]) -> None:
        self.page.evaluate("(all) => host.load(...all)", [source, css, state])

    def render(self) -> None:
        self.page.evaluate("() => host.render()")

    def change(self, name: str, value: Any) -> None:
        self.page.evaluate("(all) => host.model.change(...all)", [name, value])

    def tell(self, message: dict[str, Any]) -> None:
        self.page.evaluate("(told) => host.model.emit('msg:custom', told, [])", message)

    def hear(self, content: str) -> str | None:
        question = json.loads(content)
        if self.subject is None or not question.get("ask"):
            return None
        return json.dumps(reply(self.subject, question, self.engine))
