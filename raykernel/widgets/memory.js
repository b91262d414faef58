// The memory view: what takes the object store's room, and who keeps each object.
//
// Draws what MemoryModel (memory_model.py) says. Sorting, searching and filtering happen here, on
// the largest objects, which are all that is told.

import { bytes, count, element, grouped, picker, searchBox, show, textual, Voice, write } from "./dom.js";
import { Panel, widget } from "./host.js";
import { Store } from "./store.js";
import { Table } from "./table.js";

const OBJECT = 0, SIZE = 1, WHERE = 2, MADE = 3, PINS = 4, HOLDERS = 5;
const COLUMNS = ["size", "where", "made by", "kept by", "object"];
const FIELDS = [SIZE, WHERE, MADE, HOLDERS, OBJECT];
const KIND_WORDS = { variable: "variables", output: "Out[n]", task: "tasks", actor: "actors",
                     object: "other objects", other: "others" };
const SHOWN = 250; // rows in the page

export class MemoryView extends Panel {
  constructor(store) {
    super(store, "memory");
    this.sort = { column: 0, down: true };
    this.build();
    this.begin();
  }

  build() {
    const bar = this.bar;
    this.total = element("span", "rk-total", bar);
    this.part = element("span", "rk-matches", bar);
    const tools = element("span", "rk-tools", bar);
    this.kind = picker(tools, "Kept by", () => this.update());
    this.search = searchBox(tools, "Search objects", () => this.update());
    this.empty = textual("div", "No session is running. The first task or ray.put starts one.", "rk-none");
    this.root.append(this.empty);
    this.body = element("div", "rk-panel-body", this.root);
    this.usage = element("div", "rk-usage", this.body);
    this.room = element("div", "rk-usage-bar", this.usage);
    this.room.setAttribute("role", "meter");
    this.room.setAttribute("aria-label", "Object store");
    this.room.setAttribute("aria-valuemin", "0");
    const style = this.store.style.store;
    this.legend = element("div", "rk-usage-words", this.usage);
    this.parts = ["pinned", "used", "disk"].map((name) => {
      const part = element("span", "", this.room), words = element("span", "rk-key", this.legend);
      part.style.background = style[name];
      element("i", "", words).style.background = style[name];
      return { name, part, words: element("span", "", words), box: words };
    });
    this.room_left = element("span", "rk-key", this.legend);
    this.table = new Table(this.body, "Objects", COLUMNS, (column) => this.sortBy(column));
    this.none = textual("div", "", "rk-none");
    this.body.append(this.none);
    this.voice = new Voice(this.root);
  }

  sortBy(column) {
    const again = this.sort.column === column;
    this.sort = { column, down: again ? !this.sort.down : FIELDS[column] === SIZE };
    this.update();
  }

  update() {
    const { state } = this.store, runs = Boolean(state.session);
    for (const node of [this.body, this.kind.parentNode, this.search]) show(node, runs);
    show(this.empty, !runs);
    const words = runs ? `${count(state.count, "object")}, ${bytes(state.size)}` : "No session";
    write(this.total, words);
    this.root.setAttribute("aria-label", `Memory: ${words}`);
    this.voice.say(words, false);
    if (!runs) return write(this.part, "");
    this.kind.offer(state.kinds.map((kind) => [kind, KIND_WORDS[kind] || kind]), "anyone");
    this.fillUsage(state.store);
    this.fillTable(state);
  }

  fillUsage(store) {
    const pinned = Math.min(store.pinned || 0, store.used), disk = store.on_disk || 0;
    const sizes = { pinned, used: store.used - pinned, disk };
    const whole = Math.max(1, store.capacity, store.used + disk);
    const labels = { pinned: "pinned, as it is looked at", used: "kept", disk: "spilled to disk" };
    for (const { name, part, words, box } of this.parts) {
      const n = sizes[name];
      part.style.width = n ? `max(2px, ${(100 * n) / whole}%)` : "0";
      show(box, n > 0);
      write(words, `${bytes(n)} ${labels[name]}`);
    }
    const left = `${bytes(Math.max(0, store.capacity - store.used))} of ${bytes(store.capacity)} free`;
    write(this.room_left, left);
    this.room.setAttribute("aria-valuemax", whole);
    this.room.setAttribute("aria-valuenow", store.used);
    this.room.setAttribute("aria-valuetext", `${bytes(store.used)} of ${bytes(store.capacity)} used`);
  }

  fillTable(state) {
    const text = this.search.value.trim().toLowerCase(), kind = this.kind.value;
    const { column, down } = this.sort, field = FIELDS[column];
    const fits = (row) => (!kind || row[HOLDERS].some(([of]) => of === kind)) &&
      (!text || `${row[OBJECT]} ${row[WHERE]} ${row[MADE]} ${heldBy(row)}`.toLowerCase().includes(text));
    const value = (row) => (field === HOLDERS ? heldBy(row) : row[field]);
    const rows = state.objects.filter(fits);
    rows.sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1) || b[SIZE] - a[SIZE];
    });
    this.table.sorted(column, down);
    const largest = Math.max(1, ...state.objects.map((row) => row[SIZE]));
    this.table.fill(rows.slice(0, SHOWN).map((row, n) => ({
      key: row[OBJECT] || `view ${n}`,
      title: row[OBJECT],
      cells: [sizeCell(row, largest), placeOf(row), row[MADE], holderCell(row), shortId(row[OBJECT])],
    })), "");
    const told = state.objects.length, all = state.count > told ? ` of the ${grouped(told)} largest` : "";
    write(this.part, text || kind ? `${grouped(rows.length)} found${all}`
      : all ? `the ${grouped(told)} largest shown` : "");
    show(this.table.box, rows.length > 0);
    show(this.none, !rows.length);
    write(this.none, state.count ? "No object fits." : "Nothing is kept: the store is empty.");
  }
}

function heldBy(row) {
  return row[HOLDERS].map(([, text]) => text).join("; ");
}

function placeOf(row) {
  return row[PINS] ? `${row[WHERE]}, pinned${row[PINS] > 1 ? ` ×${row[PINS]}` : ""}` : row[WHERE];
}

function shortId(id) {
  return id ? `${id.slice(0, 8)}…${id.slice(-10)}` : "a view alone";
}

function sizeCell(row, largest) {
  const text = bytes(row[SIZE]), part = Math.round((100 * row[SIZE]) / largest);
  return { text: `${text} ${part}`, draw(cell) {
    cell.classList.add("rk-size");
    cell.style.setProperty("--rk-part", `${part}%`);
    cell.append(textual("span", text));
  } };
}

function holderCell(row) {
  return { text: JSON.stringify(row[HOLDERS]), draw(cell) {
    cell.classList.add("rk-holders");
    if (!row[HOLDERS].length) cell.textContent = "nothing";
    for (const [kind, text] of row[HOLDERS]) {
      const plain = kind === "variable" || kind === "output";
      cell.append(textual("span", text, plain ? "rk-tag rk-mine" : "rk-tag"), " ");
    }
    cell.title = heldBy(row);
  } };
}

export default widget((model) => Store.of(model), (store) => new MemoryView(store));
