"""Somebody at the studio's page in a browser."""

import base64
import json

import numpy as np
import own_pictures

_TIMEOUT = 30_000  # ms
DESKTOP = {"viewport": {"width": 1280, "height": 800}}
PHONE = {"viewport": {"width": 375, "height": 720}, "has_touch": True, "is_mobile": True}


class Visitor:
    """One page, what it asks and what goes wrong there."""

    def __init__(self, browser, address, **options):
        self.asked, self.troubles, self.most_at_once = [], [], 0
        self._open = self._unanswered = 0
        self._address = address
        self.context = browser.new_context(**{**DESKTOP, **options})
        self.page = self.context.new_page()
        self.page.set_default_timeout(_TIMEOUT)
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("console", self._hear)
        self.page.on("request", self._ask)
        self.page.on("requestfinished", self._answered)
        self.page.on("requestfailed", self._answered)
        self.page.goto(address)
        self.page.wait_for_selector("main:not([hidden])")

    def _hear(self, message):
        # A server that was killed or has forgotten, and what it refuses, are heard of here, too.
        ordinary = any(text in message.text for text in ("ERR_", "status of 410", "status of 422"))
        if message.type in ("error", "warning") and not ordinary:
            self.troubles.append(message.text)

    def _ask(self, request):
        self._unanswered += 1
        if not request.url.startswith((self._address, "blob:")):
            self.troubles.append(request.url)
        body = None
        if request.url.endswith(("/person", "/render", "/motion")):
            body = json.loads(request.post_data)
        self.asked.append((request.url.removeprefix(self._address), body))
        if request.url.endswith("/render"):
            self._open += 1
            self.most_at_once = max(self.most_at_once, self._open)

    def _answered(self, request):
        self._unanswered -= 1
        self._open -= request.url.endswith("/render")

    def sent(self, path):
        """Bodies of all requests to a path."""
        return [body for asked, body in self.asked if asked == path]

    def pose(self):
        """The newest pose that was asked for, after its picture has arrived."""
        self.rest()
        return np.array(self.sent("render")[-1]["joints_mm"])

    def rest(self):
        """Waits until nothing more is asked for."""
        quiet = 0
        while quiet < 4:
            self.page.wait_for_timeout(50)
            quiet = 0 if self._unanswered else quiet + 1

    def drop(self, *files):
        """Drops files on the page, as from a desktop."""
        kinds = {".jpg": "image/jpeg", ".png": "image/png", ".json": "application/json"}
        given = [
            (file.name, kinds[file.suffix], base64.b64encode(file.read_bytes()).decode())
            for file in files
        ]
        self.page.evaluate(
            """files => {
              const transfer = new DataTransfer();
              for (const [name, type, text] of files) {
                const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
                transfer.items.add(new File([bytes], name, { type }));
              }
              for (const kind of ["dragenter", "dragover", "drop"]) {
                const event = new DragEvent(kind,
                  { dataTransfer: transfer, bubbles: true, cancelable: true });
                document.body.dispatchEvent(event);
              }
            }""",
            given,
        )

    def begin(self, files):
        """Drops a picture with all that belongs to it, and waits for the person."""
        self.drop(files["image"], files["mask"], files["pose"])
        self.arrive()
        return self

    def arrive(self):
        self.page.wait_for_selector("#studio:not([hidden])")
        self.page.wait_for_selector("#picture[data-version]")
        self.rest()

    def choose(self, name):
        self.page.click(f"[data-pose={name}]")

    def at(self, joint, stage="#stage"):
        """The place of a joint on the screen."""
        box = self.page.locator(f"{stage} [data-joint={joint}]").bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def drag(self, joint, dx, dy, stage="#stage", steps=12):
        x, y = self.at(joint, stage)
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + dx, y + dy, steps=steps)
        self.page.mouse.up()

    def dots(self):
        """The pixels that the person covers in the picture, [32, 32]."""
        levels = self.page.evaluate(
            """() => {
              const canvas = document.querySelector("#picture");
              const pen = canvas.getContext("2d");
              return [...pen.getImageData(0, 0, canvas.width, canvas.height).data];
            }"""
        )
        side = own_pictures.SIDE
        return np.array(levels).reshape(side, side, 4)[..., 3] > 128

    def close(self):
        assert self.troubles == []
        self.context.close()


class Fingers:
    """Fingers on the screen of a visitor."""

    def __init__(self, visitor):
        self._session = visitor.context.new_cdp_session(visitor.page)

    def put(self, kind, *points):
        touches = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
        self._session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})

    def drag(self, start, end, steps=8):
        self.put("touchStart", start)
        for step in range(1, steps + 1):
            share = step / steps
            self.put("touchMove", tuple(a + share * (b - a) for a, b in zip(start, end)))
        self.put("touchEnd")
