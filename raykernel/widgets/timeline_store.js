// What the timeline knows: bars by number, lanes, and how many tasks were waiting when.
//
// Snapshots hold only the newest bars. What this page has heard before it keeps; a page that was
// opened later asks for what came earlier, page by page.

import { Store } from "./store.js";

// places in a bar, behind its number
export const LANE = 1, ROW = 2, NAME = 3, STATE_OF = 4, COUNT_OF = 5, START = 6;
export const WAITED = 7, QUEUED = 8, LOADED = 9, RAN = 10, STORED = 11;

const PAGE_EVERY = 600; // ms: what came earlier must not crowd out what comes

export class TimelineStore extends Store {
  setUp() {
    this.bars = new Map();
    this.samples = [];
    this.window = null; // [from, to] in microseconds; null: everything, growing
    this.follow = false; // the window slides with the newest
    this.selected = -1; // a bar's number
    this.story = null;
    this.scroll = 0; // pixels down the lanes
    this.heardAt = performance.now();
    this.asking = false;
  }

  empty() {
    return { version: -1, counts: [0, 0, 0, 0, 0, 0], total: 0, origin: 0, time: 0, lanes: [],
             names: [], first: 0, samples: [] };
  }

  replace({ bars, samples, ...rest }) {
    if (rest.origin !== this.state.origin) this.setUp();
    this.state = rest;
    this.takeIn(bars, samples);
    this.askOlder();
  }

  fold({ base, bars, samples, ...rest }) {
    Object.assign(this.state, rest);
    this.takeIn(bars, samples);
  }

  takeIn(bars, samples) {
    this.heardAt = performance.now();
    for (const bar of bars) {
      const before = this.bars.get(bar[0]);
      this.bars.set(bar[0], bar);
      if (bar[0] === this.selected && before && before[STATE_OF] !== bar[STATE_OF]) this.tellStory();
    }
    for (const [number] of this.bars) {
      if (number >= this.state.first) break;
      this.bars.delete(number);
    }
    const last = this.samples.length ? this.samples[this.samples.length - 1][0] : -Infinity;
    for (const sample of samples || []) if (sample[0] > last) this.samples.push(sample);
    if (this.samples.length > 4000) this.samples.splice(0, 1000);
  }

  async askOlder() {
    const oldest = Math.min(...this.bars.keys());
    if (this.asking || !this.bars.size || oldest <= this.state.first) return;
    this.asking = true;
    const told = await this.ask("older", { before: oldest });
    this.asking = false;
    if (told.refused || !told.bars.length) return;
    const all = [...told.bars, ...this.bars.values()].sort((a, b) => a[0] - b[0]);
    this.bars = new Map(all.map((bar) => [bar[0], bar]));
    this.tell();
    setTimeout(() => this.askOlder(), PAGE_EVERY);
  }

  live() {
    return this.state.counts[0] + this.state.counts[1] + this.state.counts[2] > 0;
  }

  /** Now, in microseconds after the origin: the kernel's time, carried on by the page's clock. */
  now() {
    return this.state.time + (this.live() ? (performance.now() - this.heardAt) * 1000 : 0);
  }

  end(bar) {
    return bar[RAN] < 0 ? Math.max(this.now(), bar[START]) : bar[START] + bar[LOADED] + bar[RAN] + bar[STORED];
  }

  /** All there is: [from, to]. */
  extent() {
    let from = Infinity, to = 1000;
    for (const bar of this.bars.values()) {
      if (bar[START] < from) from = bar[START];
      const end = this.end(bar);
      if (end > to) to = end;
    }
    if (this.live()) to = Math.max(to, this.now());
    from = Math.min(from, to - 1000);
    const room = (to - from) * 0.02;
    return [from - room, to + room];
  }

  select(number) {
    this.selected = number;
    this.story = this.log = null;
    this.tellStory();
    this.tell();
  }

  async tellStory() {
    const { selected } = this;
    if (selected < 0) return;
    const told = await this.ask("task", { bar: selected });
    if (selected !== this.selected) return;
    this.story = told;
    this.tell();
  }
}
