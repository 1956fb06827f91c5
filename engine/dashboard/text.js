// Values into text and elements. Whatever a value holds, it becomes text: elements are
// made one by one, and nothing is ever parsed as HTML.

export const byId = (id) => document.getElementById(id);

// ---- Text ---------------------------------------------------------------------------

// Control characters, and those that have no width or steer the writing direction.
const unseen =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

export function visible(text) {
  return String(text).replace(unseen, (c) =>
    c === "\n" ? "\\n" : c === "\t" ? "\\t" : `\\u{${c.charCodeAt(0).toString(16)}}`,
  );
}

// Leaves the node alone where nothing changes: a selection stays, and nothing is read out.
export function setText(node, text) {
  if (node.textContent !== text) {
    node.textContent = text;
  }
}

export function setLevel(node, level) {
  if (level && level !== "none") {
    node.dataset.level = level;
  } else {
    delete node.dataset.level;
  }
}

export function make(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

export function makeSvg(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) {
    node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

// A value from outside: as it is, apart from its surroundings in writing direction.
export const value = (text) => make("bdi", {}, visible(text));

const shapes = {
  good: "M8 .5a7.5 7.5 0 1 0 0 15 7.5 7.5 0 0 0 0-15ZM6.9 11.6 3.5 8.2l1.4-1.4 2 2 4.2-4.2 1.4 1.4Z",
  warn: "M8 .8 15.8 15H.2ZM7.1 5.8v4.6h1.8V5.8Zm0 5.8v1.7h1.8v-1.7Z",
  bad: "M4.9.5h6.2l4.4 4.4v6.2l-4.4 4.4H4.9L.5 11.1V4.9Zm.6 3.6L4.1 5.5 6.6 8l-2.5 2.5 1.4 1.4L8 9.4l2.5 2.5 1.4-1.4L9.4 8l2.5-2.5-1.4-1.4L8 6.6Z",
  none: "M8 .5a7.5 7.5 0 1 0 0 15 7.5 7.5 0 0 0 0-15Zm0 2a5.5 5.5 0 1 1 0 11 5.5 5.5 0 0 1 0-11Z",
};

export function shape(level) {
  return makeSvg(
    "svg",
    { class: "shape", viewBox: "0 0 16 16", "aria-hidden": "true" },
    makeSvg("path", { d: shapes[level], fill: "currentColor", "fill-rule": "evenodd" }),
  );
}

// Never by colour alone: shape and word.
export function setState(node, level, word) {
  if (node.dataset.word !== level + word) {
    node.dataset.word = level + word;
    const state = make("span", { class: "state" }, shape(level), make("span", {}, word));
    setLevel(state, level);
    node.replaceChildren(state);
  }
}

// ---- Numbers and times --------------------------------------------------------------

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const hundredths = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });

export const number = (n) => whole.format(n);
export const rate = (n) => (n > 0 && n < 10 ? tenths : whole).format(n);
export const counted = (n, one, more) => `${number(n)} ${n === 1 ? one : more}`;

// Cut, so that only all of it is 100 %.
export function percent(n) {
  if (n > 0 && n < 0.1) {
    return "< 0.1 %";
  }
  const scale = n > 99 && n < 100 ? 100 : n < 10 ? 10 : 1;
  return `${hundredths.format(Math.floor(n * scale) / scale)} %`;
}

export function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (n >= 1024 && unit < units.length - 1) {
    n /= 1024;
    unit++;
  }
  return `${(n < 10 && unit ? tenths : whole).format(n)} ${units[unit]}`;
}

export function duration(seconds) {
  const s = Math.floor(seconds);
  if (s < 120) {
    return `${s} s`;
  }
  if (s < 7200) {
    return `${Math.floor(s / 60)} min`;
  }
  return s < 172800 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86400)} d`;
}

export const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

// The time of day, with the date where it was another day; of the browser's time zone.
export function when(date) {
  const day = (d) =>
    `${d.getFullYear()}-${String(d.getMonth() + 1).padStart(2, "0")}-` +
    String(d.getDate()).padStart(2, "0");
  const time = clock.format(date);
  return day(date) === day(new Date()) ? time : `${day(date)} ${time}`;
}

export function time(iso) {
  const date = new Date(iso);
  return Number.isNaN(date.getTime())
    ? value(iso)
    : make("time", { datetime: iso, title: iso }, when(date));
}
