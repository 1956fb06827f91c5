#!/usr/bin/python3
"""tests/test_dashboard.py [--shots DIR]: the dashboard as a person meets it: a real
engine with a real database, looked at with a real browser, headless.

Needs chromedriver, chromium and mariadbd; HOLDFAST_BIN names the engine. With --shots a
picture of each scene is written to DIR, for an eye to look at.
"""
import argparse
import ctypes
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from webdriver import ENTER, PATIENCE_S, TAB, Browser, wait_until  # noqa: E402

PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None)
shots = None  # directory


def start(argv, log, env=None):
    """A child that does not outlive this program; its output is appended to `log`."""
    with open(log, "ab") as out:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env={**os.environ, **(env or {})},
            preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL),
        )


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Database:
    """A MariaDB server of its own, on a socket in its directory."""

    def __init__(self, directory):
        self.dir = directory
        self.socket = os.path.join(directory, "sock")
        self.log = os.path.join(directory, "server.log")
        self.user = ["--user=root"] if os.geteuid() == 0 else []
        self.data = "--datadir=" + os.path.join(directory, "data")
        subprocess.run(
            [
                "mariadb-install-db",
                "--no-defaults",
                "--skip-test-db",
                self.data,
                "--auth-root-authentication-method=normal",
                *self.user,
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=PATIENCE_S,
        )
        self.start()
        self.execute("CREATE DATABASE holdfast", None)

    def start(self):
        self.process = start(
            [
                "/usr/sbin/mariadbd",
                "--no-defaults",
                "--skip-networking",
                self.data,
                "--socket=" + self.socket,
                "--pid-file=" + os.path.join(self.dir, "pid"),
                "--tmpdir=" + self.dir,
                "--innodb-buffer-pool-size=64M",
                *self.user,
            ],
            self.log,
        )
        wait_until(
            lambda: self._client("SELECT 1", None).returncode == 0,
            "the database answers; see " + self.log,
            self._alive,
        )

    def _alive(self):
        if self.process.poll() is not None:
            raise AssertionError("the database server ended; see " + self.log)

    def _client(self, sql, name):
        return subprocess.run(
            [
                "mariadb",
                "--no-defaults",
                "--socket=" + self.socket,
                "--user=root",
                *([name] if name else []),
            ],
            input=sql.encode(),
            capture_output=True,
            timeout=PATIENCE_S,
        )

    def execute(self, sql, name="holdfast"):
        done = self._client(sql, name)
        if done.returncode:
            raise AssertionError("%s: %s" % (sql, done.stderr.decode()))

    def kill(self):
        self.process.kill()
        self.process.wait()


class Engine:
    """`holdfast serve` with a journal of its own."""

    def __init__(self, directory, database, journal="", intake="", more="", streams=None):
        self.dir = tempfile.mkdtemp(dir=directory)
        self.port = free_port()
        self.url = "http://127.0.0.1:%d/" % self.port
        self.config = os.path.join(self.dir, "holdfast.yaml")
        self.log = os.path.join(self.dir, "log")
        with open(self.config, "w", encoding="utf-8") as out:
            out.write(
                """
journal: {path: "%s/journal", preallocate: 0%s}
database: {socket: "%s", name: holdfast, user: root}
check: {every: 1s}
intake: {listen: "127.0.0.1:%d"%s}
streams: %s
%s
"""
                % (
                    self.dir,
                    journal or ", max_size: 64MiB",
                    database.socket,
                    self.port,
                    intake,
                    streams or "[{name: mozi, preset: botnet, lanes: 2}]",
                    more,
                )
            )
        self.start()

    def start(self):
        self.process = start(
            [os.environ["HOLDFAST_BIN"], "serve", "--config", self.config], self.log
        )
        wait_until(
            lambda: self.get("/readyz") == 200,
            "the engine is ready; see " + self.log,
            self._alive,
        )

    def _alive(self):
        if self.process.poll() is not None:
            with open(self.log, encoding="utf-8") as log:
                raise AssertionError("the engine ended: " + log.read())

    def ask(self, method, path, body=None, headers=None):
        """(status, headers, body); status 0: no answer."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=PATIENCE_S
        )
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        except OSError:
            return 0, {}, b""
        finally:
            connection.close()

    def get(self, path):
        return self.ask("GET", path)[0]

    def post(self, records, stream="mozi", applied=True):
        body = "\n".join(json.dumps(record, ensure_ascii=False) for record in records)
        wait = "?wait=applied&timeout=%d" % PATIENCE_S if applied else ""
        return self.ask(
            "POST", "/v1/streams/%s/records%s" % (stream, wait), body.encode()
        )[0]

    def command(self, *args):
        done = subprocess.run(
            [os.environ["HOLDFAST_BIN"], *args, "--config", self.config],
            capture_output=True,
            timeout=PATIENCE_S,
        )
        if done.returncode:
            raise AssertionError(done.stderr.decode())

    def stop(self):
        """In order, and without a sanitizer's report."""
        self.process.terminate()
        code = self.process.wait(PATIENCE_S)
        with open(self.log, encoding="utf-8", errors="replace") as log:
            text = log.read()
        if code or "Sanitizer" in text or "runtime error" in text:
            raise AssertionError("the engine ended with %d: %s" % (code, text))


class Feeder(threading.Thread):
    """A producer that goes on until it is stopped."""

    def __init__(self, engine, size=40, **fields):
        super().__init__(daemon=True)
        self.engine = engine
        self.size = size
        self.fields = fields
        self.taken = 0
        self.statuses = set()
        self.ending = threading.Event()

    def run(self):
        serial = 0
        while not self.ending.wait(0.05):
            records = [record(serial + i, **self.fields) for i in range(self.size)]
            status = self.engine.post(records, applied=False)
            self.statuses.add(status)
            self.taken += status == 200
            serial += self.size

    def stop(self):
        self.ending.set()
        self.join(PATIENCE_S)


def record(serial, **fields):
    minute, second = divmod(serial, 60)
    return {
        "ip": "198.51.%d.%d" % (serial // 200 % 200, serial % 200),
        "timestamp": "2026-01-08 %02d:%02d:%02d"
        % (minute // 60 % 24, minute % 60, second),
        "event_type": "beacon",
        "country": "中国",
        **fields,
    }


# The rows of the table with this caption, as rendered: what a person can read.
TABLE = """
const table = [...document.querySelectorAll("table")].find((t) =>
  t.caption.innerText.startsWith(arguments[0]) && t.checkVisibility());
if (!table) return [];
const heads = [...table.tHead.rows[0].cells].map((c) => c.textContent);
return [...table.tBodies[0].rows].map((r) => Object.fromEntries(
  [...r.cells].map((c, i) => [heads[i], c.innerText.trim()])));
"""

# Notes how long the page waits before it asks again, and which of these waits go on.
NOTE_WAITS = """
window.waits = []; window.pending = new Set();
const set = window.setTimeout, clear = window.clearTimeout;
window.setTimeout = (f, ms) => {
  const id = set(() => { pending.delete(id); f(); }, ms);
  waits.push(ms); pending.add(id);
  return id;
};
window.clearTimeout = (id) => { pending.delete(id); clear(id); };
"""

HIDE = """
Object.defineProperty(document, "hidden", {value: arguments[0], configurable: true});
document.dispatchEvent(new Event("visibilitychange"));
"""

# What reaches beyond the right edge of the screen, or of its cell into the next one.
TOO_WIDE = """
const width = document.documentElement.clientWidth;
return [...document.querySelectorAll("body *")].filter((e) => e.checkVisibility() &&
  !e.closest(".unseen, thead") && (e.getBoundingClientRect().right > width + 1 ||
    (e.matches("td, th") && e.scrollWidth > e.clientWidth + 1)))
  .map((e) => `${e.tagName}.${e.className}: ${e.textContent.slice(0, 60)}`).slice(0, 8);
"""

# Text that is harder to read than WCAG AA allows, by the colours as computed.
TOO_FAINT = """
const parse = (c) => c.match(/[\\d.]+/g).map(Number);
const light = (c) => {
  const [r, g, b] = parse(c).map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (e) => {
  for (; e; e = e.parentElement) {
    const c = getComputedStyle(e).backgroundColor;
    if ((parse(c)[3] ?? 1) > 0) return c;
  }
  return "rgb(255, 255, 255)";
};
const hasText = (e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
return [...document.querySelectorAll("body *")].filter((e) => hasText(e) && e.checkVisibility())
  .map((e) => {
    const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => y - x);
    return [(a + 0.05) / (b + 0.05), e.tagName + ": " + e.textContent.slice(0, 40)];
  }).filter(([ratio]) => ratio < 4.5);
"""


class Dashboard(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="holdfast-")
        cls.addClassCleanup(shutil.rmtree, cls.dir, ignore_errors=True)
        cls.database = Database(cls.dir)
        cls.addClassCleanup(cls.database.kill)
        cls.browser = Browser(cls.dir, start)
        cls.addClassCleanup(cls.browser.close)

    def setUp(self):
        self.database.execute("DROP DATABASE holdfast; CREATE DATABASE holdfast", None)
        self.browser.look()
        self.browser.log()

    def tearDown(self):
        self.browser.open("about:blank")

    # ---- Helpers -----------------------------------------------------------------

    def engine(self, **options):
        engine = Engine(self.dir, self.database, **options)
        self.addCleanup(engine.stop)
        return engine

    def feed(self, *args, **fields):
        feeder = Feeder(*args, **fields)
        feeder.start()
        self.addCleanup(feeder.stop)
        return feeder

    def line(self):
        return self.browser.text("#health-line")

    def await_line(self, text):
        wait_until(
            lambda: text in self.line(),
            lambda: "'%s' in the health line, now '%s'" % (text, self.line()),
        )

    def rows(self, caption):
        return self.browser.run(TABLE, caption)

    def await_row(self, caption, **wanted):
        """The first row that holds all of these; a value True: anything but nothing."""

        def fits(row):
            return all(
                row.get(name.replace("_", " "))
                if value is True
                else value in row.get(name.replace("_", " "), "")
                for name, value in wanted.items()
            )

        return wait_until(
            lambda: next((r for r in self.rows(caption) if fits(r)), None),
            lambda: "%s in %s: %s" % (wanted, caption, self.rows(caption)),
        )

    def await_number(self, selector, least):
        def number():
            text = self.browser.text(selector).split()[0].replace(",", "")
            return text.replace(".", "").isdigit() and float(text) >= least

        wait_until(number, "%s is %s at least" % (selector, least))

    def examine(self, scene):
        """What must hold of every scene: it fits on a phone, can be read in both schemes,
        and the browser has nothing to complain of. Its pictures, where they are wanted.
        """
        for scheme, phone in (
            ("light", False),
            ("dark", False),
            ("light", True),
            ("dark", True),
        ):
            self.browser.look(scheme, phone)
            name = "%s: %s%s" % (scene, scheme, " phone" if phone else "")
            self.assertEqual(self.browser.run(TOO_WIDE), [], name)
            self.assertEqual(self.browser.run(TOO_FAINT), [], name)
            if shots:
                self.browser.screenshot(
                    os.path.join(
                        shots,
                        "%s-%s-%s.png" % (scene, "phone" if phone else "desktop", scheme),
                    )
                )
        for width in (320, 640, 641, 960, 961):
            self.browser.look(width=width)
            self.assertEqual(self.browser.run(TOO_WIDE), [], (scene, width))
        self.browser.look()
        self.assertFalse(self.browser.has_dialog())

    def assert_quiet(self, but=()):
        """No script error, no violation of the policy, nothing that was not found."""
        self.assertEqual(
            [
                entry["message"]
                for entry in self.browser.log()
                if not any(text in entry["message"] for text in but)
            ],
            [],
        )

    # ---- Scenes ------------------------------------------------------------------

    def test_normal_running(self):
        engine = self.engine(
            streams="[{name: mozi, preset: botnet, lanes: 2}, {name: test, preset: botnet},"
            " {name: %s, preset: botnet}]" % ("as_long_a_name_" * 3)[:32]
        )
        engine.post([record(i) for i in range(300)], "test")
        feeder = self.feed(engine)
        self.browser.open(engine.url)
        self.await_line("Well: records are taken and applied")
        self.await_number("#accepted .big", 1)
        self.await_number("#applied .big", 1)
        self.assertRegex(self.browser.text("#lag .big"), r"^\d+ s$")
        self.assertIn("%", self.browser.text("#journal .big"))
        for lane in ("0", "1"):
            self.await_row("Lanes", Stream="mozi", Lane=lane, Accepted=True)
        self.await_row("Lanes", Stream="test", Accepted="300", New_events="300")
        self.await_row(
            "Coverage", Stream="test", State="covered", Coverage="100 %", Entities=True
        )
        self.await_row("Coverage", Stream="mozi", State="covered")
        self.assertIn("every entity has its events", self.browser.text("#orphans"))
        wait_until(
            lambda: "None: every record" in self.browser.text("#letters"),
            "dead letters are counted",
        )
        wait_until(
            lambda: self.browser.run(
                "return document.querySelector('#accepted .spark path:not(.area)')"
                ".getAttribute('d').split('L').length"
            )
            > 3,
            "the curve grows",
        )
        self.examine("normal")
        feeder.stop()
        self.assertEqual(feeder.statuses, {200})
        self.assert_quiet()

    def test_orphans(self):
        engine = self.engine()
        engine.post([record(i) for i in range(500)])
        self.database.execute(
            "".join(
                "INSERT INTO botnet_nodes_mozi (ip, first_seen, last_seen) VALUES %s;"
                % ",".join(
                    "('10.%d.%d.%d', '%s 03:0%d:00', '%s 03:0%d:00')"
                    % (day, i // 250, i % 250, date, i % 10, date, i % 10)
                    for i in range(count)
                )
                for day, (date, count) in enumerate(
                    (("2026-01-11", 120), ("2026-02-03", 40), ("2026-02-04", 5))
                )
            )
        )
        self.browser.open(engine.url)
        self.await_line("entities of mozi lack their events")
        self.await_row(
            "Coverage", Stream="mozi", State="too low", Without_events="165"
        )
        self.await_row("Orphans", Day="2026-01-11", Stream="mozi", Entities="120")
        self.assertEqual(
            [(row["Entities"], row["Share"]) for row in self.rows("Orphans")],
            [("5", "3 %"), ("40", "24 %"), ("120", "72 %")],
        )
        self.assertIn(
            "120 entities without events, up to 120 in a row",
            self.browser.text("#orphans"),
        )
        self.assertIn("holdfast repair", self.browser.text("#orphans"))
        self.assertNotIn("holdfast deadletter", self.browser.text("#letters"))
        self.examine("orphans")
        self.assert_quiet()

    def test_database_down(self):
        engine = self.engine(
            more="alerts: {every: 200ms, hold: 1s, lag: 2s, disk_free: 0}"
        )
        feeder = self.feed(engine)
        self.browser.open(engine.url)
        self.await_line("Well")
        self.await_row("Coverage", Stream="mozi", State="covered")
        self.database.kill()
        self.await_line("Trouble: no connection to the database")
        taken = feeder.taken
        self.await_number("#lag .big", 3)
        self.assertIn("records wait", self.browser.text("#lag"))
        self.await_row("Lanes", State="waiting", Waiting=True, Errors_and_notes="connect")
        self.await_row("Alerts that are raised", Alert="lag_growing", Subject="mozi")
        self.await_row("Last alerts", What="raised", Alert="lag_growing")
        self.await_row(
            "Coverage", State="check failed", Coverage="100 %", Notes="connect"
        )
        self.assertGreater(feeder.taken, taken)
        self.assertEqual(feeder.statuses, {200})
        self.examine("database-down")
        self.database.start()
        wait_until(lambda: "no connection" not in self.line(), "it is back again")
        feeder.stop()
        wait_until(lambda: "nothing waits" in self.browser.text("#lag"), "all is applied")
        self.assert_quiet()

    def test_lane_stopped(self):
        engine = self.engine(
            streams="[{name: mozi, preset: botnet}, {name: test, preset: botnet}]"
        )
        engine.post([record(0)])
        engine.post([record(0)], "test")
        self.database.execute(
            "ALTER TABLE botnet_communications_test DROP COLUMN event_type"
        )
        engine.post([record(1)], "test", applied=False)
        self.browser.open(engine.url)
        self.await_line("Trouble: 1 lane is stopped: test")
        self.await_row(
            "Lanes", Stream="test", State="stopped", Errors_and_notes="event_type"
        )
        self.assertEqual(
            [(row["Stream"], row["State"]) for row in self.rows("Lanes")],
            [("test", "stopped"), ("mozi", "idle")],
        )
        self.examine("lane-stopped")
        self.assert_quiet()

    def test_journal_nearly_full(self):
        engine = self.engine(journal=", max_size: 4MiB")
        engine.post([record(i) for i in range(10)])
        engine.command("pause")
        self.browser.open(engine.url)
        self.await_line("Attention: applying is paused")
        feeder = self.feed(engine, 1000, isp="x" * 200)
        self.await_line("Trouble: refusing records")
        self.assertIn("The journal has no room", self.browser.text("#problems"))
        self.assertIn("No room: new records are refused", self.browser.text("#journal"))
        self.examine("journal-full")
        wait_until(lambda: 503 in feeder.statuses, "a producer is refused")
        feeder.stop()
        self.assertEqual(feeder.statuses, {200, 503})
        engine.command("resume")
        self.await_line("Well")
        self.assert_quiet()

    def test_poison(self):
        hostile = [
            "<img src=x onerror=alert(1)>",
            '"><script>alert(2)</script>',
            "\u202egnp.exe \u0007\u0000 'x' & \u2066",
            "javascript:alert(3)//`${1}`",
        ]
        engine = self.engine()
        engine.post([record(0)])
        # Under the running engine: what it took for good the server now refuses.
        self.database.execute(
            "ALTER TABLE botnet_communications_mozi MODIFY event_type VARCHAR(20)"
        )
        records = [record(i, ip=text) for i, text in enumerate(hostile)]
        records += [record(i, isp=text * 40) for i, text in enumerate(hostile)]
        records += [record(i, timestamp=text) for i, text in enumerate(hostile)]
        records.append({'<b onmouseover="alert(4)">': hostile[0]})
        records.append(record(77, event_type=hostile[1]))
        records.append(record(78))
        self.assertEqual(engine.post(records), 200)
        self.browser.open(engine.url)
        row = self.await_row("Dead letters", Reason="too_long")
        self.assertIn("found at replay", self.browser.text("#letters"))
        for reason in self.rows("Dead letters"):
            self.assertTrue(reason["Newest"], reason)
        self.browser.run(
            "for (const d of document.querySelectorAll('details')) d.open = true"
        )
        shown = self.browser.text("#letters")
        for text in ("<img src=x onerror=alert(1)>", '"><script>alert(2)</script>'):
            self.assertIn(json.dumps(text)[1:-1], shown)
        self.assertIn("\\u{202e}gnp.exe", shown)
        self.assertIn("holdfast deadletter retry", shown)
        self.assertNotRegex(shown, "[\u202a-\u202e\u2066-\u2069\u0007]")
        self.assertEqual(
            self.browser.run(
                "return document.querySelectorAll('#data script, #data img, #data b').length"
            ),
            0,
        )
        self.await_row("Lanes", Stream="mozi", State="idle")
        self.examine("poison")
        # An opened list stays open over the next answers.
        self.assertIn("14 dead letters kept", self.browser.text("#as-of"))
        at = self.browser.text("#as-of")
        wait_until(lambda: self.browser.text("#as-of") != at, "a further answer")
        self.assertTrue(self.browser.run("return document.querySelector('details').open"))
        self.assertTrue(row["Kept"])
        self.assert_quiet()

    def test_engine_stopped(self):
        engine = Engine(self.dir, self.database)
        engine.post([record(0)])
        self.browser.open(engine.url)
        self.await_line("Well")
        self.browser.run(NOTE_WAITS)
        engine.stop()
        self.await_line("No answer: the engine does not answer since ")
        wait_until(lambda: 4000 in self.browser.run("return waits"), "it asks less often")
        self.assertIn("What is below is old", self.browser.text("#as-of"))
        self.examine("no-answer")
        engine.start()
        self.addCleanup(engine.stop)
        self.await_line("Well")
        self.assertNotIn("old", self.browser.text("#as-of"))
        self.assert_quiet(but=["net::ERR_"])

    def test_token(self):
        token_file = os.path.join(self.dir, "token")
        with open(token_file, "w", encoding="utf-8") as out:
            out.write("right-token\n")
        engine = self.engine(intake=', token_file: "%s"' % token_file)
        self.assertEqual(engine.get("/"), 200)
        for path in ("/v1/status", "/v1/dashboard", "/metrics"):
            self.assertEqual(engine.get(path), 401)
        self.browser.open(engine.url)
        self.await_line("Token needed: the engine asks for one")
        self.assertFalse(
            self.browser.run("return document.querySelector('#data').checkVisibility()")
        )
        self.examine("token")
        self.browser.type("#token", "wrong-token" + ENTER)
        self.await_line("Wrong token: the engine does not know this token")
        self.browser.type("#token", "zażółć" + ENTER)
        self.await_line("Wrong token")
        self.browser.type("#token", "right-token" + ENTER)
        self.await_line("Well")
        self.assertFalse(
            self.browser.run(
                "return document.querySelector('#token-form').checkVisibility()"
            )
        )
        self.browser.reload()
        self.await_line("Well")  # the tab remembers it
        self.browser.click("#forget")
        self.await_line("Token needed")
        self.browser.reload()
        self.await_line("Token needed")
        self.assert_quiet(but=["401"])

    def test_keyboard(self):
        engine = self.engine()
        engine.post([record(i, ip="x%d" % i) for i in range(3)])
        self.browser.open(engine.url)
        self.await_row("Dead letters", Reason=True)
        self.browser.run("document.body.focus()")
        reached = []
        for _ in range(8):
            self.browser.press(TAB)
            reached.append(
                self.browser.run(
                    "const e = document.activeElement; const s = getComputedStyle(e);"
                    "return [e.id || e.innerText, s.outlineStyle]"
                )
            )
        self.assertEqual(reached[0][0], "hold")
        names = [name for name, _ in reached]
        for wanted in ("2 more like it", "Status as JSON", "Metrics"):
            self.assertIn(wanted, names)
        for name, outline in reached[: reached.index(["Metrics", "solid"])]:
            self.assertEqual(outline, "solid", reached)
        self.browser.run("document.querySelector('summary').focus()")
        self.browser.press(ENTER)
        self.assertTrue(self.browser.run("return document.querySelector('details').open"))
        self.browser.run("document.querySelector('#hold').focus()")
        self.browser.press(ENTER)
        self.assertIn("updates are paused", self.browser.text("#as-of"))
        self.browser.press(ENTER)
        wait_until(lambda: "paused" not in self.browser.text("#as-of"), "updates go on")
        self.assert_quiet()

    def test_for_a_screen_reader(self):
        engine = self.engine()
        engine.post([record(0), record(1, ip="x")])
        self.browser.open(engine.url)
        self.await_row("Dead letters", Reason=True)
        nodes = self.browser.devtools("Accessibility.getFullAXTree")["nodes"]

        def named(role):
            return [
                n["name"]["value"]
                for n in nodes
                if n.get("role", {}).get("value") == role and n.get("name")
            ]

        self.assertIn("Lanes", " ".join(named("table")))
        self.assertIn("Dead letters by reason", named("heading"))
        self.assertIn("Stream", named("columnheader"))
        self.assertIn("mozi", named("rowheader"))
        self.assertTrue(any(n.startswith("Accepted per second") for n in named("image")))
        self.assertTrue(any(n.startswith("Journal: ") for n in named("image")))
        self.assertEqual(
            self.browser.run(
                "return [...document.querySelectorAll('[aria-live]')].map((e) => e.id)"
            ),
            ["health-line"],
        )
        # On a phone the tables are laid out as blocks, and are tables all the same.
        self.browser.look(phone=True)
        nodes = self.browser.devtools("Accessibility.getFullAXTree")["nodes"]
        self.assertIn("mozi", named("rowheader"))
        self.assertIn("Stream", named("columnheader"))

    def test_hidden(self):
        """A tab that nobody looks at asks nothing, and asks at once when it is seen."""
        engine = self.engine()
        self.browser.open(engine.url)
        self.browser.run(NOTE_WAITS)
        wait_until(lambda: self.browser.run("return pending.size"), "it is to ask again")
        self.browser.run("waits.length = 0;" + HIDE, True)
        engine.post([record(i) for i in range(7)])
        self.assertEqual(self.browser.run("return [...waits, ...pending]"), [])
        self.browser.run(HIDE, False)
        self.assertEqual(self.browser.run("return waits[0]"), 0)
        wait_until(lambda: "7 in all" in self.browser.text("#accepted"), "it goes on")

    def test_policy(self):
        engine = self.engine()
        status, headers, body = engine.ask("GET", "/")
        self.assertEqual(status, 200)
        policy = dict(
            part.strip().split(" ", 1)
            for part in headers["Content-Security-Policy"].split(";")
        )
        self.assertEqual(policy["default-src"], "'none'")
        for part in ("script-src", "style-src", "connect-src", "img-src"):
            self.assertEqual(policy[part], "'self'")
        for part in ("base-uri", "form-action", "frame-ancestors"):
            self.assertEqual(policy[part], "'none'")
        self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
        self.assertEqual(headers["Referrer-Policy"], "no-referrer")
        self.assertNotRegex(body, rb"https?://")
        self.assertEqual(engine.get("/dashboard/../../etc/passwd"), 404)
        self.assertEqual(engine.get("/dashboard/none.js"), 404)
        # And the browser holds the page to it: a script in the markup does not run.
        self.browser.open(engine.url)
        self.await_line("Well")
        self.browser.run(
            "const s = document.createElement('script');"
            "try { s.text = 'window.ran = 1'; document.body.append(s) } catch {}"
        )
        self.assertIsNone(self.browser.run("return window.ran ?? null"))


def main():
    global shots
    parser = argparse.ArgumentParser()
    parser.add_argument("--shots", help="a directory for pictures of each scene")
    options, rest = parser.parse_known_args()
    shots = options.shots
    for name in ("chromedriver", "chromium", "mariadb-install-db"):
        if not shutil.which(name):
            sys.exit(
                "no %s: '. packaging/dependencies.sh; dependencies_install"
                " $dependencies_test'" % name
            )
    if "HOLDFAST_BIN" not in os.environ:
        sys.exit("HOLDFAST_BIN must name the engine; ctest -R test_dashboard sets it")
    if shots:
        os.makedirs(shots, exist_ok=True)
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)


if __name__ == "__main__":
    main()
