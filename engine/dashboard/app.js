// The dashboard: asks v1/status every two seconds and v1/dashboard every six, and shows
// what they say.

import { showHealth, showHealthOf, showProblems } from "./health.js";
import { POLL_MS, takeSample } from "./samples.js";
import {
  showAlerts,
  showCoverage,
  showJournal,
  showLanes,
  showLetters,
  showOrphans,
  showRates,
} from "./sections.js";
import { byId, clock, counted, duration, setText, visible, when } from "./text.js";

const DETAILS_EVERY = 3; // polls
const TIMEOUT_MS = 10000;
const BACKOFF_MAX_MS = 30000;
const TOKEN_KEY = "holdfast-token";

// ---- All of it ----------------------------------------------------------------------

function showStatus(status) {
  const sample = takeSample(status);
  setText(
    byId("about"),
    `Version ${visible(status.version)} · journal ` +
      `${visible(status.journal_id).slice(0, 8)} · up for ${duration(status.uptime_s)}`,
  );
  showHealthOf(status);
  showRates(status, sample);
  showJournal(status.journal);
  showLanes(status, sample);
  showCoverage(status);
  showAlerts(status.alerts);
  const letters = status.journal.dead_letters;
  setText(
    byId("as-of"),
    `As of ${clock.format(new Date())}` +
      (letters ? `; ${counted(letters, "dead letter", "dead letters")} kept` : ""),
  );
  byId("data").hidden = false;
  byId("data").classList.remove("old");
}

function showDetails(details) {
  showOrphans(details);
  showLetters(details);
}

// ---- Asking -------------------------------------------------------------------------

let token = recallToken();
let timer; // of the next poll
let asking = false;
let held = false; // by the button
let polls = 0;
let failures = 0;
let downSince;
let shownAt;

function recallToken() {
  try {
    return sessionStorage.getItem(TOKEN_KEY) ?? "";
  } catch {
    return ""; // storage is switched off: it is asked for again at each load
  }
}

function keepToken(text) {
  token = text;
  byId("forget").hidden = !token;
  document.querySelector("footer").hidden = Boolean(token); // its links can't carry it
  try {
    sessionStorage.setItem(TOKEN_KEY, token);
  } catch {
    // as above
  }
}

class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function ask(path) {
  const answer = await fetch(path, {
    headers: token ? { Authorization: `Bearer ${token}` } : {},
    cache: "no-store",
    credentials: "omit",
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  if (answer.ok) {
    return answer.json();
  }
  const body = await answer.json().catch(() => ({})); // a proxy's own page, perhaps
  throw new Refusal(
    answer.status,
    body.error?.message ?? `${answer.status} ${answer.statusText}`,
  );
}

function askForToken() {
  const wrong = token !== "";
  keepToken("");
  showHealth(
    wrong ? "bad" : "none",
    wrong ? "Wrong token" : "Token needed",
    wrong ? "the engine does not know this token" : "the engine asks for one",
  );
  showProblems([]);
  setText(byId("as-of"), "");
  byId("data").hidden = true;
  document.querySelector("footer").hidden = true;
  byId("hold").hidden = true;
  byId("token-form").hidden = false;
  byId("token").setAttribute("aria-invalid", String(wrong));
  byId("token").focus();
}

function showFailure(error) {
  downSince ??= new Date();
  if (error instanceof Refusal) {
    showHealth("bad", "Trouble", "the engine answers with an error");
    showProblems([{ level: "bad", text: visible(error.message) }]);
  } else {
    showHealth("bad", "No answer", `the engine does not answer since ${when(downSince)}`);
    showProblems([
      {
        level: "bad",
        text:
          "It is stopped, restarting or out of reach. What records it acknowledged are in its " +
          "journal.",
      },
    ]);
  }
  setText(byId("as-of"), shownAt ? `What is below is old: as of ${when(shownAt)}` : "");
  byId("data").classList.add("old");
}

// Nobody looks, nobody wants to see it move, or nobody has said who they are.
const isAtRest = () => held || document.hidden || !byId("token-form").hidden;

function schedule(ms) {
  clearTimeout(timer);
  timer = isAtRest() ? undefined : setTimeout(poll, ms);
}

async function pollOnce() {
  const status = await ask("v1/status");
  const details = polls % DETAILS_EVERY === 0 ? await ask("v1/dashboard") : undefined;
  showStatus(status);
  if (details) {
    showDetails(details);
    polls += details.dead_letters ? 1 : 0; // until they are counted it asks each time
  } else {
    polls++;
  }
  failures = 0;
  downSince = undefined;
  shownAt = new Date();
}

async function poll() {
  if (asking) {
    return; // the one under way schedules the next
  }
  asking = true;
  try {
    await pollOnce();
    schedule(POLL_MS);
  } catch (error) {
    if (error instanceof Refusal && error.status === 401) {
      askForToken();
    } else {
      showFailure(error);
      schedule(Math.min(POLL_MS * 2 ** failures++, BACKOFF_MAX_MS));
    }
  } finally {
    asking = false;
  }
}

byId("hold").addEventListener("click", () => {
  held = !held;
  byId("hold").setAttribute("aria-pressed", String(held));
  setText(
    byId("as-of"),
    `${byId("as-of").textContent}${held ? "; updates are paused" : ""}`,
  );
  schedule(0);
});

byId("forget").addEventListener("click", () => {
  keepToken("");
  askForToken();
});

byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const input = byId("token");
  const text = input.value.trim();
  input.value = "";
  if (!/^[\x21-\x7e]+$/.test(text)) {
    token = text; // can't be sent, and can't be right
    askForToken();
    return;
  }
  byId("token-form").hidden = true;
  byId("hold").hidden = false;
  keepToken(text);
  schedule(0);
});

document.addEventListener("visibilitychange", () => schedule(0));

keepToken(token);
schedule(0);
