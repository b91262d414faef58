// Small helpers that every view's module uses: elements, words for numbers, shapes on a canvas.

export const SVG = "http://www.w3.org/2000/svg";
const SURE = 3000; // ms in which a dangerous button must be pressed again

const FOCUSED = new Set(["button", "canvas", "details", "input", "select", "summary"]);

/** A notebook's shortcuts (arrows, Enter) would take the keys of what has the focus, also where the
 *  elements around it opt out: each that may have it says so itself. */
export function keepKeys(node) {
  node.dataset.lmSuppressShortcuts = "true";
}

export function element(tag, className = "", parent = null) {
  const made = document.createElement(tag);
  if (FOCUSED.has(tag)) keepKeys(made);
  if (className) made.className = className;
  if (parent) parent.append(made);
  return made;
}

export function textual(tag, text, className = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

/** A button that shows a drawing, with words for those who don't see it. */
export function iconButton(parent, label, glyph, act) {
  const button = element("button", "rk-icon", parent);
  button.type = "button";
  button.title = label;
  button.setAttribute("aria-label", label);
  button.innerHTML = `<svg viewBox="0 0 14 14" aria-hidden="true" fill="none"
    stroke="currentColor" stroke-width="1.5" stroke-linecap="round"><path d="${glyph}"/></svg>`;
  button.addEventListener("click", act);
  return button;
}

export function wordButton(parent, label, act, title = "") {
  const button = element("button", "rk-word", parent);
  button.type = "button";
  button.textContent = label;
  if (title) button.title = title;
  button.addEventListener("click", act);
  return button;
}

/** A button that wants to be pressed twice. */
export function sureButton(parent, label, act, title) {
  let timer = 0;
  const button = wordButton(parent, label, () => {
    if (timer) {
      clearTimeout(timer);
      timer = 0;
      button.textContent = label;
      act();
      return;
    }
    button.textContent = "Sure?";
    timer = setTimeout(() => {
      timer = 0;
      button.textContent = label;
    }, SURE);
  }, title);
  button.classList.add("rk-danger");
  button.setAttribute("aria-label", title);
  return button;
}

/** The button that cancels the unfinished tasks a view shows. */
export function stopButton(parent, store) {
  return sureButton(parent, "Stop", () => store.ask("cancel"), "Cancel the unfinished tasks shown here");
}

/** A box to search in; `act` is called a moment after each change. */
export function searchBox(parent, label, act) {
  const box = element("input", "rk-search", parent);
  box.type = "search";
  box.placeholder = "Search";
  box.setAttribute("aria-label", label);
  let timer = 0;
  box.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(act, 150);
  });
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !box.value) return;
    box.value = "";
    act();
    event.preventDefault();
    event.stopPropagation();
  });
  return box;
}

/** A choice with a label before it; `offer(pairs, all)` brings its options up to date. */
export function picker(parent, label, act) {
  const box = element("label", "rk-picker", parent);
  element("span", "", box).textContent = label;
  const choice = element("select", "", box);
  let offered = "";
  choice.offer = (pairs, all) => {
    const key = JSON.stringify([all, pairs]);
    if (key === offered) return;
    offered = key;
    const chosen = choice.value;
    choice.replaceChildren(...[["", all], ...pairs].map(([value, words]) => new Option(words, value)));
    if (chosen && !pairs.some(([value]) => value === chosen)) choice.add(new Option(chosen, chosen));
    choice.value = chosen;
  };
  choice.addEventListener("change", act);
  return choice;
}

/** `hidden` alone loses to a page's own `display` rules. */
export function show(node, shown) {
  node.hidden = !shown;
  node.style.display = shown ? "" : "none";
}

export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function grouped(n) {
  return n.toLocaleString("en");
}

export function count(n, noun) {
  return `${grouped(n)} ${noun}${n === 1 ? "" : "s"}`;
}

export function duration(seconds) {
  if (seconds < 0.001) return `${Math.round(seconds * 1e6)} µs`;
  if (seconds < 1) return `${Number((seconds * 1e3).toPrecision(3))} ms`;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

export function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString();
}

export function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (n >= 1024 && at < units.length - 1) {
    n /= 1024;
    at += 1;
  }
  return `${at && n < 100 ? n.toFixed(1) : Math.round(n)} ${units[at]}`;
}

export function rounded(pen, x, y, w, h, r) {
  pen.beginPath();
  pen.roundRect(x, y, w, h, Math.min(r, w / 2, h / 2));
}

/** A text without its middle, as names often differ in their ends. */
export function clipped(pen, text, width) {
  const whole = pen.measureText(text).width;
  if (whole <= width) return text;
  const short = (kept) => {
    const head = Math.ceil(kept / 2);
    return `${text.slice(0, head)}…${text.slice(text.length - kept + head)}`;
  };
  let kept = Math.max(1, Math.floor((text.length * width) / whole));
  while (kept > 1 && pen.measureText(short(kept)).width > width) kept -= 1;
  return short(kept);
}

/** A state's mark as SVG, for legends; the same drawing as svg.py's. */
export function drawn(look) {
  const dot = look.mark.endsWith("h.01");
  const box = look.filled
    ? `<rect width="22" height="22" rx="6" fill="${look.color}"/>`
    : `<rect x="1" y="1" width="20" height="20" rx="5" fill="${look.color}" fill-opacity=".14" stroke="${look.color}" stroke-width="2"/>`;
  return `${box}<path d="${look.mark}" fill="none" stroke="${look.filled ? "#fff" : look.color}"
    stroke-width="${dot ? 6 : 2.6}" stroke-linecap="round" stroke-linejoin="round"/>`;
}

export function mark(look) {
  return `<svg viewBox="0 0 22 22" aria-hidden="true">${drawn(look)}</svg>`;
}

/** A row of the states with how many tasks are in each; returns what brings it up to date. */
export function stateChips(parent, looks) {
  const chips = looks.map((look) => {
    const chip = element("span", "rk-chip", parent);
    chip.innerHTML = `${mark(look)}<span></span>`;
    return chip;
  });
  return (counts) => chips.forEach((chip, number) => {
    show(chip, counts[number] > 0);
    write(chip.lastChild, `${grouped(counts[number] || 0)} ${looks[number].label}`);
  });
}

/** Colours and the font that a canvas should use now, from the style sheet and the page's theme. */
export function inks(root) {
  const style = getComputedStyle(root); // of the edge as a plain colour, which it may not be
  const token = (name) => style.getPropertyValue(name).trim() || style.color;
  return { ink: style.color, dim: token("--rk-dim"), edge: style.borderTopColor,
           focus: token("--rk-focus"), paper: style.backgroundColor, face: style.fontFamily };
}

/** Call `act` when the page's theme may have changed; returns what ends it. */
export function onTheme(act) {
  const watcher = new MutationObserver(act);
  for (const node of [document.body, document.documentElement]) {
    watcher.observe(node, { attributes: true });
  }
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", act);
  return () => {
    watcher.disconnect();
    dark.removeEventListener("change", act);
  };
}

/** What a screen reader hears, politely: at most once in five seconds unless it is urgent. */
export class Voice {
  constructor(parent) {
    this.heard = element("div", "rk-heard", parent);
    this.heard.setAttribute("aria-live", "polite");
    this.told = -Infinity;
  }

  say(words, urgent = true) {
    const now = performance.now();
    if (!urgent && now - this.told < 5000) return;
    write(this.heard, words);
    this.told = now;
  }
}
