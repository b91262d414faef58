// How the timeline is drawn: an axis, how many tasks wait, and a row of bars for each lane.
//
// A bar's parts differ in shape as well as in colour: loading and storing are hatched and lower,
// what failed has a cross and a line below. Bars that share a pixel are drawn once.

import { clipped, duration, rounded } from "./dom.js";
import { COUNT_OF, LANE, LOADED, NAME, QUEUED, RAN, ROW, START, STATE_OF, STORED, WAITED } from "./timeline_store.js";

export const LABELS = 128, AXIS = 22, QUEUE = 34, LANE_HEIGHT = 24, BAR = 16;
const LEGIBLE = 6; // characters that must be left of a name
const FAILED_STATE = 4, CANCELLED_STATE = 5;
const ON_FUNCTIONS = "#fff", ON_STATES = "#111"; // what can be read on their colours

/** Where each lane begins, in pixels below the axis; and the height of all. */
export function laneTops(lanes) {
  const tops = [];
  let y = QUEUE;
  for (const [, , rows] of lanes) {
    tops.push(y);
    y += LANE_HEIGHT * rows;
  }
  return [tops, y];
}

export function paintTimeline(pen, scene) {
  const { width, height, sharp, view: [from, to], store, inks, scroll } = scene;
  const scale = (width - LABELS) / (to - from);
  const at = (us) => LABELS + (us - from) * scale;
  pen.setTransform(sharp, 0, 0, sharp, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = `11px ${inks.face}`;
  pen.textBaseline = "alphabetic";
  const [tops, tall] = laneTops(store.state.lanes);
  if (!store.bars.size && !store.samples.length) return;
  paintGrid(pen, scene, at);
  pen.save();
  pen.beginPath();
  pen.rect(0, AXIS, width, height - AXIS);
  pen.clip();
  pen.translate(0, AXIS - scroll);
  paintRows(pen, scene, tops);
  paintQueue(pen, scene, at);
  pen.beginPath();
  pen.rect(LABELS, 0, width - LABELS, 1e6);
  pen.clip();
  paintBars(pen, scene, tops, at, scale);
  pen.restore();
  paintRest(pen, scene, tops, tall);
}

/** Where there are more lanes than fit: a thumb, and how many are below. */
function paintRest(pen, { width, height, inks, scroll }, tops, tall) {
  const room = height - AXIS;
  if (tall <= room) return;
  pen.globalAlpha = 0.45;
  pen.fillStyle = inks.dim;
  rounded(pen, width - 5, AXIS + (room * scroll) / (tall + 8), 4, (room * room) / (tall + 8), 2);
  pen.fill();
  pen.globalAlpha = 1;
  const below = tops.filter((top) => top + LANE_HEIGHT > room + scroll).length;
  if (!below) return;
  pen.fillStyle = inks.paper;
  pen.fillRect(0, height - 20, LABELS - 2, 20);
  pen.fillStyle = inks.ink;
  pen.fillText(`↓ ${below} more`, 12, height - 7);
}

function paintGrid(pen, { width, height, view: [from, to], inks, store }, at) {
  const step = niceStep((to - from) / Math.max(2, (width - LABELS) / 90));
  pen.strokeStyle = inks.edge;
  pen.fillStyle = inks.dim;
  pen.lineWidth = 1;
  for (let us = Math.ceil(from / step) * step; us <= to; us += step) {
    const x = Math.round(at(us)) + 0.5;
    pen.globalAlpha = 0.6;
    pen.beginPath();
    pen.moveTo(x, AXIS - 5);
    pen.lineTo(x, height);
    pen.stroke();
    pen.globalAlpha = 1;
    const words = axisWords(us, step);
    pen.fillText(words, Math.min(x - pen.measureText(words).width / 2, width - 40), 13);
  }
  if (store.live()) {
    const x = at(store.now());
    pen.strokeStyle = inks.focus;
    pen.globalAlpha = 0.5;
    pen.beginPath();
    pen.moveTo(x, AXIS - 5);
    pen.lineTo(x, height);
    pen.stroke();
    pen.globalAlpha = 1;
  }
}

/** 1, 2 or 5 times a power of ten microseconds. */
function niceStep(least) {
  const power = 10 ** Math.max(0, Math.floor(Math.log10(Math.max(least, 1))));
  return [1, 2, 5, 10].map((times) => times * power).find((step) => step >= least) || 10 * power;
}

function axisWords(us, step) {
  if (us === 0) return "0";
  const digits = (unit) => Math.max(0, Math.ceil(-Math.log10(step / unit) - 1e-9));
  const size = Math.abs(us);
  if (size < 1000 && step < 1000) return `${us} µs`;
  if (size < 1e6 && step < 1e6) return `${(us / 1000).toFixed(digits(1000))} ms`;
  return `${(us / 1e6).toFixed(digits(1e6))} s`;
}

function paintRows(pen, { width, store, inks }, tops) {
  store.state.lanes.forEach(([label, kind, rows], number) => {
    pen.globalAlpha = kind === "actor" ? 0.09 : 0.05;
    pen.fillStyle = inks.ink;
    rounded(pen, LABELS, tops[number] + 3, width - LABELS - 6, LANE_HEIGHT * rows - 6, 5);
    pen.fill();
    pen.globalAlpha = 1;
    pen.fillStyle = inks.dim;
    pen.fillText(clipped(pen, label, LABELS - 20), 12, tops[number] + 16);
  });
}

/** How many tasks waited, as an area that is as high as the most there ever were in view. */
function paintQueue(pen, { store, inks, view: [from, to], width }, at) {
  const { samples } = store;
  let most = 0;
  for (const [us, waiting] of samples) if (us >= from && us <= to) most = Math.max(most, waiting);
  pen.fillStyle = inks.dim;
  pen.fillText(most ? `waiting, up to ${most}` : "waiting", 12, QUEUE - 12);
  if (!samples.length) return;
  pen.save();
  pen.beginPath();
  pen.rect(LABELS, 0, width - LABELS, 1e6);
  pen.clip();
  const high = QUEUE - 10, base = QUEUE - 4;
  pen.beginPath();
  pen.moveTo(Math.max(LABELS, at(samples[0][0])), base);
  let before = 0;
  for (const [us, waiting] of samples) {
    const x = Math.min(width, Math.max(LABELS - 2, at(us)));
    pen.lineTo(x, base - (high * before) / Math.max(1, most));
    pen.lineTo(x, base - (high * waiting) / Math.max(1, most));
    before = waiting;
  }
  const end = Math.min(width, at(store.live() ? store.now() : samples[samples.length - 1][0]));
  pen.lineTo(end, base - (high * before) / Math.max(1, most));
  pen.lineTo(end, base);
  pen.closePath();
  pen.globalAlpha = 0.25;
  pen.fill();
  pen.restore();
}

function paintBars(pen, scene, tops, at, scale) {
  const { store, width, inks, hovered, waits, view: [from, to], hatch } = scene;
  const { looks, functions } = store.style;
  const last = new Map(); // row -> pixel up to which it is drawn, and with what
  for (const bar of store.bars.values()) {
    const end = store.end(bar);
    if (end < from || bar[START] > to) {
      if (!waits || bar[START] - bar[WAITED] - bar[QUEUED] > to || bar[START] < from) continue;
    }
    const y = tops[bar[LANE]] + bar[ROW] * LANE_HEIGHT + (LANE_HEIGHT - BAR) / 2;
    if (waits) paintWait(pen, bar, y, at, inks, 0.35);
    const x1 = at(bar[START]), x2 = Math.max(x1 + 1, at(end));
    const key = bar[LANE] * 64 + bar[ROW], failed = bar[STATE_OF] === FAILED_STATE;
    if (x2 - x1 <= 1 && last.get(key) >= Math.floor(x1) && !failed) continue;
    last.set(key, Math.floor(x2));
    const colour = failed ? looks[FAILED_STATE].color
      : bar[STATE_OF] === CANCELLED_STATE ? looks[CANCELLED_STATE].color
        : functions[bar[NAME] % functions.length];
    paintBar(pen, bar, x1, x2, y, colour, at, hatch, scale);
    const left = Math.max(x1 + bar[LOADED] * scale, LABELS) + 5;
    const room = Math.min(x2 - bar[STORED] * scale, width) - left - 5;
    if (room > 12) {
      pen.fillStyle = failed || bar[STATE_OF] === CANCELLED_STATE ? ON_STATES : ON_FUNCTIONS;
      const name = nameIn(store, bar), words = bar[COUNT_OF] > 1 ? `${bar[COUNT_OF]} × ${name}` : name;
      const short = clipped(pen, words, room);
      if (short === words || short.length >= LEGIBLE) pen.fillText(short, left, y + 12);
    }
    if (failed) {
      pen.fillStyle = looks[FAILED_STATE].color;
      pen.fillRect(x1, y + BAR + 1, Math.max(3, x2 - x1), 2);
    }
    const chosen = bar[0] === store.selected;
    if (chosen || bar[0] === hovered) {
      if (!waits) paintWait(pen, bar, y, at, inks, 0.8);
      pen.strokeStyle = chosen ? inks.focus : inks.ink;
      pen.lineWidth = chosen ? 2 : 1.2;
      rounded(pen, x1 - 1.5, y - 1.5, x2 - x1 + 3, BAR + 3, 4);
      pen.stroke();
    }
  }
}

/** A function's name; in an actor's lane the method's is enough. */
function nameIn(store, bar) {
  const name = store.state.names[bar[NAME]];
  return store.state.lanes[bar[LANE]][1] === "actor" ? name.slice(name.lastIndexOf(".") + 1) : name;
}

function paintBar(pen, bar, x1, x2, y, colour, at, hatch, scale) {
  const wide = x2 - x1;
  pen.fillStyle = colour;
  if (wide < 3 || (bar[LOADED] * scale < 1.5 && bar[STORED] * scale < 1.5)) {
    if (wide < 4) pen.fillRect(x1, y, wide, BAR);
    else {
      rounded(pen, x1, y, wide - (wide > 5 ? 0.6 : 0), BAR, 3);
      pen.fill();
    }
    return;
  }
  const called = at(bar[START] + bar[LOADED]), returned = x2 - bar[STORED] * scale;
  pen.fillRect(called, y, Math.max(1, returned - called), BAR);
  for (const [a, b] of [[x1, called], [returned, x2]]) {
    if (b - a < 0.5) continue;
    pen.fillStyle = colour;
    pen.globalAlpha = 0.45;
    pen.fillRect(a, y + 3, b - a, BAR - 6);
    pen.globalAlpha = 1;
    if (b - a > 3) {
      pen.fillStyle = hatch(pen);
      pen.fillRect(a, y + 3, b - a, BAR - 6);
    }
  }
}

/** From the submission on: dotted while arguments were missing, a line while workers were. */
function paintWait(pen, bar, y, at, inks, alpha) {
  const start = at(bar[START]), ready = at(bar[START] - bar[QUEUED]);
  const submitted = at(bar[START] - bar[QUEUED] - bar[WAITED]), middle = y + BAR / 2;
  pen.globalAlpha = alpha;
  pen.strokeStyle = inks.dim;
  pen.lineWidth = 1.2;
  const line = (a, b, dash) => {
    if (b - a < 0.5) return;
    pen.setLineDash(dash);
    pen.beginPath();
    pen.moveTo(a, middle);
    pen.lineTo(b, middle);
    pen.stroke();
  };
  line(submitted, ready, [1.5, 3]);
  line(ready, start, []);
  pen.setLineDash([]);
  pen.beginPath();
  pen.moveTo(submitted, middle - 4);
  pen.lineTo(submitted, middle + 4);
  pen.stroke();
  pen.globalAlpha = 1;
}

/** What a bar says under the pointer: [[name, value], ...]. */
export function barFacts(store, bar) {
  const facts = [["state", store.style.looks[bar[STATE_OF]].label]];
  const add = (name, us) => us > 0 && facts.push([name, duration(us / 1e6)]);
  if (bar[COUNT_OF] > 1) facts.push(["tasks", String(bar[COUNT_OF])]);
  add("waited for arguments", bar[WAITED]);
  add("waited for a worker", bar[QUEUED]);
  add("loaded arguments", bar[LOADED]);
  add("ran", bar[RAN] < 0 ? store.end(bar) - bar[START] : bar[RAN]);
  add("stored result", bar[STORED]);
  facts.push(["lane", store.state.lanes[bar[LANE]][0]]);
  return facts;
}
