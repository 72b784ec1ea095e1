"""volsynth.images.grids: pictures in their places, titles that fit, sizes that only grow."""

import numpy as np
import pytest
from PIL import Image

from volsynth.errors import UserError
from volsynth.images import grids

RED, GREEN, BLUE, GREY = (200, 0, 0), (0, 200, 0), (0, 0, 200), (90, 90, 90)


def _flat(colour, height=8, width=8):
    return np.full((height, width, 3), colour, np.uint8)


def _box(page: Image.Image, colour) -> tuple[int, int, int, int]:
    """Top, left, height and width of the one block of a colour; it must be solid."""
    rows, columns = np.nonzero((np.asarray(page) == colour).all(axis=-1))
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert len(rows) == height * width
    return int(rows.min()), int(columns.min()), int(height), int(width)


def test_grid_puts_every_picture_in_its_place():
    rows = [[_flat(RED), _flat(GREEN)], [_flat(BLUE), _flat(GREY)]]
    page = grids.grid(rows, ["a", "b"], ["one", "two"], cell=64)
    red, green, blue, grey = (_box(page, colour) for colour in (RED, GREEN, BLUE, GREY))
    assert {box[2:] for box in (red, green, blue, grey)} == {(64, 64)}
    assert red[0] == green[0] < blue[0] == grey[0]
    assert red[1] == blue[1] < green[1] == grey[1]
    assert blue[0] >= red[0] + 64
    assert page.height == blue[0] + (blue[0] - red[0])


def test_grid_writes_titles_above_and_beside():
    rows = [[_flat(RED)]]
    page = np.asarray(grids.grid(rows, ["title"], ["row"], cell=64))
    top, left, _, _ = _box(Image.fromarray(page), RED)
    dark = (page < 120).all(axis=-1)
    assert dark[:top, left:].any()
    assert dark[top:, :left].any()
    plain = np.asarray(grids.grid(rows, [""], cell=64))
    assert not (plain < 120).all(axis=-1).any()
    night = np.asarray(grids.grid(rows, ["title"], cell=64, background=(0, 0, 0)))
    assert (night > 200).all(axis=-1).any()


def test_grid_never_lets_a_long_title_leave_its_cell():
    long = "an extraordinarily long title that cannot possibly fit, incomprehensibilities"
    rows = [[_flat(RED), _flat(GREEN)]]
    page = np.asarray(grids.grid(rows, [long, "W" * 80], [long], cell=64))
    dark = (page < 120).all(axis=-1)
    _, left, _, _ = _box(Image.fromarray(page), RED)
    _, second, _, _ = _box(Image.fromarray(page), GREEN)
    assert dark[:, left : left + 64].any()
    assert not dark[:, left + 64 : second].any()
    assert not dark[:, second + 64 :].any()
    assert not dark[:, :1].any()


def test_grid_enlarges_by_whole_factors_without_new_colours():
    checks = np.indices((16, 16)).sum(axis=0) % 2
    picture = np.where(checks[..., None], RED, BLUE).astype(np.uint8)
    page = np.asarray(grids.grid([[picture]], [""], cell=64))
    gap = (page.shape[1] - 64) // 2
    block = page[-gap - 64 : -gap, gap : gap + 64]
    assert np.array_equal(block, picture.repeat(4, axis=0).repeat(4, axis=1))


def test_grid_never_makes_a_picture_smaller_and_keeps_aspect():
    rows = [[_flat(RED, 100, 50), _flat(GREEN, 30, 60)]]
    page = grids.grid(rows, ["a", "b"], cell=20)
    assert _box(page, RED)[2:] == (100, 50)
    assert _box(page, GREEN)[2:] == (50, 100)


@pytest.mark.usefixtures("_unchecked")
def test_grid_refuses_tables_that_do_not_add_up():
    cell = _flat(RED)
    with pytest.raises(UserError, match="nothing to show"):
        grids.grid([], ["a"])
    with pytest.raises(UserError, match="nothing to show"):
        grids.grid([[]], [])
    with pytest.raises(UserError, match="row 1 has 1 pictures for 2 column titles"):
        grids.grid([[cell, cell], [cell]], ["a", "b"])
    with pytest.raises(UserError, match="2 row titles for 1 rows"):
        grids.grid([[cell]], ["a"], ["x", "y"])
    with pytest.raises(UserError, match="cell must be at least 1 pixel, got 0"):
        grids.grid([[cell]], ["a"], cell=0)
    with pytest.raises(UserError, match=r"grid: a picture must be uint8 \[H, W, 3\]"):
        grids.grid([[np.zeros((4, 4, 3))]], ["a"])
