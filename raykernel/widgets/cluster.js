// The cluster panel: meters, workers and actors of a session, and what a person may do to it.
//
// Draws what ClusterModel (cluster_model.py) says. Rows are kept and only rewritten, so that a
// button under the pointer stays the same button.

import { bytes, count, element, grouped, show, stateChips, sureButton, SVG, textual, Voice, wordButton, write } from "./dom.js";
import { Panel, widget } from "./host.js";
import { Store } from "./store.js";
import { Table } from "./table.js";

const SHOWN = 100; // rows of a table
const RESERVED = "Reserved memory"; // by tasks and actors that ask for some

export class ClusterView extends Panel {
  constructor(store) {
    super(store, "cluster");
    this.build();
    this.begin();
  }

  build() {
    const bar = this.bar;
    this.name = element("span", "rk-total", bar);
    this.chips = stateChips(bar, this.store.style.looks);
    const tools = element("span", "rk-tools", bar);
    this.steps = element("span", "rk-steps");
    this.fewer = wordButton(this.steps, "−", () => this.resize(-1), "One CPU fewer");
    this.fewer.setAttribute("aria-label", "One CPU fewer");
    this.more = wordButton(this.steps, "+", () => this.resize(1), "One CPU more");
    this.more.setAttribute("aria-label", "One CPU more");
    this.start = wordButton(tools, "Start", () => this.ask("start"), "Start a session");
    this.stop = sureButton(tools, "Stop session", () => this.ask("stop"),
                           "End the session with its tasks, actors and objects");
    this.note = element("div", "rk-refused", this.root);
    this.note.setAttribute("role", "alert");
    this.empty = textual("div", "No session is running. Start one here, or submit a task.", "rk-none");
    this.root.append(this.empty);
    this.body = element("div", "rk-cluster-body", this.root);
    this.meters = new Map();
    this.meterBox = element("div", "rk-meters", this.body);
    this.actors = new Table(this.body, "Actors", ["actor", "name", "state", "restarts", "queue", "process", ""],
                            null, [3, 4, 5]);
    this.workers = new Table(this.body, "Workers", ["worker", "state", "runs", "tasks", "CPU", "memory"], null, [3, 4, 5]);
    this.nodes = new Table(this.body, "Nodes", ["node", "state", "resources", "load"]);
    this.voice = new Voice(this.root);
  }

  async ask(what, more = {}) {
    const told = await this.store.ask(what, more);
    write(this.note, told.refused || "");
    show(this.note, Boolean(told.refused));
  }

  resize(by) {
    const [, total] = this.store.state.resources.CPU || [0, 0];
    this.ask("resize", { cpus: Math.round(total) + by });
  }

  update() {
    const { state } = this.store, runs = Boolean(state.session);
    write(this.name, runs ? `Session ${state.session}` : "No session");
    this.chips(state.counts || []);
    show(this.body, runs);
    show(this.empty, !runs);
    show(this.stop, runs && state.controls);
    show(this.start, !runs && state.controls);
    if (!this.note.textContent) show(this.note, false);
    const words = runs ? this.words(state) : "No session is running";
    this.root.setAttribute("aria-label", `Cluster: ${words}`);
    this.voice.say(words, false);
    if (!runs) return;
    const [, cpus] = state.resources.CPU || [0, 0];
    this.fewer.disabled = cpus <= 1;
    this.fillMeters(state);
    this.fillTables(state);
  }

  words(state) {
    const [used, total] = state.resources.CPU || [0, 0];
    return `${used} of ${count(total, "CPU")} in use, ${count(state.worker_count, "worker")}, ` +
      `${count(state.actor_count, "actor")}, ${count(state.total, "task")}`;
  }

  fillMeters(state) {
    const { resources, store, machine, history } = state;
    const names = Object.keys(resources).sort((a, b) => (b === "CPU") - (a === "CPU") || (a < b ? -1 : 1));
    const cpus = resources.CPU;
    if (cpus) {
      this.meter("CPU", [[cpus[0], "var(--rk-busy)"]], cpus[1], `${round(cpus[0])} of ${round(cpus[1])} in use`,
                 { history: history.map(([used]) => used / Math.max(1, cpus[1])) });
    }
    const parts = [count(store.objects, "object")];
    if (store.pinned) parts.push(`${bytes(store.pinned)} pinned`);
    if (store.on_disk) parts.push(`${bytes(store.on_disk)} on disk`);
    else if (store.spilled) parts.push(`${bytes(store.spilled)} spilled`);
    const pinned = Math.min(store.pinned || 0, store.used);
    this.meter("Object store", [[pinned, "var(--rk-pinned)"], [store.used - pinned, "var(--rk-busy)"]],
               store.capacity, `${bytes(store.used)} of ${bytes(store.capacity)}`,
               { more: parts.join(" · "), history: history.map(([, used]) => used / Math.max(1, store.capacity)) });
    this.meter("Machine's memory", [[machine.memory[0], "var(--rk-calm)"]], machine.memory[1],
               `${bytes(machine.memory[0])} of ${bytes(machine.memory[1])}`);
    const said = (name) => name !== "CPU" && (name !== "memory" || resources[name]?.[0] > 0);
    for (const [name, meter] of this.meters) if (name === RESERVED) show(meter.box, said("memory"));
    for (const name of names.filter(said).slice(0, 7)) {
      const [used, total] = resources[name];
      const words = name === "memory" ? `${bytes(used)} of ${bytes(total)}` : `${round(used)} of ${round(total)} in use`;
      this.meter(name === "memory" ? RESERVED : name, [[used, "var(--rk-busy)"]], total, words);
    }
  }

  /** `more` is said below the bar, `history` is a curve of parts of the whole. */
  meter(name, parts, total, words, { more = "", history = null } = {}) {
    let meter = this.meters.get(name);
    if (!meter) {
      const box = element("div", "rk-meter", this.meterBox);
      meter = { box, name: textual("span", name, "rk-meter-name"), words: element("span", "rk-meter-words"),
                bar: element("span", "rk-meter-bar"), more: element("span", "rk-meter-more"), curve: document.createElementNS(SVG, "svg") };
      meter.bar.setAttribute("role", "meter");
      meter.bar.setAttribute("aria-label", name);
      meter.bar.setAttribute("aria-valuemin", "0");
      meter.curve.setAttribute("viewBox", "0 0 120 20");
      meter.curve.setAttribute("preserveAspectRatio", "none");
      meter.curve.setAttribute("aria-hidden", "true");
      meter.curve.append(document.createElementNS(SVG, "path"));
      box.append(meter.name, meter.words, meter.bar, meter.more, meter.curve);
      if (name === "CPU") meter.name.append(this.steps);
      this.meters.set(name, meter);
    }
    write(meter.words, words);
    write(meter.more, more);
    show(meter.more, Boolean(more));
    meter.bar.setAttribute("aria-valuemax", total);
    meter.bar.setAttribute("aria-valuenow", parts.reduce((sum, [n]) => sum + n, 0));
    meter.bar.setAttribute("aria-valuetext", more ? `${words}, ${more}` : words);
    while (meter.bar.children.length < parts.length) element("span", "", meter.bar);
    parts.forEach(([n, colour], index) => {
      const part = meter.bar.children[index];
      part.style.width = `${Math.max(0, Math.min(100, (100 * n) / Math.max(total, 1e-9)))}%`;
      part.style.background = colour;
    });
    meter.curve.style.display = history ? "" : "none";
    if (history) {
      const points = history.map((part, n) => `${120 - history.length + n + 1},${(20 - 19 * Math.min(1, Math.max(0, part))).toFixed(1)}`);
      meter.curve.firstChild.setAttribute("d", points.length
        ? `M${120 - history.length + 1},20L${points.join("L")}L120,20Z` : "");
    }
  }

  fillTables(state) {
    this.actors.fill(state.actors.slice(0, SHOWN).map((one) => ({
      key: one.id, faint: one.state === "DEAD", title: one.reason,
      cells: [one.class, one.name, one.state.toLowerCase(), grouped(one.restarts), grouped(one.queued), one.pid || ""],
      deed: one.state === "DEAD" ? null : (cell) => sureButton(cell, "Kill",
        () => this.ask("kill", { actor: one.id }), `Kill ${one.class}${one.name ? ` ${one.name}` : ""}`),
    })), shares(state.actor_states, state.actor_count));
    this.workers.fill(state.workers.slice(0, SHOWN).map((one, n) => ({
      key: one.pid || `starting ${n}`, faint: one.state === "idle",
      cells: [one.pid || "", one.state, one.actor, grouped(one.tasks),
              one.cpu < 0 ? "unknown" : `${Math.round(one.cpu * 100)} %`,
              one.memory < 0 ? "unknown" : one.memory ? bytes(one.memory) : ""],
    })), shares(state.worker_states, state.worker_count));
    this.nodes.fill(state.nodes.map((one) => ({
      key: one.id || one.has, cells: [one.id.slice(0, 12), one.state, one.has, one.load],
    })), String(state.nodes.length));
  }
}

/** `267 alive, 33 dead; the first 100 are listed` */
function shares(states, all) {
  const words = Object.entries(states || {}).map(([name, n]) => `${grouped(n)} ${name}`).join(", ") || "none";
  return all > SHOWN ? `${words}; the first ${SHOWN} are listed` : words;
}

function round(n) {
  return String(Math.round(n * 100) / 100);
}

export default widget((model) => Store.of(model), (store) => new ClusterView(store));
