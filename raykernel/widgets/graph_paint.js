// How the graph is drawn on its canvas: lanes, edges, marks, cards and the cells of unfolded ones.
//
// `paintGraph(pen, scene)` draws one frame; the scene says what (the store), from where (the camera
// `at`: screen = world * scale + (x, y)), with which inks, and what is hovered. Nothing is kept
// between frames. Cells that are small on the screen are drawn as one image, a pixel each.

import { clipped, grouped, rounded } from "./dom.js";
import { CELL, CELLS_LEFT, CELLS_TOP, COUNTS, FAILED, KIND, LABEL, PARENT, RUNNING, STATE } from "./graph_store.js";

const BAR_ORDER = [3, 4, 5, 2, 1, 0]; // furthest states first: the bar fills from the left
const FLASH = 500; // ms that a change of state glows
const SMALL_CELL = 6; // pixels from cell to cell below which they are drawn as an image
const LEGIBLE_SCALE = 0.62; // below this a card's name stands over it, at one size
const FADED = 0.18; // what a search did not find
const SKIPS = 75, LIFT = 19; // an edge longer than that leaves its row by 3/4 of this; as in svg.py

/** Draws everything; true if it has to go on because something glows. */
export function paintGraph(pen, scene) {
  const { width, height, sharp, at, store } = scene;
  const { scale, x, y } = at;
  pen.setTransform(sharp, 0, 0, sharp, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.setTransform(sharp * scale, 0, 0, sharp * scale, sharp * x, sharp * y);
  const port = [-x / scale, -y / scale, (width - x) / scale, (height - y) / scale];
  paintLanes(pen, scene);
  paintEdges(pen, scene, port);
  const glowing = paintNodes(pen, scene, port);
  paintLinks(pen, scene);
  pen.setTransform(sharp, 0, 0, sharp, 0, 0);
  paintHeaders(pen, scene);
  if (scale < LEGIBLE_SCALE) paintCardNames(pen, scene);
  pen.globalAlpha = 1;
  return glowing && store.changed.size > 0;
}

function paintLanes(pen, { store, inks }) {
  for (const [x, y, w, h] of store.spread) {
    pen.globalAlpha = 0.07;
    pen.fillStyle = inks.ink;
    rounded(pen, x - 8, y, w + 16, h, 8);
    pen.fill();
  }
  pen.globalAlpha = 1;
}

/** An edge that skips a column in its row would pass behind what stands there: it passes above. */
function curve(pen, x1, y1, x2, y2, columns = null) {
  const level = Math.abs(y2 - y1) < 1 && x2 - x1 > SKIPS &&
    (!columns || columns.some((x) => x > x1 && x < x2 - 1));
  const bend = level ? (x2 - x1) / 4 : Math.max(24, Math.abs(x2 - x1) / 2), lift = level ? LIFT : 0;
  pen.beginPath();
  pen.moveTo(x1, y1);
  pen.bezierCurveTo(x1 + bend, y1 - lift, x2 - bend, y2 - lift, x2, y2);
  pen.stroke();
}

function paintEdges(pen, { store, inks, at: { scale }, hovered }, [left, top, right, bottom]) {
  const { state, edges, geo, selected } = store;
  const focus = hovered.node >= 0 ? hovered.node : selected;
  const byGroup = state.mode === "groups", card = store.style.sizes.group[1];
  const thin = Math.max(1.2, 0.7 / scale);
  const columns = byGroup ? null : state.headers.map(([x]) => x);
  for (const near of [false, true]) {
    pen.strokeStyle = near ? inks.focus : inks.dim;
    for (const [from, to, weight, relation] of edges.values()) {
      if (from === to || (from === focus || to === focus) !== near) continue;
      const a = geo[from], b = geo[to];
      if (!a || !b) continue;
      // An actor's callers would be a tangle: shown only for the node that is looked at.
      if (relation === PARENT && state.nodes[to][KIND] === "call" && !near) continue;
      const x1 = a[0] + a[2], y1 = a[1] + Math.min(a[3], card) / 2;
      const x2 = b[0], y2 = b[1] + Math.min(b[3], card) / 2;
      if (Math.max(x1, x2) < left || Math.min(x1, x2) > right + 60 ||
          Math.max(y1, y2) < top || Math.min(y1, y2) > bottom) continue;
      pen.globalAlpha = near ? 0.95 : relation === PARENT ? 0.3 : 0.5;
      if (!store.isFound(from) && !store.isFound(to)) pen.globalAlpha *= FADED;
      pen.setLineDash(relation === PARENT ? [2, 4] : []);
      pen.lineWidth = byGroup ? Math.min(6, 1 + 0.4 * Math.log2(weight * 2)) : near ? thin * 1.4 : thin;
      curve(pen, x1, y1, x2, y2, columns);
    }
  }
  pen.setLineDash([]);
  pen.globalAlpha = 1;
}

/** From the selected cell to the tasks whose results it takes. */
function paintLinks(pen, { store, inks, at: { scale } }) {
  const { story, selected, cell } = store;
  if (cell < 0 || !story || !story.inputs || !store.open.has(selected)) return;
  const [x2, y2, , h2] = store.cellBox(selected, cell);
  pen.strokeStyle = inks.focus;
  pen.globalAlpha = 0.9;
  pen.lineWidth = Math.max(1.4, 1.2 / scale);
  for (const [group, place] of story.inputs) {
    const open = store.open.has(group) && place >= 0;
    const box = open ? store.cellBox(group, place) : store.geo[group];
    if (box) curve(pen, box[0] + box[2], box[1] + (open ? box[3] / 2 : 28), x2, y2 + h2 / 2);
  }
  pen.globalAlpha = 1;
}

function paintNodes(pen, scene, port) {
  const { store, inks, now, calm, marks, hovered, at: { scale } } = scene;
  const { state, changed, selected, geo } = store, { looks } = store.style;
  const [left, top, right, bottom] = port;
  for (const [index, when] of changed) {
    if (now - when > FLASH || calm) changed.delete(index);
  }
  state.nodes.forEach((row, index) => {
    const [x, y, w, h] = geo[index];
    if (x > right || x + w < left || y > bottom || y + h < top) return;
    const faded = store.isFound(index) ? 1 : FADED;
    pen.globalAlpha = faded;
    const card = row[KIND] === "group";
    if (card) {
      paintCard(pen, scene, row, geo[index], faded, scale >= LEGIBLE_SCALE);
      const cells = store.open.get(index);
      if (cells) paintCells(pen, scene, index, cells, port);
    } else paintMark(pen, scene, x, y, w, looks[row[STATE]], marks[row[STATE]], faded);
    const radius = card ? 8 : w * 0.27;
    const ring = (alpha, colour, gap, width) => {
      pen.globalAlpha = alpha * faded;
      pen.strokeStyle = colour;
      pen.lineWidth = width;
      rounded(pen, x - gap, y - gap, w + 2 * gap, h + 2 * gap, radius + gap);
      pen.stroke();
      pen.globalAlpha = 1;
    };
    const look = card ? null : looks[row[STATE]];
    if (!card && row[STATE] === RUNNING) ring(0.3, look.color, w * 0.11, w * 0.1);
    if (!card && row[STATE] === FAILED && w * scale < 12) ring(0.8, look.color, 2 / scale, 1.5 / scale);
    const when = changed.get(index);
    if (when !== undefined) {
      const rest = Math.max(0, 1 - (now - when) / FLASH);
      ring(0.55 * rest, look.color, w * (0.12 + 0.2 * (1 - rest)), w * 0.12);
    }
    const whole = store.cell < 0;
    if (index === selected && whole) ring(1, inks.focus, Math.max(2.5, 3 / scale), Math.max(2, 2 / scale));
    else if (index === hovered.node && hovered.cell < 0) {
      ring(0.6, inks.ink, Math.max(2, 2 / scale), Math.max(1.2, 1.2 / scale));
    }
  });
  pen.globalAlpha = 1;
  return true;
}

function paintMark(pen, { inks, at: { scale } }, x, y, size, look, mark, alpha) {
  const pixels = size * scale;
  pen.save();
  pen.translate(x, y);
  pen.scale(size / 22, size / 22);
  if (look.filled) {
    pen.fillStyle = look.color;
    rounded(pen, 0, 0, 22, 22, 6);
    pen.fill();
  } else {
    rounded(pen, 1, 1, 20, 20, 5);
    pen.fillStyle = inks.paper; // edges pass behind
    pen.fill();
    pen.globalAlpha = 0.14 * alpha;
    pen.fillStyle = look.color;
    pen.fill();
    pen.globalAlpha = alpha;
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

function paintCard(pen, { store, inks }, row, [x, y, w, h], alpha, named) {
  const { looks } = store.style, counts = row[COUNTS];
  const total = counts.reduce((sum, n) => sum + n, 0);
  pen.save();
  pen.translate(x, y);
  rounded(pen, 0, 0, w, h, 8);
  pen.fillStyle = inks.paper;
  pen.fill();
  pen.globalAlpha = 0.05 * alpha;
  pen.fillStyle = inks.ink;
  pen.fill();
  pen.globalAlpha = (counts[FAILED] ? 0.9 : 0.35) * alpha;
  pen.strokeStyle = counts[FAILED] ? looks[FAILED].color : counts[RUNNING] ? looks[RUNNING].color : inks.dim;
  pen.lineWidth = 1.2;
  pen.stroke();
  pen.globalAlpha = alpha;
  pen.font = `12.5px ${inks.face}`;
  pen.textBaseline = "alphabetic";
  pen.fillStyle = inks.dim;
  const amount = grouped(total), wide = pen.measureText(amount).width;
  if (named) pen.fillText(amount, w - 12 - wide, 23);
  pen.fillStyle = inks.ink;
  if (named) pen.fillText(clipped(pen, cardName(store, row), w - 34 - wide), 12, 23);
  rounded(pen, 12, 35, w - 24, 9, 4.5);
  pen.clip();
  let from = 12;
  for (const number of BAR_ORDER) {
    const part = ((w - 24) * counts[number]) / Math.max(1, total);
    pen.globalAlpha = (looks[number].filled ? 1 : 0.35) * alpha;
    pen.fillStyle = looks[number].color;
    pen.fillRect(from, 35, part, 9);
    from += part;
  }
  pen.restore();
}

/** On a card in its class's lane the method's name is enough. */
function cardName(store, row) {
  const within = store.state.lanes.map((lane) => `${lane[4]}.`);
  const known = within.find((start) => row[LABEL].startsWith(start));
  return known ? row[LABEL].slice(known.length) : row[LABEL];
}

function paintCells(pen, scene, index, cells, [left, top, right, bottom]) {
  const { store, at: { scale }, hovered, inks } = scene;
  const [x, y] = store.geo[index], x0 = x + CELLS_LEFT, y0 = y + CELLS_TOP;
  const only = store.found && store.found.get(index);
  const chosen = only && only.size ? only : null;
  if (CELL * scale < SMALL_CELL) {
    pen.imageSmoothingEnabled = CELL * scale < 1.5;
    pen.globalAlpha = chosen ? FADED : 1;
    pen.drawImage(cells.image, x0, y0, cells.columns * CELL, cells.rows() * CELL);
    pen.globalAlpha = 1;
    for (const place of chosen || []) cellMark(pen, scene, store.cellBox(index, place), cells, place, 1);
  } else {
    const row0 = Math.max(0, Math.floor((top - y0) / CELL));
    const row1 = Math.min(cells.rows() - 1, Math.floor((bottom - y0) / CELL));
    const column0 = Math.max(0, Math.floor((left - x0) / CELL));
    const column1 = Math.min(cells.columns - 1, Math.floor((right - x0) / CELL));
    for (let row = row0; row <= row1; row += 1) {
      for (let column = column0; column <= column1; column += 1) {
        const place = row * cells.columns + column;
        if (place >= cells.count) break;
        const box = [x0 + column * CELL, y0 + row * CELL, 11, 11];
        cellMark(pen, scene, box, cells, place, !chosen || chosen.has(place) ? 1 : FADED);
      }
    }
  }
  const around = (place, colour, width) => {
    const [cx, cy, w, h] = store.cellBox(index, place), gap = Math.max(1.5, 1.5 / scale);
    pen.strokeStyle = colour;
    pen.lineWidth = Math.max(width, width / scale);
    pen.strokeRect(cx - gap, cy - gap, w + 2 * gap, h + 2 * gap);
  };
  if (hovered.node === index && hovered.cell >= 0) around(hovered.cell, inks.ink, 1.2);
  if (store.selected === index && store.cell >= 0) around(store.cell, inks.focus, 2);
}

function cellMark(pen, scene, [x, y, w], cells, place, alpha) {
  const number = cells.states[place], look = scene.store.style.looks[number];
  if (w * scene.at.scale >= 9) {
    pen.globalAlpha = alpha;
    paintMark(pen, scene, x, y, w, look, scene.marks[number], alpha);
  } else {
    pen.globalAlpha = (look.filled ? 1 : 0.35) * alpha;
    pen.fillStyle = look.color;
    pen.fillRect(x, y, w, w);
  }
  pen.globalAlpha = 1;
}

/** From far away: over each card, where there is room. */
function paintCardNames(pen, { store, inks, width, height, at: { scale, x, y } }) {
  pen.font = `11px ${inks.face}`;
  pen.fillStyle = inks.dim;
  pen.textBaseline = "alphabetic";
  store.state.nodes.forEach((row, index) => {
    if (row[KIND] !== "group") return;
    const [left, top, w] = store.geo[index], at = x + left * scale, over = y + top * scale - 4;
    if (w * scale < 26 || at > width || at + w * scale < 0 || over < 0 || over > height) return;
    pen.fillText(clipped(pen, cardName(store, row), w * scale + 2), at, over);
  });
}

/** Names over columns and lanes, at one size whatever the zoom; those without room are left out. */
function paintHeaders(pen, { store, inks, width, at: { scale, x, y } }) {
  pen.font = `11px ${inks.face}`;
  pen.fillStyle = inks.dim;
  pen.textBaseline = "alphabetic";
  const sorted = [...store.state.headers].sort((a, b) => a[0] - b[0]);
  let free = -Infinity;
  sorted.forEach(([hx, hy, label], index) => {
    let at = x + hx * scale;
    let end = index + 1 < sorted.length ? x + sorted[index + 1][0] * scale - 8 : Infinity;
    if (at < width - 4 && end > width - 4) { // the last in view may begin a little before its column
      end = width - 4;
      at = Math.max(free, Math.min(at, end - pen.measureText(label).width));
    }
    if (at < free || end - at < 18) return;
    const short = clipped(pen, label, end - at);
    pen.fillText(short, at, y + hy * scale + 4);
    free = at + pen.measureText(short).width + 8;
  });
  for (const [lx, ly, , h, label] of store.spread) {
    if (h * scale < 24) continue;
    pen.fillText(label, x + lx * scale, y + ly * scale + Math.max(9, 15 * scale));
  }
}
