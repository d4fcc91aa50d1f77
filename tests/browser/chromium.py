"""Drives a headless Chromium through its DevTools protocol over a pipe: pages, real mouse and keys, screenshots. Needs
nothing but Python's standard library and Debian's package chromium."""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time


class Chromium:
    """A browser with one page. What the page says on its console, and every error of it, is in `complaints`; every
    address that it asks for is in `requests`."""

    def __init__(self):
        program = shutil.which("chromium") or shutil.which("google-chrome")
        if program is None:
            raise SystemExit("there is no chromium: launch/install --ci installs it")
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        to_browser, self.to_browser = os.pipe()
        self.from_browser, from_browser = os.pipe()
        # The protocol's pipe is file descriptors 3 (commands) and 4 (answers).
        shell = f'exec 3<&{to_browser} 4>&{from_browser}; exec "$0" "$@"'
        self.process = subprocess.Popen(
            ["bash", "-c", shell, program, "--headless=new", "--remote-debugging-pipe", "--no-sandbox",
             "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
             "--force-device-scale-factor=1",
             f"--user-data-dir={self.profile.name}", "about:blank"],
            pass_fds=(to_browser, from_browser), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self.received = b""
        self.last_id = 0
        self.session = None
        self.complaints = []
        self.requests = []
        self.loaded = False
        target = next(t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.to_browser)
        os.close(self.from_browser)
        self.profile.cleanup()

    def _message(self, deadline):
        while b"\0" not in self.received:
            if not select.select([self.from_browser], [], [], max(0, deadline - time.monotonic()))[0]:
                raise TimeoutError("the browser does not answer")
            piece = os.read(self.from_browser, 1 << 16)
            if not piece:
                raise ConnectionError("the browser has ended")
            self.received += piece
        message, self.received = self.received.split(b"\0", 1)
        message = json.loads(message)
        method, told = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(told["exceptionDetails"])[:800])
        elif method == "Runtime.consoleAPICalled":
            self.complaints.append(f'{told["type"]}: {json.dumps(told["args"])[:800]}')
        elif method == "Log.entryAdded":
            self.complaints.append(told["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif method == "Page.loadEventFired":
            self.loaded = True
        return message

    def call(self, method, **parameters):
        self.last_id += 1
        command = {"id": self.last_id, "method": method, "params": parameters}
        if self.session is not None:
            command["sessionId"] = self.session
        os.write(self.to_browser, json.dumps(command).encode() + b"\0")
        deadline = time.monotonic() + 60
        while True:
            message = self._message(deadline)
            if message.get("id") == self.last_id:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]

    def open(self, file, width=1360, height=900, scheme="light"):
        """Loads a file in a window of this size and waits until it is laid out."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.loaded = False
        self.call("Page.navigate", url=f"file://{os.path.abspath(file)}")
        deadline = time.monotonic() + 60
        while not self.loaded:
            self._message(deadline)
        self.settle()

    def settle(self):
        """Waits for two frames: what the page does when its layout has changed has then been done."""
        self.evaluate("new Promise(done => "
                      "requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 50))))")

    def evaluate(self, expression):
        """The value of a JavaScript expression, a promise's when it is kept."""
        result = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(json.dumps(result["exceptionDetails"]))
        return result["result"].get("value")

    def mouse(self, kind, x, y, buttons=0, count=0):
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, buttons=buttons, clickCount=count,
                  button="left" if kind != "mouseMoved" else "none")

    def drag(self, x0, y0, x1, y1):
        self.mouse("mouseMoved", x0, y0)
        self.mouse("mousePressed", x0, y0, buttons=1, count=1)
        self.mouse("mouseMoved", (x0 + x1) / 2, (y0 + y1) / 2, buttons=1)
        self.mouse("mouseMoved", x1, y1, buttons=1)
        self.mouse("mouseReleased", x1, y1, count=1)
        self.settle()

    def double_click(self, x, y):
        for count in (1, 2):
            self.mouse("mousePressed", x, y, buttons=1, count=count)
            self.mouse("mouseReleased", x, y, count=count)
        self.settle()

    def key(self, name, text=None):
        told = {"key": name, "code": name, "windowsVirtualKeyCode": {"ArrowLeft": 37, "ArrowRight": 39, "Home": 36,
                                                                    "End": 35, "Escape": 27}.get(name, 0)}
        self.call("Input.dispatchKeyEvent", type="keyDown", **told, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **told)
        self.settle()

    def screenshot(self, file, whole=True):
        """A PNG of the whole page, or of the window; returns its bytes."""
        options = {}
        if whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            options = {"captureBeyondViewport": True, "clip": {**size, "scale": 1}}
        picture = base64.b64decode(self.call("Page.captureScreenshot", format="png", **options)["data"])
        with open(file, "wb") as out:
            out.write(picture)
        return picture
