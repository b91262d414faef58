// The live timeline: draws what TimelineModel (timeline_model.py) says.
//
//   timeline_store.js    bars, lanes, the window on time, the selection
//   timeline_paint.js    one frame on the canvas
//   this file            the page around the canvas, pointer and keys

import { clock, count, duration, element, iconButton, inks, onTheme, show, stateChips, stopButton, textual, Voice, wordButton, write } from "./dom.js";
import { Focus, widget } from "./host.js";
import { AXIS, barFacts, LABELS, LANE_HEIGHT, laneTops, paintTimeline } from "./timeline_paint.js";
import { COUNT_OF, LANE, NAME, ROW, START, TimelineStore } from "./timeline_store.js";

const LOWEST = 120, HIGHEST = 420; // pixels
const CLOSEST = 20; // microseconds across the view at the deepest zoom
const FOLLOWED = 10e6; // microseconds in view while following

export class TimelineView {
  constructor(store) {
    this.store = store;
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    this.hovered = -1;
    this.waits = false;
    this.frame = 0;
    this.build();
    this.listen();
    store.views.add(this);
    this.update();
  }

  destroy() {
    this.store.views.delete(this);
    cancelAnimationFrame(this.frame);
    clearTimeout(this.again);
    this.resized.disconnect();
    this.untheme();
    this.root.remove();
  }

  build() {
    this.root = element("div", "raykernel-view raykernel-timeline");
    this.root.dataset.lmSuppressShortcuts = "true";
    const bar = element("div", "rk-bar", this.root);
    this.total = element("span", "rk-total", bar);
    this.chips = stateChips(bar, this.store.style.looks);
    const tools = element("span", "rk-tools", bar);
    this.stop = stopButton(tools, this.store);
    this.waiting = wordButton(tools, "Waiting", () => this.toggleWaits(), "Show how long each task waited");
    this.following = wordButton(tools, "Follow", () => this.toggleFollow(), "Keep the newest in view");
    iconButton(tools, "Zoom out (or Ctrl and scroll)", "M2 7h10", () => this.zoom(2));
    iconButton(tools, "Zoom in (or Ctrl and scroll)", "M2 7h10M7 2v10", () => this.zoom(0.5));
    iconButton(tools, "Show all", "M1.5 5V1.5H5M9 1.5h3.5V5M12.5 9v3.5H9M5 12.5H1.5V9", () => this.fit());
    this.stage = element("div", "rk-stage", this.root);
    this.canvas = element("canvas", "", this.stage);
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "application");
    this.canvas.setAttribute("aria-roledescription", "timeline");
    this.empty = textual("div", "Bars appear here as tasks run.", "rk-empty");
    this.stage.append(this.empty);
    this.tip = element("div", "rk-tip", this.stage);
    this.detail = element("div", "rk-detail", this.stage);
    show(this.tip, false);
    show(this.detail, false);
    this.voice = new Voice(this.root);
  }

  listen() {
    const canvas = this.canvas;
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.release(event));
    canvas.addEventListener("pointercancel", (event) => this.release(event));
    canvas.addEventListener("pointerleave", () => this.hover(-1));
    canvas.addEventListener("dblclick", (event) => this.zoomToBar(this.at(event.offsetX, event.offsetY)));
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("wheel", (event) => {
      // Scrolling past must scroll the page: zoom only when it is clearly meant.
      const focused = canvas.getRootNode().activeElement === canvas;
      if (!(event.ctrlKey || event.metaKey || focused)) return;
      event.preventDefault();
      if (event.shiftKey) this.pan(event.deltaY || event.deltaX, 0);
      else this.zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY)) / 120), event.offsetX);
    }, { passive: false });
    this.focus = new Focus(this.root);
    this.resized = new ResizeObserver(() => this.resize());
    this.resized.observe(this.stage);
    this.untheme = onTheme(() => {
      this.tile = null;
      this.dirty();
    });
  }

  refocus() {
    this.focus.restore();
  }

  update() {
    const { store } = this, { state } = store;
    write(this.total, count(state.total, "task"));
    this.chips(state.counts);
    show(this.empty, !store.bars.size);
    show(this.stop, store.style.stops && store.live());
    show(this.following, store.live() || store.follow);
    this.following.setAttribute("aria-pressed", String(store.follow));
    this.waiting.setAttribute("aria-pressed", String(this.waits));
    const words = `${count(state.total, "task")} in ${count(state.lanes.length, "lane")}`;
    this.canvas.setAttribute("aria-label",
      `Timeline, ${words}. Left and right walk through a lane's tasks, up and down change lanes, ` +
      "plus and minus zoom, shift and arrows move, 0 shows all.");
    this.voice.say(words, !store.live() && store.selected < 0);
    const [, height] = laneTops(state.lanes);
    const wanted = Math.max(LOWEST, Math.min(HIGHEST, AXIS + height + 8));
    if (this.stage.clientHeight !== wanted) this.stage.style.height = `${wanted}px`;
    this.showDetail();
    this.dirty();
  }

  resize() {
    const width = this.stage.clientWidth, height = this.stage.clientHeight;
    if (!width || !height) return;
    const sharp = window.devicePixelRatio || 1;
    Object.assign(this, { width, height });
    this.canvas.width = Math.round(width * sharp);
    this.canvas.height = Math.round(height * sharp);
    this.paint();
  }

  // -- the window on time --------------------------------------------------------------------------

  view() {
    const { store } = this;
    if (store.follow) {
      const to = store.extent()[1];
      return [to - (store.span || FOLLOWED), to];
    }
    return store.window || store.extent();
  }

  fit() {
    this.store.window = null;
    this.store.follow = false;
    this.store.scroll = 0;
    this.store.tell();
  }

  zoom(factor, x = LABELS + (this.width - LABELS) / 2) {
    const [from, to] = this.view();
    const span = Math.max(CLOSEST, Math.min((to - from) * factor, 1e12));
    if (this.store.follow) this.store.span = span;
    else {
      const middle = from + ((to - from) * (x - LABELS)) / (this.width - LABELS);
      const part = (middle - from) / (to - from);
      this.store.window = [middle - span * part, middle + span * (1 - part)];
    }
    this.hover(-1);
    this.dirty();
  }

  zoomToBar(bar) {
    if (!bar) return this.fit();
    const end = this.store.end(bar), room = Math.max(CLOSEST / 2, (end - bar[START]) * 0.3);
    this.store.follow = false;
    this.store.window = [bar[START] - room, end + room];
    this.dirty();
  }

  pan(dx, dy) {
    const [from, to] = this.view(), { store } = this;
    const by = (dx * (to - from)) / (this.width - LABELS);
    if (dx) {
      store.follow = false;
      store.window = [from + by, to + by];
    }
    const [, height] = laneTops(store.state.lanes);
    store.scroll = Math.max(0, Math.min(store.scroll + dy, height + AXIS + 8 - this.height));
    this.dirty();
  }

  toggleFollow() {
    this.store.follow = !this.store.follow;
    this.store.span = null;
    this.store.tell();
  }

  toggleWaits() {
    this.waits = !this.waits;
    this.update();
  }

  // -- pointer and keys ----------------------------------------------------------------------------

  /** The bar under a point of the canvas; the one drawn last wins. */
  at(px, py) {
    const { store } = this, [tops] = laneTops(store.state.lanes);
    const y = py - AXIS + store.scroll, [from, to] = this.view();
    const scale = (this.width - LABELS) / (to - from);
    let found = null;
    if (px < LABELS || py < AXIS) return found;
    for (const bar of store.bars.values()) {
      const top = tops[bar[LANE]] + bar[ROW] * LANE_HEIGHT;
      if (y < top || y > top + LANE_HEIGHT) continue;
      const x1 = LABELS + (bar[START] - from) * scale, x2 = LABELS + (store.end(bar) - from) * scale;
      if (px >= x1 - 2 && px <= Math.max(x2, x1 + 1) + 2) found = bar;
    }
    return found;
  }

  press(event) {
    if (event.button !== 0) return;
    this.grip = { x: event.clientX, y: event.clientY, moved: false };
    this.canvas.setPointerCapture(event.pointerId);
    this.canvas.focus({ preventScroll: true });
  }

  move(event) {
    const { grip } = this;
    if (!grip) {
      const bar = this.at(event.offsetX, event.offsetY);
      return this.hover(bar ? bar[0] : -1, event.offsetX, event.offsetY);
    }
    const dx = event.clientX - grip.x, dy = event.clientY - grip.y;
    if (!grip.moved && Math.hypot(dx, dy) < 4) return;
    this.canvas.classList.add("rk-drag");
    this.grip = { x: event.clientX, y: event.clientY, moved: true };
    this.hover(-1);
    this.pan(-dx, -dy);
  }

  release(event) {
    const { grip } = this;
    this.grip = null;
    this.canvas.classList.remove("rk-drag");
    if (grip && !grip.moved && event.type === "pointerup") {
      const bar = this.at(event.offsetX, event.offsetY);
      this.hover(-1);
      this.store.select(bar ? bar[0] : -1);
    }
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const arrow = arrows[event.key];
    if (arrow && event.shiftKey) this.pan(80 * arrow[0], 48 * arrow[1]);
    else if (arrow) this.walk(...arrow);
    else if (event.key === "+" || event.key === "=") this.zoom(0.5);
    else if (event.key === "-") this.zoom(2);
    else if (event.key === "0") this.fit();
    else if (event.key === "f") this.toggleFollow();
    else if (event.key === "w") this.toggleWaits();
    else if (event.key === "Enter" && this.store.selected >= 0) {
      this.zoomToBar(this.store.bars.get(this.store.selected));
    } else if (event.key === "Escape" && this.store.selected >= 0) this.store.select(-1);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** To the next bar of the lane, or to the nearest in the next lane. */
  walk(dx, dy) {
    const { store } = this, current = store.bars.get(store.selected);
    let best = null, least = Infinity;
    for (const bar of store.bars.values()) {
      if (!current) {
        if (!best || bar[START] < best[START]) best = bar;
        continue;
      }
      const ahead = dx ? (bar[START] - current[START]) * dx : 0;
      const down = (bar[LANE] - current[LANE]) * dy;
      const far = dx ? ahead : down * 1e15 + Math.abs(bar[START] - current[START]);
      const fits = dx ? bar[LANE] === current[LANE] && ahead > 0 : down > 0;
      if (fits && far < least) {
        least = far;
        best = bar;
      }
    }
    if (!best) return;
    store.select(best[0]);
    const [from, to] = this.view();
    if (best[START] < from || best[START] > to) {
      const half = (to - from) / 2;
      store.follow = false;
      store.window = [best[START] - half, best[START] + half];
    }
    this.voice.say(`${store.state.names[best[NAME]]}, ` +
      barFacts(store, best).map(([name, value]) => `${name} ${value}`).join(", "));
  }

  hover(number, x = 0, y = 0) {
    const bar = this.store.bars.get(number);
    this.canvas.classList.toggle("rk-over", Boolean(bar));
    if (number !== this.hovered) this.dirty();
    this.hovered = number;
    const shown = Boolean(bar) && number !== this.store.selected;
    show(this.tip, shown);
    if (!shown) return;
    const facts = barFacts(this.store, bar).map(([name, value]) => `${name} ${value}`).join(" · ");
    this.tip.replaceChildren(textual("b", this.nameOf(bar)), textual("span", facts));
    this.tip.style.left = `${Math.max(8, Math.min(x + 12, this.width - this.tip.offsetWidth - 8))}px`;
    const under = y + 16, fits = under + this.tip.offsetHeight < this.height;
    this.tip.style.top = `${fits ? under : Math.max(4, y - this.tip.offsetHeight - 10)}px`;
  }

  nameOf(bar) {
    const name = this.store.state.names[bar[NAME]];
    return bar[COUNT_OF] > 1 ? `${bar[COUNT_OF]} × ${name}` : name;
  }

  showDetail() {
    const { store } = this, bar = store.bars.get(store.selected);
    show(this.detail, Boolean(bar));
    if (!bar) return;
    const facts = barFacts(store, bar), { story } = store;
    facts.push(["started", clock(store.state.origin + bar[START] / 1e6)]);
    facts.push(["after", duration(bar[START] / 1e6)]);
    if (story && !story.refused) {
      if (story.worker) facts.push(["worker", story.worker]);
      facts.push(["id", story.id]);
    }
    const key = JSON.stringify([store.selected, facts, story && story.error, store.log]);
    if (key === this.detailed) return;
    this.detailed = key;
    const table = element("div", "rk-facts");
    for (const [name, value] of facts) table.append(textual("span", name), textual("span", value));
    const close = element("button", "rk-close");
    close.type = "button";
    close.textContent = "×";
    close.setAttribute("aria-label", "Close details");
    close.addEventListener("click", () => store.select(-1));
    const deeds = element("div", "rk-deeds");
    wordButton(deeds, "Zoom to it", () => this.zoomToBar(bar));
    if (story && story.id) {
      wordButton(deeds, "Log", async () => {
        store.log = await store.ask("log", { id: story.id });
        store.tell();
      }, "What this task wrote");
    }
    const boxes = [];
    if (story && story.error) boxes.push(textual("div", story.error, "rk-error"));
    if (store.log) {
      boxes.push(textual("pre", store.log.refused || store.log.text || "It wrote nothing.", "rk-text"));
    }
    this.detail.replaceChildren(textual("h4", this.nameOf(bar)), close, table, deeds, ...boxes);
  }

  // -- drawing -------------------------------------------------------------------------------------

  dirty() {
    if (this.frame || !this.width) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.paint();
    });
  }

  /** A pattern for what moves data. */
  hatch(pen) {
    if (this.tile) return this.tile;
    const tile = document.createElement("canvas");
    tile.width = tile.height = 5;
    const lines = tile.getContext("2d");
    lines.strokeStyle = "rgba(255, 255, 255, 0.75)";
    lines.lineWidth = 1.2;
    lines.beginPath();
    for (const at of [-5, 0, 5]) {
      lines.moveTo(at, 5);
      lines.lineTo(at + 5, 0);
    }
    lines.stroke();
    this.tile = pen.createPattern(tile, "repeat");
    return this.tile;
  }

  paint() {
    if (!this.width) return;
    const { store } = this;
    paintTimeline(this.canvas.getContext("2d"), {
      store, width: this.width, height: this.height, sharp: this.canvas.width / this.width,
      view: this.view(), scroll: store.scroll, waits: this.waits, hovered: this.hovered,
      inks: inks(this.root), hatch: (pen) => this.hatch(pen),
    });
    // While something runs time goes by: smoothly, or in steps for those who want it calm.
    clearTimeout(this.again);
    if (store.live() && this.root.isConnected) {
      this.again = setTimeout(() => this.dirty(), this.calm.matches ? 1000 : 50);
    }
  }
}

export default widget((model) => TimelineStore.of(model), (store) => new TimelineView(store));
