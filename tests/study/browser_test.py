"""The page in a real browser: two judges at once, one with the mouse and one with the keyboard."""

import shutil

import pytest
from serving import Server

GAMES = 10
TIMEOUT = 60_000  # ms

_CHOICES = ("left", "right", "tie")
_KEYS = {"left": ("ArrowLeft",), "right": ("ArrowRight",), "tie": ("Space", "ArrowDown")}


@pytest.fixture(scope="module")
def browser():
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    with playwright.sync_playwright() as started:
        # In a container there is nobody else to be kept apart from.
        opened = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def server(results, tmp_path):
    started = Server(results, tmp_path / "study.db", GAMES)
    started.start()
    yield started
    if started._process.poll() is None:
        started.kill()


class Visitor:
    """A judge at a browser of their own, who begins as soon as the page is there."""

    def __init__(self, browser, address, press, **options):
        self.answers, self.troubles = {}, []
        self._press = press
        self.page = browser.new_context(**options).new_page()
        self.page.set_default_timeout(TIMEOUT)
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("console", lambda message: self._hear(message))
        self.page.goto(address)
        self.page.click("#card-button")

    def _hear(self, message):
        # A server that was killed is the one thing that may go wrong.
        if message.type == "error" and "ERR_" not in message.text:
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
        choice = _CHOICES[len(self.answers) % 3]
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


@pytest.mark.slow
def test_two_judges_finish_although_the_server_is_killed(browser, server):
    mouse = Visitor(browser, server.address, _with_mouse)
    keys = Visitor(browser, server.address, _with_keys)
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
    found = server.answers()
    assert len(found) == len({question for _, question, _ in found}) == 2 * 3 * GAMES
    by_judge = [{q: answer for judge, q, answer in found if judge == n} for n in (1, 2)]
    assert by_judge == [mouse.answers, keys.answers]
    assert list(mouse.answers.values()).count("tie") == GAMES


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


@pytest.mark.slow
def test_the_skeleton_turns_to_both_sides(browser, server):
    visitor = Visitor(browser, server.address, _with_mouse)
    for _ in range(2 * GAMES):
        visitor.answer()
    visitor.question()
    pictures = set()
    for _ in range(4):
        visitor.page.wait_for_timeout(400)
        pictures.add(visitor.page.evaluate("document.querySelector('#pose').toDataURL()"))
    assert len(pictures) == 4


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
