// The live task graph: draws what GraphModel (model.py, picture.py) says, and nothing else.
//
//   graph_store.js    nodes, edges, unfolded cards; selection and search
//   graph_paint.js    one frame on the canvas
//   graph_detail.js   hover line and the selected node's story
//   canvas.js         the page around the canvas, pointer and keys
//   this file         camera, search, selection
//
// Sizes and looks come from the `style_table` trait, so that the static picture and this one
// agree. Nothing is drawn unless something changed: `View.dirty` asks for one animation frame.

import { CanvasView } from "./canvas.js";
import { element, iconButton, inks, show, write } from "./dom.js";
import { copyDebug, fillDetail, summary, toldSummary } from "./graph_detail.js";
import { paintGraph } from "./graph_paint.js";
import { CELL, CELLS_LEFT, CELLS_TOP, GraphStore, KIND, LABEL, RUNNING } from "./graph_store.js";
import { widget } from "./host.js";

const PAD = 18, LARGEST = 1.3, SMALLEST = 0.02;
const HEIGHTS = [150, 200, 250, 300, 350, 400, 450];
const ROOMY = 3000; // ms that a smaller height must have been enough
const REST = 150; // ms that the pointer rests before the kernel is asked about a cell

export class GraphView extends CanvasView {
  constructor(store) {
    super(store, "graph", {
      role: "task graph", zoomStep: 1.4, empty: "No tasks yet. They appear here as they are submitted, as by f.remote().",
    });
    this.marks = store.style.looks.map((look) => new Path2D(look.mark));
    this.hovered = { node: -1, cell: -1 };
    this.shown = null; // the camera as drawn: it glides to its target
    this.rung = -1; // of HEIGHTS
    this.needed = 0; // when all of the height was, last
    this.setHeight();
    this.begin();
  }

  destroy() {
    super.destroy();
    clearTimeout(this.resting);
  }

  // -- the page --------------------------------------------------------------------------------

  buildTools(tools) {
    this.buildSearch(tools);
    this.unfoldAll = iconButton(tools, "Unfold all groups", "M2 5l5-3 5 3M2 9l5 3 5-3",
      () => this.store.unfold(-1, !this.store.open.size));
  }

  buildSearch(tools) {
    this.search = element("input", "rk-search", tools);
    this.search.type = "search";
    this.search.placeholder = "Search";
    this.search.setAttribute("aria-label", "Search tasks by function, state, worker, id or error");
    this.matches = element("span", "rk-matches", tools);
    this.turn = -1;
    this.search.addEventListener("input", () => {
      this.turn = -1;
      this.store.search(this.search.value);
    });
    this.search.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.nextMatch(event.shiftKey ? -1 : 1);
      else if (event.key === "Escape") {
        this.search.value = "";
        this.store.search("");
        this.canvas.focus({ preventScroll: true });
      } else return;
      event.preventDefault();
      event.stopPropagation();
    });
  }

  /** The things found, in order: [node, cell]. */
  foundList() {
    const list = [];
    for (const [node, cells] of this.store.found || []) {
      if (!cells.size || !this.store.open.has(node)) list.push([node, -1]);
      else for (const cell of cells) list.push([node, cell]);
    }
    return list;
  }

  nextMatch(step) {
    const list = this.foundList();
    if (!list.length) return;
    this.turn = (this.turn + step + list.length) % list.length;
    this.choose(...list[this.turn], true);
  }

  update() {
    const { state, found, open } = this.store;
    const live = state.counts[0] + state.counts[1] + state.counts[RUNNING] > 0;
    this.updateBar(live, state.nodes.length);
    show(this.unfoldAll, state.mode === "groups");
    const label = open.size ? "Fold all groups" : "Unfold all groups";
    this.unfoldAll.title = label;
    this.unfoldAll.setAttribute("aria-label", label);
    write(this.matches, found ? `${this.foundList().length} found` : "");
    this.canvas.setAttribute("aria-label",
      `Task graph, ${this.store.headline()}. Arrow keys walk through the tasks, Enter unfolds a ` +
      "group, slash searches, plus and minus zoom, 0 shows all.");
    this.voice.say(this.store.headline(), !live && this.store.selected < 0);
    this.setHeight(!live);
    this.showDetail();
    this.dirty();
  }

  showDetail() {
    const debug = (id) => copyDebug(id, this.voice, this.detail);
    show(this.detail, fillDetail(this.store, this.detail, { close: () => this.choose(-1), debug }));
  }

  /** Grows at once, in few steps, and shrinks only when less has long been enough or the work
   *  rests: what lies below should not keep moving. */
  setHeight(resting = false) {
    const [left, top, right, bottom] = this.store.bounds();
    const width = (this.width || 900) - 2 * PAD;
    const wanted = (bottom - top) * Math.min(LARGEST, width / (right - left)) + 2 * PAD;
    const enough = HEIGHTS.findIndex((height) => height >= wanted);
    const rung = enough < 0 ? HEIGHTS.length - 1 : enough;
    const now = performance.now();
    if (rung < this.rung && !resting && now - this.needed < ROOMY) return;
    if (rung !== this.rung) this.stage.style.height = `${HEIGHTS[rung]}px`;
    this.rung = rung;
    this.needed = now;
  }

  sized() {
    this.shown = null;
    this.setHeight();
  }

  // -- the camera: screen = world * scale + (x, y) ----------------------------------------------

  target() {
    if (this.store.camera) return this.store.camera;
    const [left, top, right, bottom] = this.store.bounds();
    const scale = Math.min(LARGEST, (this.width - 2 * PAD) / (right - left),
                           (this.height - 2 * PAD) / (bottom - top));
    const spare = Math.max(0, this.height - 2 * PAD - (bottom - top) * scale) / 2;
    return { scale, x: PAD - left * scale, y: PAD - top * scale + Math.min(spare, 24) };
  }

  fit() {
    this.store.camera = null;
    this.dirty();
  }

  zoom(factor, x = this.width / 2, y = this.height / 2, atOnce = false) {
    const from = this.target();
    const scale = Math.max(SMALLEST, Math.min(6, from.scale * factor));
    const ratio = scale / from.scale;
    this.store.camera = { scale, x: x - (x - from.x) * ratio, y: y - (y - from.y) * ratio };
    if (atOnce) this.shown = null;
    this.point();
    this.dirty();
  }

  drag(dx, dy) {
    const from = this.target();
    this.store.camera = { scale: from.scale, x: from.x + dx, y: from.y + dy };
    this.shown = null;
    this.dirty();
  }

  // -- pointer and keys --------------------------------------------------------------------------

  point(x, y) {
    this.hover(...(x === undefined ? [-1] : this.at(x, y)));
  }

  pick(x, y) {
    this.choose(...this.at(x, y));
  }

  visit(x, y) {
    const [node] = this.at(x, y), row = this.store.state.nodes[node];
    if (row && row[KIND] === "group") this.store.unfold(node, !this.store.open.has(node));
    else this.fit();
  }

  walk(dx, dy) {
    const { selected, cell } = this.store;
    if (cell >= 0) this.choose(selected, this.besideCell(dx, dy), true);
    else this.choose(this.neighbour(dx, dy), -1, true);
  }

  press(key) {
    const { selected, cell, open, state } = this.store, row = state.nodes[selected];
    if (key === "/") this.search.focus({ preventScroll: true });
    else if (key === "Enter" && row && row[KIND] === "group") {
      if (open.has(selected) && cell < 0) this.choose(selected, 0, true);
      else if (cell < 0) this.store.unfold(selected, true);
    } else if (key === "Escape" && cell >= 0) this.choose(selected, -1, true);
    else if (key === "Escape" && open.has(selected)) this.store.unfold(selected, false);
    else if (key === "Escape" && selected >= 0) this.choose(-1);
    else return false;
    return true;
  }

  /** What is under a point of the canvas: [node, cell], -1 for none. Small marks are easier to hit
   *  than they look. */
  at(px, py) {
    const { scale, x, y } = this.shown || this.target();
    const wx = (px - x) / scale, wy = (py - y) / scale, slack = Math.min(8, 3 / scale);
    const { geo, open } = this.store;
    for (let index = geo.length - 1; index >= 0; index -= 1) {
      const [left, top, w, h] = geo[index];
      if (wx < left - slack || wx > left + w + slack || wy < top - slack || wy > top + h + slack) continue;
      const cells = open.get(index);
      if (!cells) return [index, -1];
      const column = Math.floor((wx - left - CELLS_LEFT) / CELL), row = Math.floor((wy - top - CELLS_TOP) / CELL);
      const cell = row * cells.columns + column;
      const inside = row >= 0 && column >= 0 && column < cells.columns && cell < cells.count;
      return [index, inside ? cell : -1];
    }
    return [-1, -1];
  }

  /** The nearest node in a direction from the selected one. */
  neighbour(dx, dy) {
    const { geo, selected } = this.store;
    if (selected < 0) return geo.length ? 0 : -1;
    const middle = ([x, y, w, h]) => [x + w / 2, y + h / 2];
    const [fx, fy] = middle(geo[selected]);
    let best = selected, least = Infinity;
    geo.forEach((box, index) => {
      const [x, y] = middle(box);
      const along = (x - fx) * dx + (y - fy) * dy;
      const aside = Math.abs((x - fx) * dy) + Math.abs((y - fy) * dx);
      if (along > 1 && along + 2.5 * aside < least) {
        least = along + 2.5 * aside;
        best = index;
      }
    });
    return best;
  }

  besideCell(dx, dy) {
    const { cell, selected, open } = this.store, cells = open.get(selected);
    const next = cell + dx + dy * cells.columns;
    return next >= 0 && next < cells.count ? next : cell;
  }

  hover(node, cell = -1) {
    if (node === this.hovered.node && cell === this.hovered.cell) return;
    this.hovered = { node, cell };
    clearTimeout(this.resting);
    this.canvas.classList.toggle("rk-over", node >= 0);
    const { store } = this, row = store.state.nodes[node];
    const same = node === store.selected && cell === store.cell;
    if (!row || same) show(this.tip, false);
    else {
      if (cell < 0) this.fillTip(row[LABEL], summary(store, row), store.geo[node]);
      else {
        const look = store.style.looks[store.open.get(node).states[cell]];
        const box = store.cellBox(node, cell);
        this.fillTip(row[LABEL], look.label, box);
        this.resting = setTimeout(async () => {
          const told = await store.ask("task", { group: node, cell });
          if (this.hovered.cell === cell) this.fillTip(row[LABEL], toldSummary(told), box);
        }, REST);
      }
    }
    this.dirty();
  }

  fillTip(name, words, [bx, by, , bh]) {
    const { scale, x, y } = this.shown || this.target();
    this.showTip(name, words, x + bx * scale, y + (by + bh) * scale + 8, y + by * scale - 8);
  }

  choose(node, cell = -1, byKey = false) {
    this.hover(-1);
    if (node >= 0 && byKey) {
      const row = this.store.state.nodes[node], cells = this.store.open.get(node);
      const words = cell < 0 ? summary(this.store, row)
        : `${cell + 1} of ${cells.count}, ${this.store.style.looks[cells.states[cell]].label}`;
      this.reveal(cell < 0 ? this.store.geo[node] : this.store.cellBox(node, cell));
      this.store.select(node, cell);
      this.voice.say(`${row[LABEL]}, ${words}`);
    } else this.store.select(node, cell);
  }

  reveal([bx, by, bw, bh]) {
    const { scale, x, y } = this.target();
    const sx = x + (bx + Math.min(bw, 300) / 2) * scale, sy = y + (by + Math.min(bh, 60) / 2) * scale;
    const dx = Math.max(0, 30 - sx) - Math.max(0, sx - this.width + 30);
    const dy = Math.max(0, 30 - sy) - Math.max(0, sy - this.height + 30);
    if (dx || dy) this.drag(dx, dy);
  }

  // -- drawing -----------------------------------------------------------------------------------

  /** Move the drawn camera towards its target; true while it is on its way. */
  glide(now) {
    const goal = this.target();
    const elapsed = Math.min(100, now - (this.painted || now));
    this.painted = now;
    if (!this.shown || this.calm.matches) {
      this.shown = goal;
      return false;
    }
    const part = 1 - Math.exp(-elapsed / 90);
    const step = (from, to) => from + (to - from) * part;
    const { scale, x, y } = this.shown;
    const far = Math.abs(goal.x - x) + Math.abs(goal.y - y) +
      Math.abs(goal.scale / scale - 1) * this.width;
    this.shown = far < 0.5 ? goal
      : { scale: step(scale, goal.scale), x: step(x, goal.x), y: step(y, goal.y) };
    return far >= 0.5;
  }

  paint(now) {
    if (!this.width) return;
    const moving = this.glide(now);
    const glowing = paintGraph(this.canvas.getContext("2d"), {
      store: this.store, width: this.width, height: this.height, at: this.shown, now,
      sharp: this.canvas.width / this.width, calm: this.calm.matches, marks: this.marks,
      hovered: this.hovered, inks: inks(this.root),
    });
    if (moving || glowing) this.dirty();
    else this.painted = 0;
  }
}

export default widget((model) => GraphStore.of(model), (store) => new GraphView(store));
