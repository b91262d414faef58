// Draws the model's last snapshot: a head line with its buttons, a bar for each function, the bars
// that tasks move, and the errors, folded.
//
// model.snapshot: {rows: [{name, waiting, running, done, failed, cancelled, actor}], sum, total,
//                  elapsed, rate, left, failures: [{name, error, task, count}], more_bars, waited, waits,
//                  bars: [{label, who, n, total, unit, rate, left, text, closed}]}
// model.stopping: Stop was asked for; model.background: the cell goes on without its work.
// model.still: HTML that replaces all that, when the work is done.
// model.view_id: names the view where its still form waits for it (place.js).
// To Python: drawn and hello (where), stop, background, explain (task); from it: explained (task, text).
// Colours tell kinds apart for colour-blind eyes too, and every number also stands as text.

import { element, keepKeys } from "./dom.js";
import { ending, Focus, inhabit, pageIsLab } from "./place.js";

const KINDS = ["done", "running", "failed", "cancelled"]; // in the bar; the rest of it waits
const WORDS = ["done", "running", "waiting", "failed", "cancelled"];
const SPOKEN_EVERY_MS = 5000;
const TAKEN_WITHIN = 5000; // ms that another output may take to appear

const number = (value) =>
  Number.isInteger(value)
    ? value.toLocaleString("en")
    : value.toLocaleString("en", { maximumSignificantDigits: 4 });
const whole = (value) => number(Math.round(value));
const speed = (value) => (value >= 10 ? whole(value) : value.toFixed(value >= 0.1 ? 1 : 2));

function seconds(value) {
  if (value < 10) return `${value.toFixed(1)} s`;
  const rounded = Math.round(value);
  if (rounded < 120) return `${rounded} s`;
  if (rounded < 7200) return `${Math.floor(rounded / 60)} min ${rounded % 60} s`;
  return `${Math.floor(rounded / 3600)} h ${Math.floor((rounded % 3600) / 60)} min`;
}

const counts = (row) =>
  WORDS.filter((kind) => row[kind]).map((kind) => `${whole(row[kind])} ${kind}`).join(" · ");

function ended({ sum, total }) {
  if (!total) return "Running";
  return `${whole(total - sum.waiting - sum.running)} of ${whole(total)} tasks done`;
}

function pace({ sum, total, elapsed, rate, left, waits }) {
  const parts = [seconds(elapsed)];
  if (rate > 0) parts.push(`${speed(rate)}/s`);
  if (left != null && sum.waiting + sum.running) parts.push(`about ${seconds(left)} left`);
  if (waits) parts.push(waits);
  return parts.join(" · ");
}

function barText({ n, total, unit, rate, left, closed }) {
  const parts = [];
  if (total) parts.push(`${Math.min(100, Math.floor((100 * n) / total))} %`);
  parts.push(total == null ? `${number(n)} ${unit}` : `${number(n)}/${number(total)}`);
  if (rate > 0) parts.push(rate >= 0.1 ? `${speed(rate)} ${unit}/s` : `${seconds(1 / rate)}/${unit}`);
  if (!closed && left != null) parts.push(`${seconds(left)} left`);
  return parts.join(" · ");
}

const setText = (node, text) => {
  if (node.textContent !== text) node.textContent = text; // an equal one would unselect
};

// Keeps as many children as there are items, and draws each of them.
function fill(made, items, make, draw) {
  while (made.length < items.length) made.push(make());
  while (made.length > items.length) made.pop().nodes.forEach((node) => node.remove());
  items.forEach((item, i) => draw(made[i], item));
}

function makeRow(parent, kinds) {
  const name = element("div", "rk-name", parent);
  const bar = element("div", "rk-bar", parent);
  bar.setAttribute("role", "progressbar");
  bar.setAttribute("aria-valuemin", "0");
  const parts = kinds.map((kind) => {
    const part = element("span", "", bar);
    part.style.background = `var(--rk-${kind})`;
    return part;
  });
  const text = element("div", "rk-counts", parent);
  return { name, bar, parts, text, nodes: [name, bar, text] };
}

function drawBar(cells, label, title, text, most, now, widths) {
  setText(cells.name, label);
  cells.name.title = title;
  cells.bar.setAttribute("aria-label", label);
  if (most > 0) {
    cells.bar.setAttribute("aria-valuemax", most);
    cells.bar.setAttribute("aria-valuenow", now);
  } else {
    cells.bar.removeAttribute("aria-valuenow"); // how far it is nobody knows
  }
  cells.bar.setAttribute("aria-valuetext", text);
  widths.forEach((width, i) => {
    cells.parts[i].style.width = `${most > 0 ? Math.min(100, (100 * width) / most) : 0}%`;
  });
  setText(cells.text, text);
  cells.text.title = text;
}

function drawRow(cells, row) {
  const total = WORDS.reduce((sum, kind) => sum + row[kind], 0);
  const label = row.actor ? `${row.name} (${total === 1 ? "actor" : "actors"})` : row.name;
  const done = total - row.waiting - row.running;
  drawBar(cells, label, row.name, counts(row), total, done, KINDS.map((kind) => row[kind]));
}

function drawMoved(cells, bar) {
  cells.name.classList.toggle("rk-whole", Boolean(bar.text));
  cells.bar.hidden = cells.text.hidden = Boolean(bar.text);
  cells.bar.style.display = cells.text.style.display = bar.text ? "none" : "";
  if (bar.text) {
    setText(cells.name, bar.text);
    cells.name.title = bar.who;
    return;
  }
  cells.parts[0].style.background = `var(--rk-${bar.closed ? "done" : "running"})`;
  drawBar(cells, bar.label, bar.who, barText(bar), bar.total ?? 0, bar.n, [bar.n]);
}

function makeFailure(parent, explain) {
  const root = element("div", "rk-failure", parent);
  const name = element("span", "rk-name", root);
  const error = element("span", "rk-error", root);
  const task = element("span", "rk-task", root);
  const button = element("button", "", root);
  const made = { name, error, task, button, trace: null, shown: "", nodes: [root] };
  button.type = "button";
  button.addEventListener("click", () => {
    if (made.trace) {
      made.trace.remove();
      made.trace = null;
    } else {
      made.trace = element("pre", "", root);
      made.trace.tabIndex = 0;
      keepKeys(made.trace);
      made.trace.textContent = "…";
      explain(made.shown);
    }
    label(made);
  });
  return made;
}

function label(made) {
  setText(made.button, made.trace ? "Hide traceback" : "Show traceback");
  made.button.setAttribute("aria-expanded", String(Boolean(made.trace)));
}

function drawFailure(made, failure) {
  if (made.shown !== failure.task && made.trace) {
    made.trace.remove();
    made.trace = null;
  }
  made.shown = failure.task;
  setText(made.name, failure.name + (failure.count > 1 ? ` ×${whole(failure.count)}` : ""));
  setText(made.error, failure.error);
  setText(made.task, `task ${failure.task.slice(0, 8)}…${failure.task.slice(-6)}`);
  made.task.title = failure.task;
  label(made);
}

/** The block: {root, refocus, destroy}. */
function makeProgress(model) {
  const root = element("div", "raykernel-progress");
  const focus = new Focus(root);
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", "Progress of this cell's tasks");
  const head = element("div", "rk-head", root);
  const headline = element("div", "rk-title", head);
  const done = element("b", "", headline);
  done.style.fontWeight = "600";
  const tempo = element("span", "", headline);
  const away = element("button", "rk-background", head);
  away.type = "button";
  away.title = "End this cell here; its tasks go on";
  const stop = element("button", "rk-stop", head);
  stop.type = "button";
  stop.title = "Cancel this cell's tasks";
  const list = element("div", "rk-rows", root);
  const line = element("div", "rk-line", list);
  const more = element("div", "rk-counts rk-moved rk-whole", list);
  const failures = element("details", "rk-failures", root);
  const summary = element("summary", "", failures);
  const spoken = element("div", "rk-spoken", root);
  spoken.setAttribute("role", "status");
  const rows = [];
  const bars = [];
  const failed = [];
  let lastSpoken = 0;
  let asked = ""; // what a button asked for, until Python answers

  function draw() {
    if (model.get("still")) {
      root.innerHTML = model.get("still");
      return;
    }
    const snapshot = model.get("snapshot");
    if (!snapshot || !snapshot.rows) return;
    const stopping = asked === "stop" || model.get("stopping");
    const leaving = asked === "background" || model.get("background");
    setText(done, ended(snapshot));
    setText(tempo, ` · ${pace(snapshot)}`);
    setText(stop, stopping ? "Stopping…" : "Stop");
    stop.disabled = stopping || snapshot.sum.waiting + snapshot.sum.running === 0;
    setText(away, leaving || !snapshot.waited ? "In the background" : "To the background");
    away.disabled = leaving || stopping || !snapshot.waited;
    away.hidden = stop.disabled && !stopping;
    fill(rows, snapshot.rows, () => makeRow(list, KINDS), drawRow);
    fill(bars, snapshot.bars, makeMoved, drawMoved);
    line.hidden = !snapshot.bars.length || !snapshot.rows.length;
    more.hidden = !snapshot.more_bars;
    setText(more, snapshot.more_bars ? `and ${whole(snapshot.more_bars)} more bars` : "");
    const errors = snapshot.failures.reduce((sum, failure) => sum + failure.count, 0);
    failures.hidden = !errors;
    setText(summary, `${whole(errors)} ${errors === 1 ? "error" : "errors"}`);
    fill(failed, snapshot.failures, () => makeFailure(failures, explain), drawFailure);
    if (Date.now() - lastSpoken >= SPOKEN_EVERY_MS) {
      lastSpoken = Date.now();
      spoken.textContent = `${ended(snapshot)}, ${pace(snapshot)}`;
    }
  }

  function makeMoved() {
    const made = makeRow(list, ["running"]);
    made.nodes.forEach((node) => node.classList.add("rk-moved"));
    list.append(more);
    return made;
  }
  function explain(task) {
    model.send({ type: "explain", task });
  }
  function ask(what) {
    asked = what; // shown at once, even where the kernel handles it only after the cell
    model.send({ type: what });
    draw();
  }
  stop.addEventListener("click", () => ask("stop"));
  away.addEventListener("click", () => ask("background"));
  function answered() {
    asked = "";
    draw();
  }
  function hear(message) {
    if (message.type !== "explained") return;
    for (const each of failed) {
      if (each.trace && each.shown === message.task) each.trace.textContent = message.text;
    }
  }

  model.on("change:snapshot", draw);
  model.on("change:stopping", answered);
  model.on("change:still", draw);
  model.on("change:background", answered);
  model.on("msg:custom", hear);
  draw();
  return {
    root,
    refocus: () => focus.restore(),
    destroy() {
      model.off("change:snapshot", draw);
      model.off("change:stopping", answered);
      model.off("change:still", draw);
      model.off("change:background", answered);
      model.off("msg:custom", hear);
      root.remove();
    },
  };
}

/** What was drawn last in a widget's own place, by its model: the block moves to the still form that
 *  is put there instead as it is, with what is unfolded in it. */
const own = new WeakMap();

function initialize({ model, signal }) {
  const take = () => {
    const view = own.get(model);
    own.delete(model);
    if (!view) return makeProgress(model);
    view.moved = true;
    return view;
  };
  return ending(signal, inhabit({ id: model.get("view_id"), model }, take));
}

function render({ model, el, signal }) {
  const view = makeProgress(model), lab = pageIsLab();
  if (lab) own.set(model, view);
  el.append(view.root);
  const tell = () => model.send({ type: "drawn", hello: lab ? "in place" : "view" });
  tell();
  // Once more: a front end's first message waits for the cell, until it has a channel beside it.
  const again = setTimeout(tell, 500);
  const leave = () => {
    if (own.get(model) === view) own.delete(model);
    if (!view.moved) view.destroy();
  };
  return ending(signal, () => {
    clearTimeout(again);
    if (!view.moved) view.root.remove();
    if (lab) setTimeout(leave, TAKEN_WITHIN);
    else leave();
  });
}

export default { initialize, render };
