"""tests/webdriver.py: a headless Chromium, driven by ChromeDriver over the W3C WebDriver
protocol. Only what tests/test_dashboard.py needs; see https://www.w3.org/TR/webdriver2/.
"""
import base64
import json
import os
import subprocess
import time
import urllib.error
import urllib.request

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the protocol's key of an element
TAB = "\ue004"
ENTER = "\ue007"
PATIENCE_S = 60


def wait_until(check, what, alive=lambda: None):
    """Waits for check() to be true and returns it; `what` is said where it never is."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        found = check()
        if found:
            return found
        alive()
        time.sleep(0.05)
    raise AssertionError(
        "never so within %d s: %s" % (PATIENCE_S, what() if callable(what) else what)
    )


class Browser:
    """One session. Errors of the protocol are raised as RuntimeError."""

    def __init__(self, directory, start):
        """`start` starts a process: start(argv, log, env) -> Popen."""
        port_file = os.path.join(directory, "driver.log")
        self.driver = start(
            ["chromedriver", "--port=0"],
            port_file,
            {"HOME": directory, "TMPDIR": directory},
        )
        self.url = wait_until(
            lambda: self._driver_url(port_file), "chromedriver tells its port"
        )
        arguments = [
            "--headless",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--hide-scrollbars",
            "--window-size=1280,900",
            "--user-data-dir=" + os.path.join(directory, "profile"),
        ]
        if os.geteuid() == 0:
            arguments.append("--no-sandbox")  # which root can't have
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
            "unhandledPromptBehavior": "ignore",
        }
        answer = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self.session = "/session/" + answer["sessionId"]

    def _driver_url(self, log):
        with open(log, encoding="utf-8", errors="replace") as text:
            for line in text:
                if "started successfully on port" in line:
                    return "http://127.0.0.1:" + line.rstrip().rstrip(".").split()[-1]
        if self.driver.poll() is not None:
            raise AssertionError("chromedriver ended; see " + log)
        return None

    def _call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path,
            data,
            method=method,
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            value = json.load(error)["value"]
            raise RuntimeError("%s: %s" % (value["error"], value["message"])) from None

    def close(self):
        if hasattr(self, "session"):
            self._call("DELETE", self.session)
        self.driver.terminate()
        self.driver.wait()

    def open(self, url):
        self._call("POST", self.session + "/url", {"url": url})

    def reload(self):
        self._call("POST", self.session + "/refresh", {})

    def run(self, script, *args):
        """The value of a function's body in the page."""
        return self._call(
            "POST", self.session + "/execute/sync", {"script": script, "args": args}
        )

    def text(self, selector):
        """What is rendered of the first such element; None where there is none."""
        return self.run(
            "const e = document.querySelector(arguments[0]);" "return e && e.innerText",
            selector,
        )

    def element(self, selector):
        found = self._call(
            "POST",
            self.session + "/element",
            {"using": "css selector", "value": selector},
        )
        return self.session + "/element/" + found[ELEMENT]

    def click(self, selector):
        self._call("POST", self.element(selector) + "/click", {})

    def type(self, selector, text):
        self._call("POST", self.element(selector) + "/value", {"text": text})

    def press(self, key):
        """One key, wherever the focus is."""
        self._call(
            "POST",
            self.session + "/actions",
            {
                "actions": [
                    {
                        "type": "key",
                        "id": "keyboard",
                        "actions": [
                            {"type": "keyDown", "value": key},
                            {"type": "keyUp", "value": key},
                        ],
                    }
                ]
            },
        )

    def has_dialog(self):
        try:
            self._call("GET", self.session + "/alert/text")
            return True
        except RuntimeError as error:
            if "no such alert" in str(error):
                return False
            raise

    def log(self):
        """What was written to the console since the last call, with violations of CSP."""
        return self._call("POST", self.session + "/se/log", {"type": "browser"})

    def devtools(self, command, **parameters):
        return self._call(
            "POST",
            self.session + "/goog/cdp/execute",
            {"cmd": command, "params": parameters},
        )

    def look(self, scheme="light", phone=False, width=1280):
        """Which colours the user likes, and on what screen."""
        self.devtools(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )
        width, height = (390, 844) if phone else (width, 900)
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )

    def screenshot(self, path):
        """The whole page, as PNG."""
        picture = self.devtools("Page.captureScreenshot", captureBeyondViewport=True)
        with open(path, "wb") as out:
            out.write(base64.b64decode(picture["data"]))
