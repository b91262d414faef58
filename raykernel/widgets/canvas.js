// The frame of a view that draws on a canvas: a bar on top, and a stage with the canvas, the line
// about what is under the pointer and the details of what is selected.
//
// Who extends CanvasView says what is where and what things look like:
//
//   paint(now)              draw a frame; asked for by `dirty`, one animation frame at a time
//   point(x, y)             the pointer is there; without a place it has left
//   pick(x, y)              that was clicked
//   visit(x, y)             that was clicked twice
//   walk(dx, dy)            to the next thing in this direction
//   drag(dx, dy)            the content was dragged by so many pixels
//   zoom(factor, x, y, …)   closer, around a point
//   fit()                   show all
//   press(key)              any other key; whether it means something
//
// and calls `begin` once it is whole.

import { count, element, iconButton, onTheme, show, stateChips, stopButton, textual, Voice, write } from "./dom.js";
import { Panel } from "./host.js";

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const STRIDE = 64; // pixels that an arrow key moves the content
const STILL = 4; // pixels that a click may move

export class CanvasView extends Panel {
  /** `zoomStep` is what a button or a key zooms by. */
  constructor(store, kind, { role, empty, zoomStep }) {
    super(store, kind);
    this.zoomStep = zoomStep;
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    this.frame = 0;
    this.total = element("span", "rk-total", this.bar);
    this.chips = stateChips(this.bar, store.style.looks);
    this.tools = element("span", "rk-tools", this.bar);
    this.stop = stopButton(this.tools, store);
    this.buildTools(this.tools);
    iconButton(this.tools, "Zoom out (or Ctrl and scroll)", "M2 7h10", () => this.zoom(1 / zoomStep));
    iconButton(this.tools, "Zoom in (or Ctrl and scroll)", "M2 7h10M7 2v10", () => this.zoom(zoomStep));
    iconButton(this.tools, "Show all", "M1.5 5V1.5H5M9 1.5h3.5V5M12.5 9v3.5H9M5 12.5H1.5V9", () => this.fit());
    this.stage = element("div", "rk-stage", this.root);
    this.canvas = element("canvas", "", this.stage);
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "application");
    this.canvas.setAttribute("aria-roledescription", role);
    this.empty = textual("div", empty, "rk-empty");
    this.stage.append(this.empty);
    this.tip = element("div", "rk-tip", this.stage);
    this.detail = element("div", "rk-detail", this.stage);
    show(this.tip, false);
    show(this.detail, false);
    this.voice = new Voice(this.root);
    this.listen();
  }

  /** For heirs: more tools, between Stop and the zoom. */
  buildTools() {}

  destroy() {
    super.destroy();
    cancelAnimationFrame(this.frame);
    this.resized.disconnect();
    this.untheme();
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => this.grab(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.release(event));
    canvas.addEventListener("pointercancel", (event) => this.release(event));
    canvas.addEventListener("pointerleave", () => this.point());
    canvas.addEventListener("dblclick", (event) => this.visit(event.offsetX, event.offsetY));
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.resized = new ResizeObserver(() => this.resize());
    this.resized.observe(this.stage);
    this.untheme = onTheme(() => this.dirty());
  }

  /** What both sides of the bar say of the tasks' states. */
  updateBar(live, any) {
    const { state, style } = this.store;
    write(this.total, count(state.total, "task"));
    this.chips(state.counts);
    show(this.stop, style.stops && live);
    show(this.empty, !any);
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
    if (changed) this.sized();
    this.paint(performance.now()); // at once: a resized canvas is blank
  }

  /** For heirs: there is more room, or less. */
  sized() {}

  dirty() {
    if (this.frame || !this.width) return;
    this.frame = requestAnimationFrame((now) => {
      this.frame = 0;
      this.paint(now);
    });
  }

  // -- pointer and keys --------------------------------------------------------------------------

  grab(event) {
    if (event.button !== 0) return;
    this.grip = { x: event.clientX, y: event.clientY, moved: false };
    this.canvas.setPointerCapture(event.pointerId);
    this.canvas.focus({ preventScroll: true });
  }

  move(event) {
    const { grip } = this;
    if (!grip) return this.point(event.offsetX, event.offsetY);
    const dx = event.clientX - grip.x, dy = event.clientY - grip.y;
    if (!grip.moved && Math.hypot(dx, dy) < STILL) return;
    this.canvas.classList.add("rk-drag");
    this.grip = { x: event.clientX, y: event.clientY, moved: true };
    this.point();
    this.drag(dx, dy);
  }

  release(event) {
    const { grip } = this;
    this.grip = null;
    this.canvas.classList.remove("rk-drag");
    if (!grip || grip.moved || event.type !== "pointerup") return;
    this.point();
    this.pick(event.offsetX, event.offsetY);
  }

  wheel(event) {
    // Scrolling past must scroll the page: zoom only when it is clearly meant.
    const focused = this.canvas.getRootNode().activeElement === this.canvas;
    if (!(event.ctrlKey || event.metaKey || focused)) return;
    event.preventDefault();
    if (event.shiftKey) return this.drag(-(event.deltaY || event.deltaX), 0);
    const step = Math.max(-60, Math.min(60, event.deltaY));
    this.zoom(this.zoomStep ** (-step / 60), event.offsetX, event.offsetY, true);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const arrow = ARROWS[event.key];
    if (arrow && event.shiftKey) this.drag(-STRIDE * arrow[0], -STRIDE * arrow[1]);
    else if (arrow) this.walk(...arrow);
    else if (event.key === "+" || event.key === "=") this.zoom(this.zoomStep);
    else if (event.key === "-") this.zoom(1 / this.zoomStep);
    else if (event.key === "0") this.fit();
    else if (!this.press(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Show the line about what is under the pointer: below `under`, or above `over` where that
   *  leaves the stage. */
  showTip(name, words, left, under, over) {
    const { tip, width, height } = this;
    show(tip, true);
    tip.replaceChildren(textual("b", name), textual("span", words));
    const tall = tip.offsetHeight, fits = under + tall < height || over - tall < 4;
    tip.style.left = `${Math.max(8, Math.min(left, width - tip.offsetWidth - 8))}px`;
    tip.style.top = `${fits ? Math.max(4, Math.min(under, height - tall - 4)) : over - tall}px`;
  }
}
