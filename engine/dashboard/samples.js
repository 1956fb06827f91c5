// What the engine said in the last minutes, for rates and small curves.

import { duration, make, makeSvg, setText } from "./text.js";

export const POLL_MS = 2000;
const KEEP_S = 300;
const SPAN_MIN_S = 60;
const GAP_S = (POLL_MS / 1000) * 5;

// ---- What was, for rates and curves -------------------------------------------------

export const laneKey = (lane) => `${lane.stream}/${lane.lane}`;
export const sum = (items, of) => items.reduce((total, item) => total + of(item), 0);
const appliedOf = (lane) => (lane.since_start ? lane.since_start.records : 0);

let samples = [];

export function takeSample(status) {
  const sample = {
    id: status.journal_id,
    at: status.uptime_s,
    accepted: status.accepted,
    applied: sum(status.lanes, appliedOf),
    lanes: new Map(status.lanes.map((lane) => [laneKey(lane), appliedOf(lane)])),
    lag: Math.max(0, ...status.lanes.map((lane) => lane.pending_age_s)),
  };
  const last = samples[samples.length - 1];
  if (last && (last.id !== sample.id || last.at > sample.at)) {
    samples = []; // it was started again: its counts begin anew
  } else if (last && sample.at > last.at) {
    const over = (now, before) => Math.max(0, now - before) / (sample.at - last.at);
    sample.acceptedRate = over(sample.accepted, last.accepted);
    sample.appliedRate = over(sample.applied, last.applied);
    sample.laneRate = (lane) =>
      over(appliedOf(lane), last.lanes.get(laneKey(lane)) ?? appliedOf(lane));
  }
  samples = samples.filter((old) => sample.at - old.at <= KEEP_S);
  samples.push(sample);
  return sample;
}

// ---- Curves and bars ----------------------------------------------------------------

const WIDTH = 300;
const HEIGHT = 40;

export function makeCurve(parent, what) {
  const caption = make("p", { class: "beside" });
  const area = makeSvg("path", { class: "area" });
  const line = makeSvg("path", {});
  const svg = makeSvg(
    "svg",
    {
      class: "spark",
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      preserveAspectRatio: "none",
      role: "img",
    },
    area,
    line,
  );
  parent.append(svg, caption);
  return { svg, area, line, caption, what };
}

// To the right is now, and to the left five minutes ago, or less where less is known. A
// rate is drawn over the time that it was measured over; a pause in asking is a gap.
export function showCurve(curve, of, format) {
  const now = samples[samples.length - 1].at;
  const peak = Math.max(...samples.map((sample) => of(sample) ?? 0));
  const top = Math.max(peak, 1); // less is next to nothing, and should look so
  const span = Math.min(Math.max(now - samples[0].at, SPAN_MIN_S), KEEP_S);
  const at = (sample, y) =>
    `${(WIDTH * (1 - (now - sample.at) / span)).toFixed(1)} ${y.toFixed(1)}`;
  const height = (sample) => HEIGHT - 1 - (of(sample) / top) * (HEIGHT - 3);
  let line = "";
  let area = "";
  samples.slice(1).forEach((sample, i) => {
    const before = samples[i];
    if (of(sample) === undefined || sample.at - before.at > GAP_S) {
      return;
    }
    const from = at(before, height(of(before) === undefined ? sample : before));
    const to = at(sample, height(sample));
    line += `M${from}L${to}`;
    area += `M${at(before, HEIGHT)}L${from}L${to}V${HEIGHT}Z`;
  });
  curve.line.setAttribute("d", line);
  curve.area.setAttribute("d", area);
  setText(curve.caption, `peak ${format(peak)} in ${duration(span)}`);
  curve.svg.setAttribute("aria-label", `${curve.what}, ${curve.caption.textContent}`);
}

export function makeBar() {
  const rect = makeSvg("rect", { height: "10", width: "0" });
  const svg = makeSvg(
    "svg",
    {
      class: "bar",
      viewBox: "0 0 100 10",
      preserveAspectRatio: "none",
      "aria-hidden": "true",
    },
    rect,
  );
  return { svg, rect };
}
