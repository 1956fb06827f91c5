// The tiles and tables.

import { HELD_WARN, heldShare, worstFirst } from "./health.js";
import { laneKey, makeBar, makeCurve, showCurve, sum } from "./samples.js";
import {
  fillTable,
  madeColumn,
  makeTable,
  numberColumn,
  place,
  stateColumn,
  textColumn,
  timeColumn,
} from "./table.js";
import {
  byId,
  bytes,
  counted,
  duration,
  make,
  makeSvg,
  number,
  percent,
  rate,
  setLevel,
  setText,
  time,
  value,
  visible,
} from "./text.js";

// ---- Tiles --------------------------------------------------------------------------

function makeTile(id, curveOf) {
  const big = make("span", {});
  const unit = make("span", { class: "unit" });
  const beside = make("p", { class: "beside" });
  byId(id).append(make("p", { class: "big" }, big, " ", unit), beside);
  return { big, unit, beside, curve: curveOf && makeCurve(byId(id), curveOf) };
}

function showTile(tile, big, unit, beside) {
  setText(tile.big, big);
  setText(tile.unit, unit);
  setText(tile.beside, beside);
}

const acceptedTile = makeTile("accepted", "Accepted per second");
const appliedTile = makeTile("applied", "Applied per second");
const lagTile = makeTile("lag", "Age of the oldest record that waits");
const journalTile = makeTile("journal");
const meter = {
  used: makeSvg("rect", { class: "used", height: "10", width: "0" }),
  held: makeSvg("rect", { class: "held", height: "10", width: "0" }),
};
meter.svg = makeSvg(
  "svg",
  {
    class: "meter",
    viewBox: "0 0 100 10",
    preserveAspectRatio: "none",
    role: "img",
  },
  meter.used,
  meter.held,
);
meter.legend = make("p", { class: "beside" });
byId("journal").append(meter.svg, meter.legend);

const perSecond = (n) => (n === undefined ? "–" : rate(n));

export function showRates(status, sample) {
  showTile(
    acceptedTile,
    perSecond(sample.acceptedRate),
    "records/s",
    `${number(status.accepted)} in all`,
  );
  showCurve(
    acceptedTile.curve,
    (s) => s.acceptedRate,
    (n) => `${rate(n)}/s`,
  );
  showTile(
    appliedTile,
    perSecond(sample.appliedRate),
    "records/s",
    `${number(sample.applied)} since start`,
  );
  showCurve(
    appliedTile.curve,
    (s) => s.appliedRate,
    (n) => `${rate(n)}/s`,
  );
  const [age, ageUnit] = duration(sample.lag).split(" ");
  showTile(
    lagTile,
    age,
    ageUnit,
    status.pending
      ? `${counted(status.pending, "record waits", "records wait")}`
      : "nothing waits",
  );
  showCurve(lagTile.curve, (s) => s.lag, duration);
}

export function showJournal(journal) {
  const held = heldShare(journal);
  const used = journal.used_bytes / journal.capacity_bytes;
  const level = journal.refusing ? "bad" : held >= HELD_WARN ? "warn" : "none";
  showTile(
    journalTile,
    percent(100 * held),
    `of ${bytes(journal.capacity_bytes)} held`,
    journal.refusing
      ? "No room: new records are refused"
      : "by what is not applied yet, and dead letters",
  );
  meter.used.setAttribute("width", String(100 * used));
  meter.held.setAttribute("width", String(Math.min(100 * held, 100)));
  setLevel(byId("journal"), level);
  meter.svg.setAttribute(
    "aria-label",
    `Journal: ${percent(100 * held)} held, ${percent(100 * used)} with what is retained`,
  );
  if (!meter.legend.firstChild) {
    meter.legend.append(
      make("span", { class: "key held" }),
      make("span", {}),
      " · ",
      make("span", { class: "key used" }),
      make("span", {}),
    );
  }
  setText(meter.legend.children[1], `held ${bytes(journal.held_bytes)}`);
  setText(
    meter.legend.children[3],
    `retained ${bytes(Math.max(0, journal.used_bytes - journal.held_bytes))}, gives way`,
  );
}

// ---- Lanes --------------------------------------------------------------------------

const laneLevels = {
  idle: "good",
  applying: "good",
  settled: "good",
  starting: "none",
  waiting: "warn",
  paused: "warn",
  stopped: "bad",
  orphaned: "bad",
};

function laneNotes(lane) {
  const texts = [];
  if (lane.reason) {
    texts.push(lane.reason);
  }
  if (lane.next_try_s >= 1) {
    texts.push(`Tries again in ${duration(lane.next_try_s)}.`);
  }
  if (lane.notes) {
    texts.push(lane.notes);
  }
  return texts;
}

function fillNotes(cell, texts) {
  cell.replaceChildren(...texts.map((text) => make("p", {}, value(text))));
}

const lanes = makeTable("Lanes", "No stream has a lane yet.", [
  textColumn("Stream", (lane) => lane.stream),
  numberColumn("Lane", (lane) => String(lane.lane)),
  stateColumn("State", (lane) => [laneLevels[lane.state] ?? "none", lane.state]),
  numberColumn("Waiting", (lane) => lane.pending),
  numberColumn("Oldest", (lane) => (lane.pending ? duration(lane.pending_age_s) : "")),
  numberColumn("Applied/s", (lane) => perSecond(lane.rate)),
  numberColumn("Accepted", (lane) => lane.accepted),
  numberColumn("New events", (lane) => lane.ledger && lane.ledger.events),
  numberColumn("Duplicates", (lane) => lane.ledger && lane.ledger.duplicates),
  numberColumn("Conflicts", (lane) => lane.ledger && lane.ledger.conflicts),
  madeColumn("Errors and notes", "wide", laneNotes, fillNotes),
]);
place("lanes", lanes);

// Those that a person should look at first.
export function showLanes(status, sample) {
  const shown = status.lanes.map((lane) => ({ ...lane, rate: sample.laneRate?.(lane) }));
  shown.sort((a, b) => worstFirst(laneLevels[a.state], laneLevels[b.state]));
  fillTable(lanes, shown, laneKey);
}

// ---- Coverage -----------------------------------------------------------------------

function coverageState(check) {
  if (check.failed) {
    return ["warn", "check failed"];
  }
  if (!check.at) {
    return ["none", "not checked yet"];
  }
  return check.tables_found
    ? check.ok
      ? ["good", "covered"]
      : ["bad", "too low"]
    : ["none", "no tables"];
}

function coverageNotes(check) {
  const off =
    (check.count_off ?? 0) + (check.first_seen_off ?? 0) + (check.last_seen_off ?? 0);
  const texts = check.failed ? [check.failed] : [];
  if (check.events_without_entity) {
    texts.push(
      `${counted(check.events_without_entity, "event", "events")} without an entity`,
    );
  }
  if (off) {
    texts.push(`${counted(off, "count or time", "counts and times")} off`);
  }
  return texts;
}

const coverage = makeTable(
  "Coverage: entities that have their events",
  "No stream is configured.",
  [
    textColumn("Stream", (check) => check.stream),
    stateColumn("State", coverageState),
    numberColumn("Coverage", (check) =>
      check.tables_found ? percent(check.coverage_percent) : "",
    ),
    numberColumn("Entities", (check) => check.entities),
    numberColumn("Without events", (check) => check.without_events),
    numberColumn("Events", (check) => check.events),
    timeColumn("Checked at", (check) => check.at),
    madeColumn("Notes", "wide", coverageNotes, fillNotes),
  ],
);
place("coverage", coverage);

// Each stream that has lanes, with its last result and its last failure together.
export function showCoverage(status) {
  const streams = new Map();
  for (const lane of status.lanes.filter((l) => l.state !== "settled")) {
    streams.set(lane.stream, { stream: lane.stream });
  }
  for (const check of status.checks) {
    streams.set(check.stream, { ...streams.get(check.stream), ...check });
  }
  fillTable(coverage, [...streams.values()], (check) => check.stream);
}

// What can be done about what a section shows.
function makeAdvice(text) {
  const advice = make("p", { class: "soft" }, text);
  advice.hidden = true;
  return advice;
}

// ---- Orphans by day -----------------------------------------------------------------

const orphans = makeTable("Orphans: entities without events, by day", "", [
  textColumn("Day", (day) => day.day, "short"),
  textColumn("Stream", (day) => day.stream, "name"),
  numberColumn("Entities", (day) => day.missing),
  {
    name: "Share",
    class: "wide share",
    show: (cell, day) => {
      if (!cell.firstChild) {
        cell.bar = makeBar();
        cell.append(make("span", {}), cell.bar.svg);
      }
      setText(cell.firstChild, percent((100 * day.missing) / day.all));
      cell.bar.rect.setAttribute("width", String((100 * day.missing) / day.most));
    },
  },
]);
const interruptions = make("ul", { class: "notes" });
const orphansAdvice = makeAdvice("'holdfast repair' shows how they can be mended.");
place("orphans", orphans, interruptions, orphansAdvice);

function orphanDays(details) {
  const days = details.orphans
    .flatMap((found) => [
      ...found.days.map((day) => ({ stream: found.stream, ...day })),
      { stream: found.stream, day: "earlier", missing: found.earlier },
      { stream: found.stream, day: "without a time", missing: found.without_a_time },
    ])
    .filter((day) => day.missing > 0);
  const most = Math.max(...days.map((day) => day.missing), 1);
  const all = sum(days, (day) => day.missing);
  const last = (day) => (/^\d/.test(day.day) ? day.day : "");
  return days
    .map((day) => ({ ...day, most, all }))
    .sort((a, b) => (last(a) < last(b) ? 1 : last(a) > last(b) ? -1 : 0));
}

function showInterruptions(details) {
  const found = details.orphans.flatMap((of) =>
    of.interruptions.map((burst) => ({ stream: of.stream, ...burst })),
  );
  const text = JSON.stringify(found);
  if (interruptions.dataset.made !== text) {
    interruptions.dataset.made = text;
    interruptions.replaceChildren(
      ...found.map((burst) =>
        make(
          "li",
          {},
          "A writer was likely interrupted: ",
          value(burst.stream),
          ", ",
          time(burst.from),
          " to ",
          time(burst.to),
          `: ${counted(burst.entities, "entity", "entities")} without events, up to ` +
            `${number(burst.longest_run)} in a row`,
        ),
      ),
    );
  }
  interruptions.hidden = found.length === 0;
}

export function showOrphans(details) {
  setText(
    orphans.empty,
    details.check_every_s === 0
      ? "Nothing is checked: check.every is 0. 'holdfast check' looks once."
      : details.orphans.length === 0
        ? "Not checked yet; the first check comes within a minute of the start."
        : "None: by the last check every entity has its events.",
  );
  const days = orphanDays(details);
  fillTable(orphans, days, (day) => `${day.day} ${day.stream}`);
  orphansAdvice.hidden = days.length === 0;
  showInterruptions(details);
}

// ---- Dead letters -------------------------------------------------------------------

function makeSample(letter) {
  const found =
    letter.state === "conflict" ? "copy of a conflict" : `found at ${letter.found}`;
  const head = make(
    "p",
    { class: "soft" },
    `entry ${letter.seq}/${letter.index}, ${found}, `,
    value(letter.stream),
    ", ",
    time(letter.at),
  );
  const why = make(
    "p",
    {},
    ...(letter.field ? [value(letter.field), ": "] : []),
    value(letter.detail),
  );
  return make(
    "li",
    { class: "sample" },
    head,
    why,
    make("code", { class: "record", dir: "ltr" }, visible(letter.bytes)),
  );
}

function fillSamples(cell, newestOnes) {
  const wasOpen = cell.querySelector("details")?.open ?? false;
  const [first, ...rest] = newestOnes.map(makeSample);
  cell.replaceChildren(make("ul", {}, first));
  if (rest.length) {
    const details = make(
      "details",
      {},
      make("summary", {}, `${rest.length} more like it`),
      make("ul", {}, ...rest),
    );
    details.open = wasOpen;
    cell.append(details);
  }
}

const letters = makeTable("Dead letters by reason", "", [
  textColumn("Reason", (reason) => reason.reason),
  numberColumn("Kept", (reason) => reason.count),
  timeColumn("Newest", (reason) => reason.newest[0].at),
  madeColumn("Newest records", "samples", (reason) => reason.newest, fillSamples),
]);
const lettersAdvice = makeAdvice(
  "'holdfast deadletter retry' tries them again, with --set FIELD=VALUE in place of what " +
    "was wrong.",
);
place("letters", letters, lettersAdvice);

export function showLetters(details) {
  const found = details.dead_letters;
  setText(
    letters.empty,
    found
      ? "None: every record that was taken could be applied, or waits to be."
      : "They are being counted.",
  );
  const reasons = found ? found.reasons : [];
  fillTable(letters, reasons, (reason) => reason.reason);
  lettersAdvice.hidden = reasons.length === 0;
}

// ---- Alerts -------------------------------------------------------------------------

const severityLevels = { critical: "bad", warning: "warn", info: "none" };
const severity = (alert) => [severityLevels[alert.severity] ?? "none", alert.severity];

const raised = makeTable("Alerts that are raised", "", [
  textColumn("Alert", (alert) => alert.rule, "name"),
  textColumn("Subject", (alert) => alert.subject, "name"),
  stateColumn("Severity", severity),
  numberColumn("For", (alert) => duration(alert.for_s)),
  textColumn("Summary", (alert) => alert.summary, "wide"),
]);
place("raised", raised);

const alerts = makeTable("Last alerts", "None since the engine was started.", [
  timeColumn("At", (alert) => alert.at),
  textColumn("What", (alert) => alert.event),
  textColumn("Alert", (alert) => alert.rule, "name"),
  textColumn("Subject", (alert) => alert.subject, "name"),
  stateColumn("Severity", severity),
  textColumn("Summary", (alert) => alert.summary, "wide"),
]);
place("alerts", alerts);

export function showAlerts(found) {
  byId("raised").hidden = found.raised.length === 0;
  fillTable(raised, found.raised, (alert) => `${alert.rule} ${alert.subject}`);
  fillTable(
    alerts,
    found.recent,
    (alert) => `${alert.at} ${alert.event} ${alert.rule} ${alert.subject}`,
  );
}
