// The live timeline: draws what TimelineModel (timeline_model.py) says.
//
//   timeline_store.js    bars, lanes, the window on time, the selection
//   timeline_paint.js    one frame on the canvas
//   canvas.js            the page around the canvas, pointer and keys
//   this file            the window on time, selection

import { CanvasView } from "./canvas.js";
import { clock, count, duration, element, inks, show, textual, wordButton } from "./dom.js";
import { widget } from "./host.js";
import { AXIS, barFacts, LABELS, LANE_HEIGHT, laneTops, paintTimeline } from "./timeline_paint.js";
import { COUNT_OF, LANE, NAME, ROW, START, TimelineStore } from "./timeline_store.js";

const LOWEST = 120, HIGHEST = 480; // pixels
const CLOSEST = 20; // microseconds across the view at the deepest zoom
const FOLLOWED = 10e6; // microseconds in view while following

export class TimelineView extends CanvasView {
  constructor(store) {
    super(store, "timeline", { role: "timeline", zoomStep: 2, empty: "No tasks yet. Each gets a bar here when it runs." });
    this.hovered = -1;
    this.waits = false;
    this.begin();
  }

  destroy() {
    super.destroy();
    clearTimeout(this.again);
  }

  buildTools(tools) {
    this.waiting = wordButton(tools, "Waiting", () => this.toggleWaits(), "Show how long each task waited");
    this.following = wordButton(tools, "Follow", () => this.toggleFollow(), "Keep the newest in view");
  }

  update() {
    const { store } = this, { state } = store;
    this.updateBar(store.live(), store.bars.size);
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
    const span = Math.max(CLOSEST, Math.min((to - from) / factor, 1e12));
    if (this.store.follow) this.store.span = span;
    else {
      const middle = from + ((to - from) * (x - LABELS)) / (this.width - LABELS);
      const part = (middle - from) / (to - from);
      this.store.window = [middle - span * part, middle + span * (1 - part)];
    }
    this.point();
    this.dirty();
  }

  zoomToBar(bar) {
    if (!bar) return this.fit();
    const end = this.store.end(bar), room = Math.max(CLOSEST / 2, (end - bar[START]) * 0.3);
    this.store.follow = false;
    this.store.window = [bar[START] - room, end + room];
    this.dirty();
  }

  drag(dx, dy) {
    const [from, to] = this.view(), { store } = this;
    const by = (-dx * (to - from)) / (this.width - LABELS);
    if (dx) {
      store.follow = false;
      store.window = [from + by, to + by];
    }
    const [, height] = laneTops(store.state.lanes);
    store.scroll = Math.max(0, Math.min(store.scroll - dy, height + AXIS + 8 - this.height));
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

  point(x, y) {
    const bar = x === undefined ? null : this.at(x, y);
    this.hover(bar ? bar[0] : -1, x, y);
  }

  pick(x, y) {
    const bar = this.at(x, y);
    this.store.select(bar ? bar[0] : -1);
  }

  visit(x, y) {
    this.zoomToBar(this.at(x, y));
  }

  press(key) {
    const { store } = this;
    if (key === "f") this.toggleFollow();
    else if (key === "w") this.toggleWaits();
    else if (key === "Enter" && store.selected >= 0) this.zoomToBar(store.bars.get(store.selected));
    else if (key === "Escape" && store.selected >= 0) store.select(-1);
    else return false;
    return true;
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

  hover(number, x, y) {
    const bar = this.store.bars.get(number);
    this.canvas.classList.toggle("rk-over", Boolean(bar));
    if (number !== this.hovered) this.dirty();
    this.hovered = number;
    if (!bar || number === this.store.selected) return show(this.tip, false);
    const facts = barFacts(this.store, bar).map(([name, value]) => `${name} ${value}`).join(" · ");
    this.showTip(this.nameOf(bar), facts, x + 12, y + 16, y - 10);
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
