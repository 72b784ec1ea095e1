"""The studio's page on screens of all sizes, by touch, light and dark."""

import numpy as np
import pytest
from bodies import lengths
from visitor import PHONE, Fingers

from volsynth.skeleton import JOINTS


def _fits(page):
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    small = page.evaluate(
        """() => [...document.querySelectorAll("button, select, .check, input[type=range]")]
          .filter((each) => each.checkVisibility() && !each.classList.contains("handle"))
          .map((each) => [each.id || each.textContent, each.getBoundingClientRect()])
          .filter(([, box]) => box.width < 40 || box.height < 40).map(([name]) => name)"""
    )
    assert small == []


@pytest.mark.slow
def test_by_touch_on_a_phone(browse, studio, files):
    visitor = browse(studio, **PHONE)
    page = visitor.page
    _fits(page)
    visitor.drop(files["image"], files["mask"])
    page.wait_for_selector("#joints:not([hidden])")
    _fits(page)
    fingers = Fingers(visitor)
    x, y = visitor.at("head", "#joints-stage")
    fingers.drag((x + 8, y + 8), (x + 28, y - 2))
    assert np.allclose(visitor.at("head", "#joints-stage"), (x + 20, y - 10), atol=1)
    page.tap("#go")
    visitor.arrive()
    _fits(page)
    # What is dragged and what comes of it are in sight together.
    for id in ("stage", "picture-stage"):
        box = page.locator(f"#{id}").bounding_box()
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= 720
    page.evaluate("document.querySelector('[data-pose=standing]').click()")
    start = visitor.pose()
    x, y = visitor.at("right_wrist")
    fingers.drag((x, y), (x - 20, y - 30))
    end = visitor.pose()
    moved = np.linalg.norm(end - start, axis=1) > 1
    assert {JOINTS[i] for i in np.flatnonzero(moved)} == {"right_elbow", "right_wrist"}
    np.testing.assert_allclose(lengths(end), lengths(start), atol=0.05)
    # Two fingers make it larger, and move nothing.
    count = len(visitor.asked)
    apart = [np.subtract(visitor.at("neck"), visitor.at("right_hip"))]
    fingers.put("touchStart", (100, 150), (200, 250))
    fingers.put("touchMove", (80, 130), (220, 270))
    fingers.put("touchMove", (60, 110), (240, 290))
    fingers.put("touchEnd")
    apart.append(np.subtract(visitor.at("neck"), visitor.at("right_hip")))
    assert np.linalg.norm(apart[1]) > 1.3 * np.linalg.norm(apart[0])
    visitor.rest()
    assert len(visitor.asked) == count


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1280, 800), (1024, 640), (700, 900), (844, 390)])
def test_nothing_is_wider_than_the_window(browse, studio, files, width, height, scheme):
    visitor = browse(studio, viewport={"width": width, "height": height}, color_scheme=scheme)
    _fits(visitor.page)
    visitor.begin(files)
    _fits(visitor.page)
    light = visitor.page.evaluate(
        "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]"
    )
    assert (light > 128) == (scheme == "light")
    unnamed = visitor.page.evaluate(
        """() => [...document.querySelectorAll("button, select, input")]
          .filter((each) => each.checkVisibility())
          .filter((each) => !each.ariaLabel && !each.textContent.trim() && !each.labels?.length)
          .map((each) => each.outerHTML)"""
    )
    assert unnamed == []
