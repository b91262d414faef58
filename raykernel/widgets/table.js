// A table with a heading that folds, whose rows are kept by key and rewritten in place. With
// `sort` its column heads are buttons that sort by them, and again the other way round. `numbers`
// are the columns whose cells are set to the right.

import { element, show, textual, wordButton, write } from "./dom.js";

const LENGTHY = 24; // characters that may not fit

export class Table {
  constructor(parent, title, names, sort = null, numbers = []) {
    this.box = element("details", "rk-section", parent);
    this.box.open = true;
    const head = element("summary", "", this.box);
    head.append(textual("b", title));
    this.words = element("span", "", head);
    this.table = element("table", "rk-table", this.box);
    const row = element("tr", "", element("thead", "", this.table));
    this.heads = names.map((name, at) => {
      const cell = element("th", "", row);
      cell.scope = "col";
      if (sort && name) wordButton(cell, name, () => sort(at)).className = "rk-sort";
      else cell.textContent = name;
      return cell;
    });
    this.numbers = new Set(numbers);
    for (const at of numbers) this.heads[at].classList.add("rk-figure");
    this.rows = new Map();
    this.body = element("tbody", "", this.table);
  }

  /** Say by which column the rows are sorted, and whether the largest stand on top. */
  sorted(column, down) {
    this.heads.forEach((cell, at) => {
      if (at === column) cell.setAttribute("aria-sort", down ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    });
  }

  /** `rows` are {key, cells, faint, title, deed}; `deed(cell)` fills a last cell, once.
   * A cell is text, or {text, draw(cell)} where drawing it again for the same text is not needed. */
  fill(rows, words) {
    write(this.words, words);
    show(this.table, rows.length > 0);
    const wanted = new Set(rows.map((row) => row.key));
    for (const [key, row] of this.rows) {
      if (wanted.has(key)) continue;
      row.remove();
      this.rows.delete(key);
    }
    rows.forEach((told, index) => {
      let row = this.rows.get(told.key);
      if (!row) {
        row = element("tr");
        told.cells.forEach((_, at) => element("td", this.numbers.has(at) ? "rk-figure" : "", row));
        if (told.deed !== undefined) element("td", "rk-deed", row);
        this.rows.set(told.key, row);
      }
      if (this.body.children[index] !== row) this.body.insertBefore(row, this.body.children[index] || null);
      row.classList.toggle("rk-faint", Boolean(told.faint));
      row.title = told.title || "";
      told.cells.forEach((value, at) => fillCell(row.children[at], value));
      const last = row.querySelector(".rk-deed");
      if (last && !told.deed) last.replaceChildren();
      else if (last && !last.children.length) told.deed(last);
    });
  }
}

function fillCell(cell, value) {
  if (value?.draw === undefined) {
    write(cell, String(value));
    if (String(value).length > LENGTHY) cell.title = value;
  }
  else if (cell.dataset.text !== value.text) {
    cell.dataset.text = value.text;
    cell.replaceChildren();
    value.draw(cell);
  }
}
