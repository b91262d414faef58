// Draws the model's last snapshot: a head line with Stop, and a bar for each function.
//
// model.snapshot: {rows: [{name, waiting, running, done, failed, cancelled}], sum, total,
//                  elapsed, rate, left}; model.stopping: Stop was asked for.
// Colours tell kinds apart for colour-blind eyes too, and every number also stands as text.

const KINDS = ["done", "running", "failed", "cancelled"]; // in the bar; the rest of it waits
const WORDS = ["done", "running", "waiting", "failed", "cancelled"];
const SPOKEN_EVERY_MS = 5000;

const number = (value) => Math.round(value).toLocaleString("en");

function seconds(value) {
  if (value < 10) return `${value.toFixed(1)} s`;
  const whole = Math.round(value);
  if (whole < 120) return `${whole} s`;
  if (whole < 7200) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

const counts = (row) =>
  WORDS.filter((kind) => row[kind]).map((kind) => `${number(row[kind])} ${kind}`).join(" · ");

function title({ sum, total, elapsed, rate, left }) {
  const ended = total - sum.waiting - sum.running;
  const parts = [`${number(ended)} of ${number(total)} tasks done`, seconds(elapsed)];
  if (rate > 0) parts.push(`${rate >= 10 ? number(rate) : rate.toFixed(1)}/s`);
  if (left != null && ended < total) parts.push(`about ${seconds(left)} left`);
  return parts.join(" · ");
}

function element(tag, className, parent) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  parent.append(made);
  return made;
}

function makeRow(parent) {
  const name = element("div", "rk-name", parent);
  const bar = element("div", "rk-bar", parent);
  bar.setAttribute("role", "progressbar");
  bar.setAttribute("aria-valuemin", "0");
  const parts = KINDS.map((kind) => {
    const part = element("span", "", bar);
    part.style.background = `var(--rk-${kind})`;
    return part;
  });
  const text = element("div", "rk-counts", parent);
  return { name, bar, parts, text };
}

function drawRow(cells, row) {
  const total = WORDS.reduce((sum, kind) => sum + row[kind], 0);
  cells.name.textContent = row.name;
  cells.name.title = row.name;
  cells.bar.setAttribute("aria-label", row.name);
  cells.bar.setAttribute("aria-valuemax", total);
  cells.bar.setAttribute("aria-valuenow", total - row.waiting - row.running);
  cells.bar.setAttribute("aria-valuetext", counts(row));
  KINDS.forEach((kind, i) => {
    cells.parts[i].style.width = `${total ? (100 * row[kind]) / total : 0}%`;
  });
  cells.text.textContent = counts(row);
}

function render({ model, el }) {
  const root = element("div", "raykernel-progress", el);
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", "Progress of this cell's tasks");
  const head = element("div", "rk-head", root);
  const headline = element("div", "rk-title", head);
  const stop = element("button", "", head);
  stop.type = "button";
  stop.title = "Cancel this cell's tasks";
  const list = element("div", "rk-rows", root);
  const spoken = element("div", "rk-spoken", root);
  spoken.setAttribute("role", "status");
  const rows = [];
  let lastSpoken = 0;
  let asked = false;

  function draw() {
    const snapshot = model.get("snapshot");
    if (!snapshot || !snapshot.rows) return;
    const stopping = asked || model.get("stopping");
    headline.textContent = title(snapshot);
    stop.textContent = stopping ? "Stopping…" : "Stop";
    stop.disabled = stopping || snapshot.sum.waiting + snapshot.sum.running === 0;
    while (rows.length < snapshot.rows.length) rows.push(makeRow(list));
    while (rows.length > snapshot.rows.length) {
      const { name, bar, text } = rows.pop();
      [name, bar, text].forEach((node) => node.remove());
    }
    snapshot.rows.forEach((row, i) => drawRow(rows[i], row));
    if (Date.now() - lastSpoken >= SPOKEN_EVERY_MS) {
      lastSpoken = Date.now();
      spoken.textContent = title(snapshot);
    }
  }

  stop.addEventListener("click", () => {
    asked = true; // shown at once, even where the kernel handles it only after the cell
    model.send({ type: "stop" });
    draw();
  });
  function answered() {
    asked = false;
    draw();
  }

  model.on("change:snapshot", draw);
  model.on("change:stopping", answered);
  draw();
  model.send({ type: "drawn" });
  return () => {
    model.off("change:snapshot", draw);
    model.off("change:stopping", answered);
    root.remove();
  };
}

export default { render };
