// What a person reads of the graph: the line under the pointer, and the selected node's story.

import { bytes, clock, count, duration, element, textual, wordButton, write } from "./dom.js";
import {
  COUNTS, ENDED, ERROR, ID, KIND, LABEL, MADE, PARENT, STARTED, STATE, SUBMITTED, TAKEN, WORKER,
} from "./graph_store.js";

/** One line on a node. */
export function summary(store, row) {
  const { looks } = store.style;
  if (row[KIND] === "group") {
    return row[COUNTS].map((n, s) => (n ? `${n} ${looks[s].label}` : "")).filter(Boolean).join(", ");
  }
  const parts = [looks[row[STATE]].label];
  if (row[STARTED]) parts.push(duration(runTime(row)));
  if (row[WORKER]) parts.push(`worker ${row[WORKER]}`);
  if (row[TAKEN]) parts.push(`took ${bytes(row[TAKEN])}`);
  if (row[MADE]) parts.push(`made ${bytes(row[MADE])}`);
  if (row[ERROR]) parts.push(row[ERROR].slice(0, 120));
  return parts.join(" · ");
}

/** One line on a task as the kernel told it (a cell of an unfolded card). */
export function toldSummary(told) {
  if (told.refused) return told.refused;
  const parts = [told.state.toLowerCase()];
  if (told.started) parts.push(duration((told.ended || Date.now() / 1000) - told.started));
  if (told.worker) parts.push(`worker ${told.worker}`);
  if (told.taken) parts.push(`took ${bytes(told.taken)}`);
  if (told.made) parts.push(`made ${bytes(told.made)}`);
  if (told.error) parts.push(told.error.slice(0, 120));
  return parts.join(" · ");
}

function runTime(row) {
  return Math.max(0, (row[ENDED] || Date.now() / 1000) - row[STARTED]);
}

/** Facts of a task from its row: what is known without asking. */
function rowFacts(store, row) {
  const facts = [["state", store.style.looks[row[STATE]].label]];
  if (row[STARTED]) facts.push(["ran", duration(runTime(row))]);
  if (row[STARTED] && row[SUBMITTED]) facts.push(["waited", duration(row[STARTED] - row[SUBMITTED])]);
  if (row[SUBMITTED]) facts.push(["submitted", clock(row[SUBMITTED])]);
  if (row[ENDED]) facts.push(["ended", clock(row[ENDED])]);
  if (row[WORKER]) facts.push(["worker", row[WORKER]]);
  facts.push(["id", row[ID]]);
  return facts;
}

/** Facts of a task as the kernel told them: where its time went, and its sizes. */
function toldFacts(told) {
  const facts = [["state", told.state.toLowerCase()]];
  const add = (name, from, to, more = "") => {
    if (from && to && (to - from > 0 || more)) {
      facts.push([name, `${duration(Math.max(0, to - from))}${more}`]);
    }
  };
  const ready = told.ready || told.submitted, called = told.called || told.started;
  if (told.ready) add("waited for arguments", told.submitted, told.ready);
  add("waited for a worker", ready, told.started);
  if (told.called) add("loaded arguments", told.started, told.called, told.taken ? `, ${bytes(told.taken)}` : "");
  if (called) add("ran", called, told.returned || told.ended || Date.now() / 1000);
  if (told.returned) add("stored result", told.returned, told.ended, told.made ? `, ${bytes(told.made)}` : "");
  if (told.submitted) facts.push(["submitted", clock(told.submitted)]);
  if (told.ended) facts.push(["ended", clock(told.ended)]);
  if (told.worker) facts.push(["worker", told.worker]);
  if (told.resources) facts.push(["needs", told.resources]);
  if (told.attempt > 1) facts.push(["tries", String(told.attempt)]);
  facts.push(["id", told.id]);
  return facts;
}

/** Fill the panel for what is selected; false if nothing is. */
export function fillDetail(store, panel, { close, debug }) {
  const { state, selected, cell, style, story } = store;
  const row = state.nodes[selected];
  if (!row) return false;
  const card = row[KIND] === "group", ofTask = !card || cell >= 0;
  const told = ofTask && story && !story.refused ? story : null;
  let facts = [], errors = [];
  if (told) {
    facts = toldFacts(told);
    if (told.error) errors.push(told.error);
  } else if (!card) {
    facts = rowFacts(store, row);
    if (row[ERROR]) errors.push(row[ERROR]);
  } else if (cell >= 0) {
    facts = [["state", style.looks[store.open.get(selected)?.states[cell] ?? 0].label]];
    if (story) facts.push(["note", story.refused]);
  } else {
    row[COUNTS].forEach((n, number) => n && facts.push([style.looks[number].label, n]));
    for (const [name, error, times] of state.failures) {
      if (name === row[LABEL]) errors.push(times > 1 ? `${error}\n${times} times` : error);
    }
  }
  if (cell < 0) {
    let inputs = 0, outputs = 0;
    for (const [from, to, , relation] of store.edges.values()) {
      if (relation !== PARENT && to === selected) inputs += 1;
      if (relation !== PARENT && from === selected) outputs += 1;
    }
    if (inputs || outputs) facts.push(["inputs", `${inputs}, used by ${outputs}`]);
  }
  const id = told ? told.id : !card ? row[ID] : "";
  const failed = errors.length > 0 && ofTask;
  const key = JSON.stringify([selected, cell, facts, errors, store.log, store.open.has(selected)]);
  if (key === panel.shows) return true; // rebuilding it would lose focus and scroll place
  panel.shows = key;
  const table = element("div", "rk-facts");
  for (const [name, value] of facts) table.append(textual("span", name), textual("span", value));
  const shut = element("button", "rk-close");
  shut.type = "button";
  shut.setAttribute("aria-label", "Close details");
  shut.textContent = "×";
  shut.addEventListener("click", close);
  const deeds = element("div", "rk-deeds");
  if (card && cell < 0) {
    const open = store.open.has(selected);
    const total = row[COUNTS].reduce((sum, n) => sum + n, 0);
    wordButton(deeds, open ? "Fold" : `Unfold ${count(total, "task")}`,
               () => store.unfold(selected, !open));
  }
  if (id) {
    wordButton(deeds, "Log", async () => {
      store.log = await store.ask("log", { id });
      store.tell();
    }, "What this task wrote");
    if (failed) wordButton(deeds, "Debug", () => debug(id), "Copies %ray debug for this task");
  }
  const boxes = errors.map((error) => textual("div", error, "rk-error"));
  if (store.log && ofTask) {
    boxes.push(textual("pre", store.log.refused || store.log.text || "It wrote nothing.", "rk-text"));
  }
  const title = textual("h4", row[LABEL] + (cell >= 0 ? ` · ${cell + 1}` : ""));
  panel.replaceChildren(title, shut, table, deeds, ...boxes);
  return true;
}

/** Copy the command that opens a failed task's frame, and say so. */
export async function copyDebug(id, voice, panel) {
  const command = `%ray debug ${id}`;
  let words = `Copied: ${command}`;
  try {
    await navigator.clipboard.writeText(command);
  } catch {
    words = `Run in a cell: ${command}`;
  }
  const note = panel.querySelector(".rk-note") || element("div", "rk-note", panel);
  write(note, words);
  voice.say(words);
}
