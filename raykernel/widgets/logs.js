// The log pane: what tasks write, as they write it.
//
// Draws what LogModel (log_model.py) says. The newest lines come by themselves; with a search or a
// filter the kernel is asked once for the lines in the log files that fit, and what comes then is
// sifted here. Lines in the page are bounded, the oldest go.

import { count, element, grouped, keepKeys, picker, searchBox, show, textual, Voice, wordButton, write } from "./dom.js";
import { Panel, widget } from "./host.js";
import { Store } from "./store.js";

const NUMBER = 0, TIME = 1, TASK_NAME = 2, PID = 3, IS_ERROR = 4, CELL = 6, ACTOR = 7, TEXT = 8;
const HELD = 3000; // lines that are remembered
const DRAWN = 1000; // lines in the page

class LogStore extends Store {
  empty() {
    return { version: -1, total: 0, live: 0, names: [], cells: [], actors: [], lines: [], about: "" };
  }

  setUp() {
    this.filter = { text: "", name: "", cell: "", actor: "" };
    this.follow = true;
    this.found = null; // what the kernel found in the files for the filter
    this.epoch = 0; // grows when the lines are others, and not only more
  }

  replace(snapshot) {
    const before = this.state ? this.state.lines : [], first = snapshot.lines[0]?.[NUMBER] ?? 0;
    const kept = before.filter((line) => line[NUMBER] < first);
    const gap = kept.length && kept.at(-1)[NUMBER] >= snapshot.total;
    this.state = { ...snapshot, lines: gap ? snapshot.lines : [...kept, ...snapshot.lines].slice(-HELD) };
    if (gap || !this.state.lines.length) this.epoch += 1;
  }

  fold(delta) {
    const lines = [...this.state.lines, ...delta.lines].slice(-HELD);
    super.fold(delta);
    this.state.lines = lines;
  }

  get filtered() {
    return Object.values(this.filter).some(Boolean);
  }

  fits(line) {
    const { text, name, cell, actor } = this.filter;
    return (!text || line[TEXT].toLowerCase().includes(text.toLowerCase())) &&
      (!name || line[TASK_NAME] === name) && (!cell || line[CELL] === cell) && (!actor || line[ACTOR] === actor);
  }

  async choose(filter) {
    this.filter = filter;
    this.found = null;
    this.epoch += 1;
    this.tell();
    if (!this.filtered) return;
    const { epoch } = this;
    const answer = await this.ask("find", filter);
    if (epoch !== this.epoch) return;
    this.found = { lines: answer.lines || [], more: answer.more, refused: answer.refused,
                   upto: answer.upto ?? this.state.total };
    this.epoch += 1;
    this.tell();
  }

  /** The lines to draw, oldest first. */
  shown() {
    const { lines } = this.state;
    if (!this.filtered) return lines;
    if (!this.found) return lines.filter((line) => this.fits(line));
    return [...this.found.lines, ...lines.filter((line) => line[NUMBER] >= this.found.upto && this.fits(line))];
  }
}

export class LogView extends Panel {
  constructor(store) {
    super(store, "logs");
    this.drawn = { epoch: -1, last: -1 };
    this.build();
    this.begin();
  }

  refocus() {
    super.refocus();
    this.scrollDown();
  }

  build() {
    const bar = this.bar;
    this.total = element("span", "rk-total", bar);
    this.part = element("span", "rk-matches", bar);
    const tools = element("span", "rk-tools", bar);
    const choose = () => this.store.choose({
      text: this.search.value.trim(), name: this.name.value, cell: this.cell.value, actor: this.actor.value,
    });
    this.name = picker(tools, "Task", choose);
    this.actor = picker(tools, "Actor", choose);
    this.cell = picker(tools, "Cell", choose);
    this.search = searchBox(tools, "Search the log files", choose);
    const { filter } = this.store;
    this.search.value = filter.text;
    this.following = wordButton(tools, "Follow", () => this.toggleFollow(), "Keep the newest line in view");
    this.lines = element("div", "rk-lines", this.root);
    this.lines.tabIndex = 0;
    keepKeys(this.lines);
    this.lines.setAttribute("role", "log");
    this.lines.setAttribute("aria-live", "off"); // the summary is spoken, not every line
    this.lines.addEventListener("scroll", () => {
      const down = this.lines.scrollHeight - this.lines.scrollTop - this.lines.clientHeight < 24;
      if (down === this.store.follow) return;
      this.store.follow = down;
      this.following.setAttribute("aria-pressed", String(down));
    });
    this.empty = textual("div", "", "rk-none");
    this.lines.append(this.empty);
    this.rows = element("div", "", this.lines);
    this.voice = new Voice(this.root);
  }

  toggleFollow() {
    this.store.follow = !this.store.follow;
    this.following.setAttribute("aria-pressed", String(this.store.follow));
    this.scrollDown();
  }

  scrollDown() {
    if (this.store.follow) this.lines.scrollTop = this.lines.scrollHeight;
  }

  update() {
    const { store } = this, { state, filter } = store;
    const words = `${count(state.total, "line")}${state.about ? ` of ${state.about}` : ""}`;
    write(this.total, words);
    for (const [choice, values, all] of [[this.name, state.names, "all"], [this.actor, state.actors, "all"],
                                         [this.cell, state.cells, "all"]]) {
      choice.offer(values.map((value) => [value, value]), all);
      show(choice.parentNode, values.length > (choice === this.actor ? 0 : 1));
    }
    [this.name.value, this.cell.value, this.actor.value] = [filter.name, filter.cell, filter.actor];
    this.following.setAttribute("aria-pressed", String(store.follow));
    this.root.setAttribute("aria-label", `Task output: ${words}`);
    this.lines.setAttribute("aria-label", "Task output");
    const shown = store.shown();
    const { found } = store;
    write(this.part, !store.filtered ? "" : !found ? "searching…" : found.refused ||
      `${found.more ? "the last " : ""}${grouped(shown.length)} found`);
    this.voice.say(store.filtered ? this.part.textContent : words, store.filtered);
    show(this.empty, !shown.length);
    write(this.empty, store.filtered ? "No line fits." : "What tasks write appears here.");
    this.draw(shown.slice(-DRAWN));
  }

  /** Add what is missing at the end, or draw all anew where the lines are others. */
  draw(lines) {
    const { drawn, store } = this;
    let fresh = lines;
    if (drawn.epoch === store.epoch && drawn.last >= 0) {
      const known = lines.findIndex((line) => line[NUMBER] > drawn.last);
      fresh = known < 0 ? [] : lines.slice(known);
    } else {
      this.rows.replaceChildren();
      drawn.last = -1;
    }
    drawn.epoch = store.epoch;
    const box = document.createDocumentFragment();
    for (const line of fresh) {
      const missing = drawn.last >= 0 && line[NUMBER] > drawn.last + 1 && !store.filtered;
      if (missing) {
        const words = `… ${count(line[NUMBER] - drawn.last - 1, "line")} more, which a search finds`;
        box.append(textual("div", words, "rk-more"));
      }
      box.append(this.row(line));
      if (line[NUMBER] >= 0) drawn.last = line[NUMBER];
    }
    if (store.filtered && store.found) drawn.last = Math.max(drawn.last, store.found.upto - 1);
    if (!fresh.length) return;
    this.rows.append(box);
    while (this.rows.children.length > DRAWN + 50) this.rows.firstChild.remove();
    this.scrollDown();
  }

  row(line) {
    const row = element("div", line[IS_ERROR] ? "rk-log rk-err" : "rk-log");
    row.append(textual("span", new Date(line[TIME] * 1000).toLocaleTimeString("en", { hour12: false })));
    const who = element("span", "rk-who");
    who.append(textual("span", line[TASK_NAME] || "worker"), textual("span", ` · ${line[PID]}`));
    who.title = [line[TASK_NAME], line[ACTOR] && `actor ${line[ACTOR]}`, `process ${line[PID]}`, line[CELL],
                 line[IS_ERROR] ? "written to stderr" : ""].filter(Boolean).join(", ");
    const text = element("div", "rk-said");
    marked(text, line[TEXT], this.store.filter.text);
    row.append(who, text);
    return row;
  }
}

/** Write a text with what was searched for marked. */
function marked(node, text, wanted) {
  if (!wanted) {
    node.textContent = text;
    return;
  }
  const low = text.toLowerCase(), sought = wanted.toLowerCase();
  let at = 0;
  for (let hit = low.indexOf(sought); hit >= 0; hit = low.indexOf(sought, at)) {
    node.append(text.slice(at, hit), textual("mark", text.slice(hit, hit + sought.length)));
    at = hit + sought.length;
  }
  node.append(text.slice(at));
}

export default widget((model) => LogStore.of(model), (store) => new LogView(store));
