// What the graph is: nodes with their places, edges, and the cells of the cards that are unfolded.
//
// Rows on the wire are lists; the constants below name their places. A node's place is final and
// comes from layout.py; only where a person unfolds a card do the cards behind and below it make
// room, and go back when it is folded. `geo` holds where each node stands with that: [x, y, w, h].

import { Store } from "./store.js";
import { count, grouped } from "./dom.js";

export const KIND = 0, X = 1, Y = 2, STATE = 3, LABEL = 4, ID = 5, WORKER = 6;
export const SUBMITTED = 7, STARTED = 8, ENDED = 9, ERROR = 10, TAKEN = 11, MADE = 12;
export const COUNTS = 3; // of a group, where a task has its state
export const RUNNING = 2, FAILED = 4;
export const PARENT = 1; // an edge's relation
export const CELL = 14, CELL_MARK = 11, CELLS_TOP = 54, CELLS_LEFT = 12;

export class GraphStore extends Store {
  setUp() {
    this.camera = null; // null: fitted to the graph
    this.selected = -1; // a node
    this.cell = -1; // and of an unfolded card's cells, which one
    this.story = null; // what the kernel told of the selected task
    this.changed = new Map(); // node -> when its state changed
    this.edges = new Map();
    this.open = new Map(); // node -> its Cells
    this.geo = [];
    this.spread = []; // lanes as they stand with the unfolded cards
    this.text = ""; // that is searched for
    this.found = null; // Map node -> Set of cells, of those that have it
  }

  empty() {
    return { version: -1, mode: "tasks", nodes: [], edges: [], headers: [], lanes: [], open: {},
             counts: [0, 0, 0, 0, 0, 0], total: 0, failures: [] };
  }

  replace(snapshot) {
    const before = this.state;
    if (before.mode !== snapshot.mode) {
      this.selected = this.cell = -1;
      this.camera = this.story = this.found = null;
      this.changed.clear();
    } else if (before.version >= 0) {
      snapshot.nodes.forEach((row, index) => this.note(before.nodes[index], row, index));
    }
    this.state = { ...snapshot, nodes: [...snapshot.nodes] };
    this.edges = new Map(snapshot.edges.map((edge) => [edgeKey(edge), edge]));
    const open = Object.entries(snapshot.open || {});
    for (const group of [...this.open.keys()]) {
      if (!open.some(([other]) => Number(other) === group)) this.open.delete(group);
    }
    for (const [group, told] of open) this.takeCells(Number(group), told);
    if (!this.open.has(this.selected)) this.cell = -1;
    this.arrange();
  }

  fold({ nodes, edges, cells, base, ...rest }) {
    for (const [index, row] of nodes) {
      this.note(this.state.nodes[index], row, index);
      this.state.nodes[index] = row;
    }
    for (const edge of edges) this.edges.set(edgeKey(edge), edge);
    for (const [group, told] of Object.entries(cells || {})) this.takeCells(Number(group), told);
    Object.assign(this.state, rest);
    this.arrange();
  }

  takeCells(group, told) {
    if (!this.open.has(group)) this.open.set(group, new Cells(this.style.looks));
    this.open.get(group).take(told);
  }

  note(before, row, index) {
    if (row[KIND] === "group" || (before && before[STATE] === row[STATE])) return;
    this.changed.set(index, performance.now());
    if (index === this.selected) this.tellStory();
  }

  /** Where everything stands. Unfolded cards push what is behind and below them aside. */
  arrange() {
    const { nodes, lanes } = this.state, { sizes } = this.style;
    this.geo = nodes.map((row) => [row[X], row[Y], ...sizes[row[KIND]]]);
    this.spread = lanes.map((lane) => [...lane]);
    if (!this.open.size) return;
    const [width, height] = sizes.group;
    const wider = new Map(), taller = new Map(), higher = new Map();
    for (const [index, cells] of this.open) {
      if (!nodes[index]) continue;
      const [x, y] = this.geo[index];
      const w = Math.max(width, cells.columns * CELL + 2 * CELLS_LEFT - (CELL - CELL_MARK));
      const h = CELLS_TOP + cells.rows() * CELL + 8;
      this.geo[index] = [x, y, w, h];
      wider.set(x, Math.max(wider.get(x) || 0, w - width));
      if (y >= 0) taller.set(index, h - height);
      else higher.set(y, Math.max(higher.get(y) || 0, h - height));
    }
    const aside = (x) => [...wider].reduce((sum, [at, by]) => sum + (at < x ? by : 0), 0);
    const above = (y) => [...higher].reduce((sum, [at, by]) => sum + (at >= y ? by : 0), 0);
    nodes.forEach((row, index) => {
      let down = 0;
      for (const [other, by] of taller) {
        if (nodes[other][X] === row[X] && row[Y] >= 0 && nodes[other][Y] < row[Y]) down += by;
      }
      this.geo[index][0] += aside(row[X]);
      this.geo[index][1] += row[Y] < 0 ? -above(row[Y]) : down;
    });
    this.spread = lanes.map(([x, y, w, h, label]) => {
      const cardY = [...higher.keys()].find((at) => at >= y && at < y + h);
      return [x, y - above(y), w + aside(x + w), h + (higher.get(cardY) || 0), label];
    });
  }

  /** Where a cell stands: [x, y, w, h]. */
  cellBox(index, cell) {
    const [x, y] = this.geo[index], { columns } = this.open.get(index);
    return [x + CELLS_LEFT + (cell % columns) * CELL,
            y + CELLS_TOP + Math.floor(cell / columns) * CELL, CELL_MARK, CELL_MARK];
  }

  /** What the graph covers: [left, top, right, bottom]. */
  bounds() {
    const box = [Infinity, Infinity, -Infinity, -Infinity];
    const cover = (x, y, w, h) => {
      box[0] = Math.min(box[0], x);
      box[1] = Math.min(box[1], y);
      box[2] = Math.max(box[2], x + w);
      box[3] = Math.max(box[3], y + h);
    };
    for (const at of this.geo) cover(...at);
    for (const [x, y, w, h] of this.spread) cover(x - 8, y, w + 16, h);
    for (const [x, y, label] of this.state.headers) cover(x, y - 10, label.length * 6.6, 10);
    return box[0] === Infinity ? [0, 0, 40, 20] : box;
  }

  headline() {
    const parts = this.style.looks
      .map((look, number) => [this.state.counts[number], look.label])
      .filter(([number]) => number)
      .map(([number, label]) => `${grouped(number)} ${label}`);
    return `${count(this.state.total, "task")}: ${parts.join(", ") || "none yet"}`;
  }

  // -- selection and search ------------------------------------------------------------------------

  select(index, cell = -1) {
    this.selected = index;
    this.cell = cell;
    this.story = null;
    this.log = null;
    this.tellStory();
    this.tell();
  }

  /** How to ask the kernel about the selected task; null where none is. */
  question() {
    const row = this.state.nodes[this.selected];
    if (!row) return null;
    if (row[KIND] !== "group") return { id: row[ID] };
    return this.cell >= 0 ? { group: this.selected, cell: this.cell } : null;
  }

  async tellStory() {
    const question = this.question();
    if (!question) return;
    const { selected, cell } = this;
    const told = await this.ask("task", question);
    if (selected !== this.selected || cell !== this.cell) return;
    this.story = told;
    this.tell();
  }

  unfold(index, open) {
    if (!open && index === this.selected) this.cell = -1;
    return this.ask(open ? "unfold" : "fold", { group: index });
  }

  async search(text) {
    this.text = text = text.trim().toLowerCase();
    this.found = text ? this.look(text) : null;
    this.tell();
    if (!text || this.state.mode !== "groups") return;
    const told = await this.ask("find", { text });
    if (this.text !== text || told.refused) return;
    for (const [group, cell] of told.found) {
      if (!this.found.has(group)) this.found.set(group, new Set());
      this.found.get(group).add(cell);
    }
    this.tell();
  }

  look(text) {
    const { looks } = this.style, found = new Map();
    this.state.nodes.forEach((row, index) => {
      const words = row[KIND] === "group" ? [row[LABEL]]
        : [row[LABEL], row[ID], row[WORKER], row[ERROR], looks[row[STATE]].label];
      if (words.some((word) => word && word.toLowerCase().includes(text))) found.set(index, new Set());
    });
    return found;
  }

  /** Whether a node, or one of its cells, is among those searched for. */
  isFound(index) {
    return !this.found || this.found.has(index);
  }
}

/** An unfolded card's tasks: their states, and an image with one pixel for each. */
class Cells {
  constructor(looks) {
    this.looks = looks;
    this.count = this.columns = 0;
    this.states = new Uint8Array(64);
    this.image = null;
    this.colours = looks.map(({ color, filled }) => {
      const [r, g, b] = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
      return [r, g, b, filled ? 255 : 96];
    });
  }

  rows() {
    return Math.max(1, Math.ceil(this.count / this.columns));
  }

  take([count, columns, told]) {
    if (count > this.states.length) {
      const more = new Uint8Array(2 * count);
      more.set(this.states);
      this.states = more;
    }
    const reshaped = columns !== this.columns ||
      !this.image || Math.ceil(count / columns) > this.image.height;
    this.count = count;
    this.columns = columns;
    if (typeof told === "string") {
      const packed = atob(told);
      for (let at = 0; at < count; at += 1) {
        const both = packed.charCodeAt(at >> 1);
        this.states[at] = at % 2 ? both & 15 : both >> 4;
      }
      this.paint();
    } else {
      for (let at = 0; at < told.length; at += 2) this.states[told[at]] = told[at + 1];
      if (reshaped) this.paint();
      else this.repaint(told);
    }
  }

  paint() {
    const height = this.rows();
    if (!this.image) this.image = document.createElement("canvas");
    this.image.width = this.columns;
    this.image.height = height;
    this.pixels = this.image.getContext("2d").createImageData(this.columns, height);
    for (let at = 0; at < this.count; at += 1) this.dot(at);
    this.image.getContext("2d").putImageData(this.pixels, 0, 0);
  }

  repaint(told) {
    for (let at = 0; at < told.length; at += 2) this.dot(told[at]);
    this.image.getContext("2d").putImageData(this.pixels, 0, 0);
  }

  dot(at) {
    this.pixels.data.set(this.colours[this.states[at]], 4 * at);
  }
}

function edgeKey([from, to, , relation]) {
  return `${from} ${to} ${relation}`;
}
