"""The page in a real browser: two judges at once, one with the mouse and one with the keyboard."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from serving import Server
from small_study import METHODS

GAMES = 10
TIMEOUT = 60_000  # ms

_CHOICES = ("left", "right", "tie")
_BRIGHTNESS = """() => ["left", "right"].map((side) => {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 8;
  const pen = canvas.getContext("2d");
  pen.drawImage(document.querySelector(`#${side}-picture img`), 0, 0, 8, 8);
  const pixels = pen.getImageData(0, 0, 8, 8).data;
  return pixels.reduce((sum, value, i) => (i % 4 < 3 ? sum + value : sum), 0) / (3 * 64);
})"""
"""A script that gives the brightness of the two pictures as they stand on the page, 0 to 255."""

_RECORD = """(() => {
  const pen = CanvasRenderingContext2D.prototype;
  const { clearRect, moveTo, lineTo } = pen;
  let points = [];
  pen.clearRect = function (...where) {
    window.drawn = { side: this.canvas.width, points };
    points = [];
    return clearRect.apply(this, where);
  };
  pen.moveTo = function (x, y) { points.push([x, y]); return moveTo.call(this, x, y); };
  pen.lineTo = function (x, y) { points.push([x, y]); return lineTo.call(this, x, y); };
})()"""
"""Keeps where the ends of limbs were drawn in the last whole picture."""

_KEYS = {"left": ("ArrowLeft",), "right": ("ArrowRight",), "tie": ("Space", "ArrowDown")}


@pytest.fixture
def server(results, tmp_path):
    started = Server(results, tmp_path / "study.db", GAMES)
    started.start()
    yield started
    if started.is_running:
        started.kill()


class Visitor:
    """A judge at a browser of their own, who begins as soon as the page is there."""

    def __init__(self, browser, address, press, prefer=None, **options):
        """`prefer` makes a choice of the brightness left and right; without it, they alternate."""
        self.answers, self.troubles = {}, []
        self._press, self._prefer = press, prefer
        self.page = browser.new_context(**options).new_page()
        self.page.set_default_timeout(TIMEOUT)
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("console", lambda message: self._hear(message))
        self.page.goto(address)
        self.page.click("#card-button")
        # The explanation has the same button: it must not be taken for this one.
        self.page.wait_for_function(
            "() => document.querySelector('#card-title').textContent.startsWith('Part')"
        )

    def _hear(self, message):
        # A server that was killed is the one thing that may go wrong.
        broken = "ERR_" in message.text or "status of 500" in message.text
        if message.type == "error" and not broken:
            self.troubles.append(message.text)

    def question(self):
        """The open question; explanations are clicked away."""
        self.page.wait_for_function(
            "() => !document.querySelector('#card').hidden"
            " || !document.querySelector('#question').classList.contains('waiting')"
        )
        if self.page.is_visible("#card"):
            self.page.click("#card-button")
        self.page.wait_for_selector("#question:not(.waiting)")
        return self.page.get_attribute("#question", "data-question")

    def answer(self, wait=True):
        question = self.question()
        if self._prefer is None:
            choice = _CHOICES[len(self.answers) % 3]
        else:
            choice = self._prefer(*self.page.evaluate(_BRIGHTNESS))
        self.answers[question] = choice
        self._press(self.page, choice, len(self.answers))
        if wait:
            self.arrive(question)

    def arrive(self, question):
        """Waits for what comes after a question."""
        self.page.wait_for_function(
            "asked => !document.querySelector('#card').hidden"
            " || document.querySelector('#question').dataset.question !== asked",
            arg=question,
        )


def _with_mouse(page, choice, number):
    page.click(f"#{choice}")


def _with_keys(page, choice, number):
    keys = _KEYS[choice]
    page.keyboard.press(keys[number % len(keys)])


def _by_touch(page, choice, number):
    page.tap(f"#{choice}")


def _likes_bright_pictures(tied):
    """Always the brighter picture, but for one answer of that number.

    One tie in a task changes no order: all pairs are played twice or more, and count alike.
    """
    given = iter(range(1000))

    def prefer(left, right):
        return "tie" if next(given) == tied else "left" if left > right else "right"

    return prefer


@pytest.mark.slow
def test_two_judges_find_what_is_better_although_the_server_is_killed(browser, server, tmp_path):
    """The report of the page's answers says what is planted in the pixels."""
    mouse = Visitor(browser, server.address, _with_mouse, _likes_bright_pictures(0))
    keys = Visitor(browser, server.address, _with_keys, _likes_bright_pictures(GAMES + 3))
    visitors = (mouse, keys)
    for number in range(3 * GAMES):
        if number == 3 * GAMES // 2:
            questions = [visitor.question() for visitor in visitors]
            server.kill()
            for visitor in visitors:
                visitor.answer(wait=False)
                visitor.page.wait_for_selector("#notice:not([hidden])")
            server.start()
            for visitor, question in zip(visitors, questions):
                visitor.arrive(question)
                visitor.page.wait_for_selector("#notice", state="hidden")
            # Whoever loads the page anew is where they were.
            keys.question()
            keys.page.reload()
        else:
            for visitor in visitors:
                visitor.answer()
    for visitor in visitors:
        assert visitor.page.inner_text("#card-title") == "Thank you!"
        assert visitor.page.evaluate("document.querySelector('#progress').value") == 3 * GAMES
        assert visitor.troubles == []
        assert len(visitor.answers) == 3 * GAMES
    found = server.answers()
    assert len(found) == len({question for _, question, _ in found}) == 2 * 3 * GAMES
    by_judge = [{q: answer for judge, q, answer in found if judge == n} for n in (1, 2)]
    assert by_judge == [mouse.answers, keys.answers]
    command = [sys.executable, "-m", "volsynth.cli", "study", "report", "--json"]
    done = subprocess.run(
        [*command, "--database", str(server.database), "--out", str(tmp_path / "out")],
        capture_output=True,
        check=True,
    )
    report = json.loads(done.stdout)
    assert report["judges"] == 2
    assert len(report["elo"]) == 3
    for elo in report["elo"].values():
        assert sorted(elo, key=elo.get) == list(METHODS)


@pytest.mark.slow
def test_pictures_that_cannot_be_loaded_are_said_to_be_missing(browser, server, results):
    visitor = Visitor(browser, server.address, _with_keys)
    page = visitor.page
    question = visitor.question()

    def die(route):
        if server.is_running:
            server.kill()
        route.continue_()

    # The answer is taken, and then the server dies.
    page.route("**/picture/**", die)
    visitor.answer(wait=False)
    page.wait_for_selector("#notice:not([hidden])")
    assert "The pictures cannot be loaded" in page.inner_text("#notice")
    page.unroute("**/picture/**")
    server.start()
    visitor.arrive(question)
    page.wait_for_selector("#notice", state="hidden")
    assert len(server.answers()) == 1
    # A file that is not what it was: the server says 500 until it is back.
    question = visitor.question()
    before = {file: file.read_bytes() for folder in results for file in folder.glob("*.*g")}
    try:
        for file in before:
            Image.new("RGB", (16, 16), (1, 2, 3)).save(file)
        visitor.answer(wait=False)
        page.wait_for_selector("#notice:not([hidden])")
        assert "The pictures cannot be loaded" in page.inner_text("#notice")
        assert page.get_attribute("#question", "data-question") == question
    finally:
        for file, data in before.items():
            file.write_bytes(data)
    visitor.arrive(question)
    page.wait_for_selector("#notice", state="hidden")
    assert visitor.troubles == []


@pytest.mark.slow
def test_whoever_comes_when_there_are_enough_judges_reads_so(browser, server):
    page = browser.new_context().new_page()
    page.set_default_timeout(TIMEOUT)
    reason = {"error": "There are 10000 judges already."}
    page.route("**/begin", lambda route: route.fulfill(status=403, json=reason))
    page.goto(server.address)
    page.click("#card-button")
    page.wait_for_function("() => document.querySelector('#card-title').textContent === 'Sorry'")
    assert page.inner_text("#card-text") == reason["error"]
    assert page.is_hidden("#notice")


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), [(390, 844), (844, 390), (1280, 800), (320, 568)])
def test_everything_is_in_sight_and_can_be_touched(browser, server, width, height):
    phone = width < 1000
    options = {"viewport": {"width": width, "height": height}, "has_touch": phone}
    visitor = Visitor(browser, server.address, _by_touch if phone else _with_mouse, **options)
    shown = set()
    for _ in range(3 * GAMES):
        visitor.question()
        page = visitor.page
        shown.add((page.is_visible("#source-picture"), page.is_visible("#pose")))
        boxes = [
            page.locator(f"#{id}").bounding_box() for id in ("left-picture", "right-picture", "tie")
        ]
        for box in boxes:
            assert box["x"] >= 0
            assert box["y"] >= 0
            assert box["x"] + box["width"] <= width
            assert box["y"] + box["height"] <= height
        assert boxes[0]["width"] == boxes[1]["width"] >= 100
        assert boxes[0]["y"] == boxes[1]["y"]
        assert boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"]
        # Nothing to scroll to.
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        visitor.answer()
    assert shown == {(False, False), (True, False), (False, True)}
    assert visitor.troubles == []
    assert len(server.answers()) == 3 * GAMES


def _angle(joints, limbs, drawn):
    """The angle of a skeleton around the vertical, in degrees, from where it was drawn."""
    ends = np.array([joints[i] for i in sorted({i for a, b, _ in limbs for i in (a, b)})])
    points, middle = np.array(drawn["points"]), drawn["side"] / 2
    # A turn leaves heights alone: they tell which end is which, and how large it is drawn.
    scale = np.ptp(points[:, 1]) / np.ptp(ends[:, 1])
    off = np.abs(points[:, 1] - (middle + scale * ends[:, 1:2]))
    assert off.min(axis=1).max() < 0.5
    x = (points[off.argmin(axis=1), 0] - middle) / scale
    (cos, sin), *_ = np.linalg.lstsq(ends[:, [0, 2]], x, rcond=None)
    assert np.hypot(cos, sin) == pytest.approx(1, abs=0.02)
    return np.degrees(np.arctan2(sin, cos))


@pytest.mark.slow
def test_the_skeleton_turns_to_both_sides(browser, server):
    visitor = Visitor(browser, server.address, _with_mouse)
    visitor.page.add_init_script(_RECORD)
    for _ in range(2 * GAMES):
        visitor.answer()
    visitor.question()
    visitor.page.reload()
    visitor.question()
    pose = visitor.page.evaluate("state.pose")
    angles = []
    # It takes six seconds there and back.
    for _ in range(32):
        visitor.page.wait_for_timeout(200)
        drawn = visitor.page.evaluate("window.drawn")
        angles.append(_angle(pose["joints"], pose["limbs"], drawn))
    assert 35 < max(angles) < 40.5
    assert -40.5 < min(angles) < -35


@pytest.mark.slow
def test_a_key_that_is_held_down_is_one_answer(browser, server):
    visitor = Visitor(browser, server.address, _with_keys)
    question = visitor.question()
    for _ in range(20):
        # Without going up in between, the browser reports repetitions.
        visitor.page.keyboard.down("ArrowLeft")
    visitor.arrive(question)
    visitor.page.keyboard.up("ArrowLeft")
    visitor.question()
    visitor.page.keyboard.press("Control+ArrowRight")
    visitor.page.wait_for_timeout(300)
    assert [answer for _, _, answer in server.answers()] == ["left"]
