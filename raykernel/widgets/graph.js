// The live task graph: draws what GraphModel (model.py, picture.py) says, and nothing else.
//
//   model.snapshot --+                      +--> View in the widget's own place (render)
//   custom messages -+--> Store (per view) -+--> View over the static picture (inhabit)
//
// A Store holds the newest state: a whole snapshot, and deltas that fit onto it (delta.base is the
// version they start from; one that doesn't fit is dropped, the next snapshot heals it). Views
// share the Store's camera and selection, so a view may be replaced without losing one's place.
//
// Rows on the wire are lists; the constants below name their places. Positions are final and come
// from layout.py; sizes and looks come from the `style_table` trait, so that the static picture
// and this one agree.
//
// Nothing is drawn unless something changed: `View.dirty` asks for one animation frame.

const KIND = 0, X = 1, Y = 2, STATE = 3, LABEL = 4, ID = 5, WORKER = 6;
const SUBMITTED = 7, STARTED = 8, ENDED = 9, ERROR = 10;
const COUNTS = 3; // of a group, where a task has its state
const RUNNING = 2, FAILED = 4;
const PARENT = 1; // an edge's relation
const BAR_ORDER = [3, 4, 5, 2, 1, 0]; // furthest states first: the bar fills from the left
const PAD = 18, LARGEST = 1.3, SMALLEST = 0.05;
const HEIGHTS = [150, 200, 250, 300, 350, 400, 450];
const ROOMY = 3000; // ms that a smaller height must have been enough
const FLASH = 500; // ms that a change of state glows

const stores = new Map();

class Store {
  constructor(model) {
    this.model = model;
    this.id = model.get("view_id");
    this.style = model.get("style_table");
    this.views = new Set();
    this.users = 0;
    this.camera = null; // null: fitted to the graph
    this.selected = -1;
    this.changed = new Map(); // node -> when its state changed
    this.take(model.get("snapshot"));
    this.onSnapshot = () => this.take(model.get("snapshot"));
    this.onMessage = (message) => this.fold(message);
    model.on("change:snapshot", this.onSnapshot);
    model.on("msg:custom", this.onMessage);
  }

  static of(model) {
    const id = model.get("view_id");
    if (!stores.has(id)) stores.set(id, new Store(model));
    const store = stores.get(id);
    store.users += 1;
    return store;
  }

  release() {
    this.users -= 1;
    if (this.users > 0) return;
    this.model.off("change:snapshot", this.onSnapshot);
    this.model.off("msg:custom", this.onMessage);
    stores.delete(this.id);
  }

  take(snapshot) {
    if (!snapshot || snapshot.version === undefined) {
      snapshot = { version: -1, mode: "tasks", nodes: [], edges: [], headers: [], lanes: [],
                   counts: [0, 0, 0, 0, 0, 0], total: 0, failures: [] };
    }
    const before = this.state;
    if (before && before.mode !== snapshot.mode) {
      this.selected = -1;
      this.camera = null;
      this.changed.clear();
    } else if (before) {
      snapshot.nodes.forEach((row, index) => this.note(before.nodes[index], row, index));
    }
    this.state = { ...snapshot, nodes: [...snapshot.nodes] };
    this.edges = new Map(snapshot.edges.map((edge) => [edgeKey(edge), edge]));
    this.tell();
  }

  fold(delta) {
    if (delta.base !== this.state.version) return;
    const { nodes, edges, base, ...rest } = delta;
    for (const [index, row] of nodes) {
      this.note(this.state.nodes[index], row, index);
      this.state.nodes[index] = row;
    }
    for (const edge of edges) this.edges.set(edgeKey(edge), edge);
    Object.assign(this.state, rest);
    this.tell();
  }

  note(before, row, index) {
    if (row[KIND] !== "group" && (!before || before[STATE] !== row[STATE])) {
      this.changed.set(index, performance.now());
    }
  }

  tell() {
    for (const view of this.views) view.update();
  }

  size(row) {
    return this.style.sizes[row[KIND]];
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
    for (const row of this.state.nodes) cover(row[X], row[Y], ...this.size(row));
    for (const [x, y, w, h] of this.state.lanes) cover(x - 8, y, w + 16, h);
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
}

class View {
  constructor(store) {
    this.store = store;
    this.marks = store.style.looks.map((look) => new Path2D(look.mark));
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.hovered = -1;
    this.frame = 0;
    this.told = 0;
    this.shown = null; // the camera as drawn: it glides to its target
    this.rung = -1; // of HEIGHTS
    this.needed = 0; // when all of the height was, last
    this.build();
    this.listen();
    store.views.add(this);
    this.update();
  }

  destroy() {
    this.store.views.delete(this);
    cancelAnimationFrame(this.frame);
    this.resized.disconnect();
    this.themed.disconnect();
    this.dark.removeEventListener("change", this.onTheme);
    this.root.remove();
  }

  // -- the page --------------------------------------------------------------------------------

  build() {
    const looks = this.store.style.looks;
    this.root = element("div", "raykernel-graph");
    // JupyterLab's command mode would take arrow keys and letters.
    this.root.dataset.lmSuppressShortcuts = "true";
    const bar = element("div", "rk-bar", this.root);
    this.total = element("span", "rk-total", bar);
    this.chips = looks.map((look) => {
      const chip = element("span", "rk-chip", bar);
      chip.innerHTML = `<svg viewBox="0 0 22 22" aria-hidden="true">${drawn(look)}</svg><span></span>`;
      return chip;
    });
    const tools = element("span", "rk-tools", bar);
    const tool = (label, glyph, act) => {
      const button = element("button", "", tools);
      button.type = "button";
      button.title = label;
      button.setAttribute("aria-label", label);
      button.innerHTML = `<svg viewBox="0 0 14 14" aria-hidden="true" fill="none"
        stroke="currentColor" stroke-width="1.5" stroke-linecap="round"><path d="${glyph}"/></svg>`;
      button.addEventListener("click", act);
    };
    tool("Zoom out (or Ctrl and scroll)", "M2 7h10", () => this.zoom(1 / 1.4));
    tool("Zoom in (or Ctrl and scroll)", "M2 7h10M7 2v10", () => this.zoom(1.4));
    tool("Show all", "M1.5 5V1.5H5M9 1.5h3.5V5M12.5 9v3.5H9M5 12.5H1.5V9", () => this.fit());
    this.stage = element("div", "rk-stage", this.root);
    this.canvas = element("canvas", "", this.stage);
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "application");
    this.canvas.setAttribute("aria-roledescription", "task graph");
    this.empty = element("div", "rk-empty", this.stage);
    this.empty.textContent = "Tasks appear here as they are submitted.";
    this.tip = element("div", "rk-tip", this.stage);
    this.detail = element("div", "rk-detail", this.stage);
    this.tip.hidden = this.detail.hidden = true;
    this.heard = element("div", "rk-heard", this.root);
    this.heard.setAttribute("aria-live", "polite");
    this.setHeight();
  }

  listen() {
    const canvas = this.canvas;
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.release(event));
    canvas.addEventListener("pointercancel", (event) => this.release(event));
    canvas.addEventListener("pointerleave", () => this.hover(-1));
    canvas.addEventListener("dblclick", () => this.fit());
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("wheel", (event) => {
      // Scrolling past must scroll the page: zoom only when it is clearly meant.
      const focused = canvas.getRootNode().activeElement === canvas;
      if (!(event.ctrlKey || event.metaKey || focused)) return;
      event.preventDefault();
      const step = Math.max(-60, Math.min(60, event.deltaY));
      this.zoom(Math.exp(-step / 180), event.offsetX, event.offsetY, true);
    }, { passive: false });
    this.root.addEventListener("focusin", (event) => {
      this.focused = event.target;
      this.blurred = Infinity;
    });
    this.root.addEventListener("focusout", () => { this.blurred = performance.now(); });
    this.resized = new ResizeObserver(() => this.resize());
    this.resized.observe(this.stage);
    this.onTheme = () => this.dirty();
    this.themed = new MutationObserver(this.onTheme);
    for (const node of [document.body, document.documentElement]) {
      this.themed.observe(node, { attributes: true });
    }
    this.dark.addEventListener("change", this.onTheme);
  }

  /** After a move to another place in the page, which takes the focus away. */
  refocus() {
    const lost = this.focused && document.activeElement === document.body;
    if (lost && !(performance.now() - this.blurred > 100)) this.focused.focus({ preventScroll: true });
  }

  update() {
    const { state, style } = this.store;
    const now = performance.now();
    this.total.textContent = count(state.total, "task");
    this.chips.forEach((chip, number) => {
      chip.hidden = !state.counts[number];
      chip.style.display = chip.hidden ? "none" : "";
      chip.lastChild.textContent = `${grouped(state.counts[number])} ${style.looks[number].label}`;
    });
    this.empty.hidden = state.nodes.length > 0;
    this.empty.style.display = this.empty.hidden ? "none" : "";
    this.canvas.setAttribute("aria-label",
      `Task graph, ${this.store.headline()}. Arrow keys walk through the tasks, plus and minus ` +
      "zoom, 0 shows all.");
    const resting = !(state.counts[0] + state.counts[1] + state.counts[RUNNING]);
    if (resting || now - this.told > 5000) this.say(this.store.headline());
    this.setHeight(resting);
    this.showDetail();
    this.dirty();
  }

  say(words) {
    if (this.heard.textContent !== words) this.heard.textContent = words;
    this.told = performance.now();
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

  resize() {
    const width = this.stage.clientWidth, height = this.stage.clientHeight;
    if (!width || !height) return;
    const sharp = window.devicePixelRatio || 1;
    const changed = width !== this.width || height !== this.height;
    this.width = width;
    this.height = height;
    this.canvas.width = Math.round(width * sharp);
    this.canvas.height = Math.round(height * sharp);
    if (changed) {
      this.shown = null;
      this.setHeight();
    }
    this.paint(performance.now()); // at once: a resized canvas is blank
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
    this.hover(-1);
    this.dirty();
  }

  pan(dx, dy) {
    const from = this.target();
    this.store.camera = { scale: from.scale, x: from.x + dx, y: from.y + dy };
    this.shown = null;
    this.dirty();
  }

  // -- pointer and keys --------------------------------------------------------------------------

  press(event) {
    if (event.button !== 0) return;
    this.grip = { x: event.clientX, y: event.clientY, moved: false };
    this.canvas.setPointerCapture(event.pointerId);
    this.canvas.focus({ preventScroll: true });
  }

  move(event) {
    const grip = this.grip;
    if (!grip) return this.hover(this.at(event.offsetX, event.offsetY));
    const dx = event.clientX - grip.x, dy = event.clientY - grip.y;
    if (!grip.moved && Math.hypot(dx, dy) < 4) return;
    this.canvas.classList.add("rk-drag");
    this.grip = { x: event.clientX, y: event.clientY, moved: true };
    this.hover(-1);
    this.pan(dx, dy);
  }

  release(event) {
    const grip = this.grip;
    this.grip = null;
    this.canvas.classList.remove("rk-drag");
    if (grip && !grip.moved && event.type === "pointerup") {
      this.select(this.at(event.offsetX, event.offsetY));
    }
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const arrow = arrows[event.key];
    if (arrow && event.shiftKey) this.pan(-60 * arrow[0], -60 * arrow[1]);
    else if (arrow) this.select(this.neighbour(...arrow), true);
    else if (event.key === "+" || event.key === "=") this.zoom(1.4);
    else if (event.key === "-") this.zoom(1 / 1.4);
    else if (event.key === "0") this.fit();
    else if (event.key === "Escape" && this.store.selected >= 0) this.select(-1);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** The node under a point of the canvas, or -1. Small marks are easier to hit than they look. */
  at(px, py) {
    const { scale, x, y } = this.shown || this.target();
    const wx = (px - x) / scale, wy = (py - y) / scale, slack = Math.min(8, 3 / scale);
    const nodes = this.store.state.nodes;
    for (let index = nodes.length - 1; index >= 0; index -= 1) {
      const row = nodes[index], [w, h] = this.store.size(row);
      if (wx >= row[X] - slack && wx <= row[X] + w + slack &&
          wy >= row[Y] - slack && wy <= row[Y] + h + slack) return index;
    }
    return -1;
  }

  /** The nearest node in a direction from the selected one. */
  neighbour(dx, dy) {
    const { state, selected } = this.store;
    if (selected < 0) return state.nodes.length ? 0 : -1;
    const middle = (row) => {
      const [w, h] = this.store.size(row);
      return [row[X] + w / 2, row[Y] + h / 2];
    };
    const [fx, fy] = middle(state.nodes[selected]);
    let best = selected, least = Infinity;
    state.nodes.forEach((row, index) => {
      const [x, y] = middle(row);
      const along = (x - fx) * dx + (y - fy) * dy;
      const aside = Math.abs((x - fx) * dy) + Math.abs((y - fy) * dx);
      if (along > 1 && along + 2.5 * aside < least) {
        least = along + 2.5 * aside;
        best = index;
      }
    });
    return best;
  }

  hover(index) {
    if (index === this.hovered) return;
    this.hovered = index;
    this.canvas.classList.toggle("rk-over", index >= 0);
    this.tip.hidden = index < 0 || index === this.store.selected;
    this.tip.style.display = this.tip.hidden ? "none" : "";
    if (!this.tip.hidden) {
      const row = this.store.state.nodes[index];
      this.tip.replaceChildren(textual("b", row[LABEL]), textual("span", this.summary(row)));
      const { scale, x, y } = this.shown || this.target();
      const [w, h] = this.store.size(row);
      const left = Math.min(x + row[X] * scale, this.width - this.tip.offsetWidth - 8);
      const under = y + (row[Y] + h) * scale + 8;
      const above = y + row[Y] * scale - 8 - this.tip.offsetHeight;
      const fits = under + this.tip.offsetHeight < this.height || above < 4;
      this.tip.style.left = `${Math.max(8, left)}px`;
      this.tip.style.top = `${fits ? under : above}px`;
    }
    this.dirty();
  }

  select(index, byKey = false) {
    this.store.selected = index;
    this.hover(-1);
    if (index >= 0 && byKey) {
      const row = this.store.state.nodes[index];
      this.say(`${row[LABEL]}, ${this.summary(row)}`);
      this.reveal(row);
    }
    for (const view of this.store.views) view.showDetail(), view.dirty();
  }

  reveal(row) {
    const { scale, x, y } = this.target(), [w, h] = this.store.size(row);
    const sx = x + (row[X] + w / 2) * scale, sy = y + (row[Y] + h / 2) * scale;
    const dx = Math.max(0, 30 - sx) - Math.max(0, sx - this.width + 30);
    const dy = Math.max(0, 30 - sy) - Math.max(0, sy - this.height + 30);
    if (dx || dy) this.pan(dx, dy);
  }

  // -- words -------------------------------------------------------------------------------------

  summary(row) {
    const looks = this.store.style.looks;
    if (row[KIND] === "group") {
      return row[COUNTS].map((n, s) => (n ? `${n} ${looks[s].label}` : "")).filter(Boolean).join(", ");
    }
    const parts = [looks[row[STATE]].label];
    if (row[STARTED]) parts.push(duration(runTime(row)));
    if (row[WORKER]) parts.push(`worker ${row[WORKER]}`);
    if (row[ERROR]) parts.push(row[ERROR].slice(0, 120));
    return parts.join(" · ");
  }

  showDetail() {
    const { state, selected, style } = this.store;
    const row = state.nodes[selected];
    this.detail.hidden = !row;
    this.detail.style.display = row ? "" : "none";
    if (!row) return;
    const facts = [], errors = [];
    if (row[KIND] === "group") {
      row[COUNTS].forEach((n, number) => n && facts.push([style.looks[number].label, n]));
      for (const [name, error, times] of state.failures) {
        if (name === row[LABEL]) errors.push(times > 1 ? `${error}\n${times} times` : error);
      }
    } else {
      facts.push(["state", style.looks[row[STATE]].label]);
      if (row[STARTED]) facts.push(["ran", duration(runTime(row))]);
      if (row[STARTED] && row[SUBMITTED]) {
        facts.push(["waited", duration(row[STARTED] - row[SUBMITTED])]);
      }
      if (row[SUBMITTED]) facts.push(["submitted", clock(row[SUBMITTED])]);
      if (row[ENDED]) facts.push(["ended", clock(row[ENDED])]);
      if (row[WORKER]) facts.push(["worker", row[WORKER]]);
      facts.push(["id", row[ID]]);
      if (row[ERROR]) errors.push(row[ERROR]);
    }
    let inputs = 0, outputs = 0;
    for (const [from, to, , relation] of this.store.edges.values()) {
      if (relation !== PARENT && to === selected) inputs += 1;
      if (relation !== PARENT && from === selected) outputs += 1;
    }
    if (inputs || outputs) facts.push(["inputs", `${inputs}, used by ${outputs}`]);
    const table = element("div", "rk-facts");
    for (const [name, value] of facts) table.append(textual("span", name), textual("span", value));
    const close = element("button");
    close.type = "button";
    close.setAttribute("aria-label", "Close details");
    close.textContent = "×";
    close.addEventListener("click", () => this.select(-1));
    const title = textual("h4", row[LABEL]);
    const boxes = errors.map((error) => {
      const box = element("div", "rk-error");
      box.textContent = error;
      return box;
    });
    const key = JSON.stringify([row[LABEL], facts, errors]);
    if (key === this.detailed) return; // rebuilding it would lose focus and scroll place
    this.detailed = key;
    this.detail.replaceChildren(title, close, table, ...boxes);
  }

  // -- drawing -----------------------------------------------------------------------------------

  dirty() {
    if (this.frame || !this.width) return;
    this.frame = requestAnimationFrame((now) => {
      this.frame = 0;
      this.paint(now);
    });
  }

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
    const pen = this.canvas.getContext("2d");
    const sharp = this.canvas.width / this.width, { scale, x, y } = this.shown;
    const style = getComputedStyle(this.root);
    this.ink = style.color;
    this.dim = style.getPropertyValue("--rk-dim").trim() || this.ink;
    this.focus = style.getPropertyValue("--rk-focus").trim() || this.ink;
    this.paper = style.backgroundColor;
    this.face = style.fontFamily;
    pen.setTransform(sharp, 0, 0, sharp, 0, 0);
    pen.clearRect(0, 0, this.width, this.height);
    pen.setTransform(sharp * scale, 0, 0, sharp * scale, sharp * x, sharp * y);
    const port = [-x / scale, -y / scale, (this.width - x) / scale, (this.height - y) / scale];
    this.paintLanes(pen);
    this.paintEdges(pen, port);
    const glowing = this.paintNodes(pen, port, now);
    pen.setTransform(sharp, 0, 0, sharp, 0, 0);
    this.paintHeaders(pen);
    if (moving || glowing) this.dirty();
    else this.painted = 0;
  }

  paintLanes(pen) {
    for (const [x, y, w, h] of this.store.state.lanes) {
      pen.globalAlpha = 0.07;
      pen.fillStyle = this.ink;
      rounded(pen, x - 8, y, w + 16, h, 8);
      pen.fill();
    }
    pen.globalAlpha = 1;
  }

  paintEdges(pen, [left, top, right, bottom]) {
    const { state, edges, selected } = this.store;
    const focus = this.hovered >= 0 ? this.hovered : selected;
    const grouped = state.mode === "groups", scale = this.shown.scale;
    const thin = Math.max(1.2, 0.7 / scale);
    for (const near of [false, true]) {
      pen.strokeStyle = near ? this.focus : this.dim;
      for (const [from, to, weight, relation] of edges.values()) {
        if (from === to || (from === focus || to === focus) !== near) continue;
        const a = state.nodes[from], b = state.nodes[to];
        if (!a || !b) continue;
        // An actor's callers would be a tangle: shown only for the node that is looked at.
        if (relation === PARENT && b[KIND] === "call" && !near) continue;
        const [aw, ah] = this.store.size(a), bh = this.store.size(b)[1];
        const x1 = a[X] + aw, y1 = a[Y] + ah / 2, x2 = b[X], y2 = b[Y] + bh / 2;
        if (Math.max(x1, x2) < left || Math.min(x1, x2) > right + 60 ||
            Math.max(y1, y2) < top || Math.min(y1, y2) > bottom) continue;
        const bend = Math.max(24, Math.abs(x2 - x1) / 2);
        pen.globalAlpha = near ? 0.95 : relation === PARENT ? 0.3 : 0.5;
        pen.setLineDash(relation === PARENT ? [2, 4] : []);
        pen.lineWidth = grouped ? Math.min(6, 1 + 0.4 * Math.log2(weight * 2)) : near ? thin * 1.4 : thin;
        pen.beginPath();
        pen.moveTo(x1, y1);
        pen.bezierCurveTo(x1 + bend, y1, x2 - bend, y2, x2, y2);
        pen.stroke();
      }
    }
    pen.setLineDash([]);
    pen.globalAlpha = 1;
  }

  paintNodes(pen, [left, top, right, bottom], now) {
    const { state, changed, selected } = this.store;
    const { looks } = this.store.style, scale = this.shown.scale;
    for (const [index, when] of changed) {
      if (now - when > FLASH || this.calm.matches) changed.delete(index);
    }
    state.nodes.forEach((row, index) => {
      const [w, h] = this.store.size(row), x = row[X], y = row[Y];
      if (x > right || x + w < left || y > bottom || y + h < top) return;
      if (row[KIND] === "group") this.paintCard(pen, row, w, h);
      else this.paintMark(pen, x, y, w, looks[row[STATE]], this.marks[row[STATE]], w * scale);
      const radius = row[KIND] === "group" ? 8 : w * 0.27;
      const ring = (alpha, colour, gap, width) => {
        pen.globalAlpha = alpha;
        pen.strokeStyle = colour;
        pen.lineWidth = width;
        rounded(pen, x - gap, y - gap, w + 2 * gap, h + 2 * gap, radius + gap);
        pen.stroke();
        pen.globalAlpha = 1;
      };
      const look = row[KIND] === "group" ? null : looks[row[STATE]];
      if (row[STATE] === RUNNING) ring(0.3, look.color, w * 0.11, w * 0.1);
      if (row[STATE] === FAILED && w * scale < 12) ring(0.8, look.color, 2 / scale, 1.5 / scale);
      const when = changed.get(index);
      if (when !== undefined) {
        const left = Math.max(0, 1 - (now - when) / FLASH);
        ring(0.55 * left, look.color, w * (0.12 + 0.2 * (1 - left)), w * 0.12);
      }
      if (index === selected) ring(1, this.focus, Math.max(2.5, 3 / scale), Math.max(2, 2 / scale));
      else if (index === this.hovered) ring(0.6, this.ink, Math.max(2, 2 / scale), Math.max(1.2, 1.2 / scale));
    });
    return changed.size > 0;
  }

  paintMark(pen, x, y, size, look, mark, pixels) {
    pen.save();
    pen.translate(x, y);
    pen.scale(size / 22, size / 22);
    if (look.filled) {
      pen.fillStyle = look.color;
      rounded(pen, 0, 0, 22, 22, 6);
      pen.fill();
    } else {
      rounded(pen, 1, 1, 20, 20, 5);
      pen.fillStyle = this.paper; // edges pass behind
      pen.fill();
      pen.globalAlpha = 0.14;
      pen.fillStyle = look.color;
      pen.fill();
      pen.globalAlpha = 1;
      pen.strokeStyle = look.color;
      pen.lineWidth = Math.max(2, 22 / pixels);
      pen.stroke();
    }
    if (pixels >= 7 && look.mark) {
      const dot = look.mark.endsWith("h.01"); // a line of no length takes a wide pen
      pen.strokeStyle = look.filled ? "#fff" : look.color;
      pen.lineWidth = dot ? 6 : 2.2;
      pen.lineCap = pen.lineJoin = "round";
      pen.stroke(mark);
    }
    pen.restore();
  }

  paintCard(pen, row, w, h) {
    const { looks } = this.store.style, counts = row[COUNTS];
    const total = counts.reduce((sum, n) => sum + n, 0);
    pen.save();
    pen.translate(row[X], row[Y]);
    rounded(pen, 0, 0, w, h, 8);
    pen.fillStyle = this.paper;
    pen.fill();
    pen.globalAlpha = 0.05;
    pen.fillStyle = this.ink;
    pen.fill();
    pen.globalAlpha = counts[FAILED] ? 0.9 : 0.35;
    pen.strokeStyle = counts[FAILED] ? looks[FAILED].color : counts[RUNNING] ? looks[RUNNING].color : this.dim;
    pen.lineWidth = 1.2;
    pen.stroke();
    pen.globalAlpha = 1;
    pen.font = `12.5px ${this.face}`;
    pen.textBaseline = "alphabetic";
    pen.fillStyle = this.dim;
    const amount = grouped(total), wide = pen.measureText(amount).width;
    pen.fillText(amount, w - 12 - wide, 23);
    pen.fillStyle = this.ink;
    pen.fillText(clipped(pen, this.cardName(row), w - 34 - wide), 12, 23);
    rounded(pen, 12, 35, w - 24, 9, 4.5);
    pen.clip();
    let x = 12;
    for (const number of BAR_ORDER) {
      const part = ((w - 24) * counts[number]) / Math.max(1, total);
      pen.globalAlpha = looks[number].filled ? 1 : 0.35;
      pen.fillStyle = looks[number].color;
      pen.fillRect(x, 35, part, 9);
      x += part;
    }
    pen.restore();
  }

  /** On a card in its class's lane the method's name is enough. */
  cardName(row) {
    const within = this.store.state.lanes.map((lane) => `${lane[4]}.`);
    const known = within.find((start) => row[LABEL].startsWith(start));
    return known ? row[LABEL].slice(known.length) : row[LABEL];
  }

  /** Names over columns and lanes, at one size whatever the zoom; those without room are left out. */
  paintHeaders(pen) {
    const { headers, lanes } = this.store.state, { scale, x, y } = this.shown;
    pen.font = `11px ${this.face}`;
    pen.fillStyle = this.dim;
    pen.textBaseline = "alphabetic";
    const sorted = [...headers].sort((a, b) => a[0] - b[0]);
    let free = -Infinity;
    sorted.forEach(([hx, hy, label], index) => {
      const at = x + hx * scale;
      const end = index + 1 < sorted.length ? x + sorted[index + 1][0] * scale - 8 : Infinity;
      if (at < free || end - at < 18) return;
      const short = clipped(pen, label, end - at);
      pen.fillText(short, at, y + hy * scale + 4);
      free = at + pen.measureText(short).width + 8;
    });
    for (const [lx, ly, , h, label] of lanes) {
      if (h * scale < 24) continue;
      pen.fillText(label, x + lx * scale, y + ly * scale + Math.max(9, 15 * scale));
    }
  }
}

// -- helpers -------------------------------------------------------------------------------------

function element(tag, className = "", parent = null) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (parent) parent.append(made);
  return made;
}

function textual(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

function edgeKey([from, to, , relation]) {
  return `${from} ${to} ${relation}`;
}

function grouped(n) {
  return n.toLocaleString("en");
}

function count(n, noun) {
  return `${grouped(n)} ${noun}${n === 1 ? "" : "s"}`;
}

function rounded(pen, x, y, w, h, r) {
  pen.beginPath();
  pen.roundRect(x, y, w, h, Math.min(r, w / 2, h / 2));
}

function clipped(pen, text, width) {
  if (pen.measureText(text).width <= width) return text;
  let end = text.length - 1;
  while (end > 1 && pen.measureText(`${text.slice(0, end)}…`).width > width) end -= 1;
  return `${text.slice(0, end)}…`;
}

function runTime(row) {
  return Math.max(0, (row[ENDED] || Date.now() / 1000) - row[STARTED]);
}

function duration(seconds) {
  if (seconds < 0.001) return `${Math.round(seconds * 1e6)} µs`;
  if (seconds < 1) return `${Math.round(seconds * 1e3)} ms`;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString();
}

/** A state's mark as SVG, for the legend; the same drawing as svg.py's. */
function drawn(look) {
  const dot = look.mark.endsWith("h.01");
  const box = look.filled
    ? `<rect width="22" height="22" rx="6" fill="${look.color}"/>`
    : `<rect x="1" y="1" width="20" height="20" rx="5" fill="${look.color}" fill-opacity=".14" stroke="${look.color}" stroke-width="2"/>`;
  return `${box}<path d="${look.mark}" fill="none" stroke="${look.filled ? "#fff" : look.color}"
    stroke-width="${dot ? 6 : 2.6}" stroke-linecap="round" stroke-linejoin="round"/>`;
}

// -- the static picture as a home ----------------------------------------------------------------

/** Draw the live view over every static picture of this graph, now and later in this page. */
function inhabit(store) {
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
    view = view || new View(store);
    homes.set(home, view);
    home.classList.add("rk-inhabited");
    home.append(view.root);
    view.refocus();
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

export default {
  initialize({ model }) {
    const store = Store.of(model);
    model.send({ hello: "model" });
    const leave = inhabit(store);
    return () => {
      leave();
      store.release();
    };
  },

  render({ model, el }) {
    const store = Store.of(model);
    const view = new View(store);
    el.append(view.root);
    // In these pages outputs share one document with the widgets: see inhabit.
    const lab = document.querySelector(".jp-Notebook, .jp-CodeConsole");
    model.send({ hello: lab ? "in place" : "view" });
    return () => {
      view.destroy();
      store.release();
    };
  },
};
