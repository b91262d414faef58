// A table with a heading that folds, whose rows are kept by key and rewritten in place.

import { element, show, textual, write } from "./dom.js";

export class Table {
  constructor(parent, title, names) {
    this.box = element("details", "rk-section", parent);
    this.box.open = true;
    const head = element("summary", "", this.box);
    head.append(textual("b", title));
    this.words = element("span", "", head);
    this.table = element("table", "rk-table", this.box);
    const row = element("tr", "", element("thead", "", this.table));
    for (const name of names) {
      const cell = textual("th", name);
      cell.scope = "col";
      row.append(cell);
    }
    this.rows = new Map();
    this.body = element("tbody", "", this.table);
  }

  /** `rows` are {key, cells, faint, title, deed}; `deed(cell)` fills a last cell, once. */
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
        told.cells.forEach(() => element("td", "", row));
        if (told.deed !== undefined) element("td", "rk-deed", row);
        this.rows.set(told.key, row);
      }
      if (this.body.children[index] !== row) this.body.insertBefore(row, this.body.children[index] || null);
      row.classList.toggle("rk-faint", Boolean(told.faint));
      row.title = told.title || "";
      told.cells.forEach((value, at) => write(row.children[at], String(value)));
      const last = row.querySelector(".rk-deed");
      if (last && !told.deed) last.replaceChildren();
      else if (last && !last.children.length) told.deed(last);
    });
  }
}
