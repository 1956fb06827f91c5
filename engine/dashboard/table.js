// Tables that are filled again and again, and stay the elements that they are.

import { byId, make, number, setState, setText, time, visible } from "./text.js";

// columns: {name, show(cell, item), class}; the first one heads its row. Roles are said
// outright, since on a phone rows are laid out as blocks.
export function makeTable(title, none, columns) {
  const heads = columns.map((column) =>
    make(
      "th",
      { scope: "col", role: "columnheader", class: column.class ?? "" },
      column.name,
    ),
  );
  const body = make("tbody", { role: "rowgroup" });
  const table = make(
    "table",
    { role: "table" },
    make("caption", {}, make("h2", {}, title)),
    make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, ...heads)),
    body,
  );
  const empty = make("p", { class: "none" }, none);
  const head = make("h2", {}, title);
  const parts = { table, body, empty, head, columns };
  table.hidden = true;
  return parts;
}

export function place(id, table, ...more) {
  byId(id).append(table.table, table.head, table.empty, ...more);
}

function makeRow(columns, key) {
  const cells = columns.map((column, i) => {
    const attributes = { class: column.class ?? "", "data-label": column.name };
    return i === 0
      ? make("th", { ...attributes, scope: "row", role: "rowheader" })
      : make("td", { ...attributes, role: "cell" });
  });
  const row = make("tr", { role: "row" }, ...cells);
  row.dataset.key = key;
  return row;
}

// Rows stay the elements that they are, so that focus, selection and an opened list do.
export function fillTable(table, items, keyOf) {
  const before = new Map([...table.body.children].map((row) => [row.dataset.key, row]));
  let next = table.body.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    const row = before.get(key) ?? makeRow(table.columns, key);
    before.delete(key);
    table.columns.forEach((column, i) => {
      column.show(row.children[i], item);
      row.children[i].classList.toggle(
        "empty",
        row.children[i].textContent === "" && !row.children[i].firstElementChild,
      );
    });
    if (row === next) {
      next = next.nextElementSibling;
    } else {
      table.body.insertBefore(row, next);
    }
  }
  for (const row of before.values()) {
    row.remove();
  }
  table.table.hidden = items.length === 0;
  table.head.hidden = items.length > 0;
  table.empty.hidden = items.length > 0;
}

export const textColumn = (name, of, cssClass) => ({
  name,
  class: cssClass,
  show: (cell, item) => setText(cell, visible(of(item))),
});
export const numberColumn = (name, of) => ({
  name,
  class: "number",
  show: (cell, item) => {
    const n = of(item);
    setText(
      cell,
      n === undefined || n === null ? "" : typeof n === "number" ? number(n) : n,
    );
  },
});
export const stateColumn = (name, of) => ({
  name,
  class: "short",
  show: (cell, item) => setState(cell, ...of(item)),
});
export const timeColumn = (name, of) => ({
  name,
  class: "short",
  show: (cell, item) => {
    const iso = of(item) ?? "";
    if (cell.dataset.iso !== iso) {
      cell.dataset.iso = iso;
      cell.replaceChildren(...(iso ? [time(iso)] : []));
    }
  },
});
// For what is made of several elements: made again only when its data change.
export const madeColumn = (name, cssClass, dataOf, fill) => ({
  name,
  class: cssClass,
  show: (cell, item) => {
    const text = JSON.stringify(dataOf(item));
    if (cell.dataset.made !== text) {
      cell.dataset.made = text;
      fill(cell, dataOf(item));
    }
  },
});
