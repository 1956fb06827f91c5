// What is wrong, from what the engine says; and the line that tells it.

import { byId, counted, make, setLevel, setText, shape, visible } from "./text.js";

export const HELD_WARN = 0.8; // share of the journal

const order = ["bad", "warn", "none", "good"];

export const worstFirst = (a, b) => order.indexOf(a) - order.indexOf(b);

const isStopped = (lane) => lane.state === "stopped" || lane.state === "orphaned";
export const heldShare = (journal) =>
  journal.held_bytes / journal.capacity_bytes;

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function laneProblems(status) {
  const problems = [];
  for (const stream of new Set(status.lanes.map((lane) => lane.stream))) {
    const stopped = status.lanes.filter(
      (lane) => lane.stream === stream && isStopped(lane),
    );
    if (stopped.length) {
      problems.push({
        level: "bad",
        rule: "lane_stopped",
        subject: stream,
        text: `${counted(stopped.length, "lane is", "lanes are")} stopped: ${visible(stream)}`,
      });
    }
  }
  return problems;
}

function checkProblems(status) {
  return status.checks
    .filter((check) => check.ok === false)
    .map((check) => ({
      level: "bad",
      rule: "coverage_low",
      subject: check.stream,
      text: `Entities of ${visible(check.stream)} lack their events`,
    }));
}

function alertProblems(status, known) {
  return status.alerts.raised
    .filter(
      (alert) =>
        !known.some(
          (problem) =>
            problem.rule === alert.rule &&
            (!problem.subject || problem.subject === alert.subject),
        ),
    )
    .map((alert) => ({
      level: alert.severity === "critical" ? "bad" : "warn",
      text: `Alert ${alert.rule}, ${visible(alert.subject)}`,
      more: `${sentence(visible(alert.summary))}.`,
    }));
}

// What is wrong, the worst first; stable texts, since the first one is read out.
function findProblems(status) {
  const problems = [];
  if (!status.ready) {
    problems.push({
      level: "bad",
      rule: "journal_full",
      text: "Refusing records",
      more: `${sentence(visible(status.not_ready_because))}.`,
    });
  } else if (heldShare(status.journal) >= HELD_WARN) {
    problems.push({
      level: "warn",
      rule: "journal_full",
      text: "The journal is nearly full",
    });
  }
  if (!status.connected && !status.paused) {
    // paused, it holds no connection
    const tried = status.lanes.some(
      (lane) => lane.state === "waiting" || isStopped(lane),
    );
    problems.push({
      level: tried ? "bad" : "warn",
      text: tried ? "No connection to the database" : "Connecting to the database",
      more: status.ready ? "Records are taken, and wait in the journal." : "",
    });
  }
  problems.push(...laneProblems(status), ...checkProblems(status));
  if (status.paused) {
    problems.push({
      level: "warn",
      text: "Applying is paused",
      more:
        `${status.ready ? "Records are taken, and" : "What was taken has to"} wait for ` +
        "'holdfast resume'.",
    });
  }
  problems.push(...alertProblems(status, problems));
  return problems.sort((a, b) => worstFirst(a.level, b.level));
}

export function showHealth(level, word, text) {
  const health = byId("health");
  if (health.dataset.level !== level || !byId("health-shape").firstChild) {
    health.dataset.level = level;
    byId("health-shape").replaceChildren(shape(level));
  }
  setText(byId("health-line"), `${word}: ${text}`);
  setText(document.querySelector("title"), `${word} · Holdfast`);
}

export function showProblems(problems) {
  const list = byId("problems");
  const text = JSON.stringify(problems);
  if (list.dataset.made !== text) {
    list.dataset.made = text;
    list.replaceChildren(
      ...problems.map((problem) => {
        const item = make(
          "li",
          {},
          shape(problem.level),
          make(
            "span",
            {},
            problem.more ? `${problem.text}. ${problem.more}` : problem.text,
          ),
        );
        setLevel(item, problem.level);
        return item;
      }),
    );
  }
  list.hidden = problems.length === 0;
}

const words = { bad: "Trouble", warn: "Attention" };

export function showHealthOf(status) {
  const problems = findProblems(status);
  if (problems.length === 0) {
    showHealth("good", "Well", "records are taken and applied");
  } else {
    const [first, ...rest] = problems;
    const more = rest.length ? `, and ${rest.length} more` : "";
    const text = first.text.charAt(0).toLowerCase() + first.text.slice(1);
    showHealth(first.level, words[first.level], text + more);
  }
  showProblems(problems.length === 1 && !problems[0].more ? [] : problems);
}
