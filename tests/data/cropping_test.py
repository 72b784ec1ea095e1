"""The square around a person: cut out of a frame and put back, it is where it was."""

import numpy as np
import pytest

from volsynth.data import cropping
from volsynth.data.schema import MAGENTA


def blob(height=180, width=140, low=(37, 52), high=(83, 149)):
    """A frame with a rectangle of stripes, and its mask."""
    image = np.full((height, width, 3), 90, np.uint8)
    mask = np.zeros((height, width), bool)
    mask[low[1] : high[1], low[0] : high[0]] = True
    image[mask] = (30, 160, 220)
    image[::8][mask[::8]] = (240, 200, 20)
    return image, mask


def box_of(mask):
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])


@pytest.mark.parametrize("side", [32, 64, 256])
@pytest.mark.parametrize(
    "place", [((37, 52), (83, 149)), ((0, 0), (50, 60)), ((90, 100), (140, 180))]
)
def test_what_is_cut_out_is_put_back_to_within_a_pixel(side, place):
    image, mask = blob(low=place[0], high=place[1])
    corner, extent = cropping.square(mask)
    cut, covered = cropping.cut_out(image, mask, corner, extent, side)
    back = cropping.paste(cut, corner, extent, mask.shape)
    assert back.shape == image.shape
    found = np.any(np.abs(back.astype(int) - MAGENTA) > 60, axis=-1)
    pixel = max(extent / side, 1.0)
    np.testing.assert_allclose(box_of(found), box_of(mask), atol=pixel)
    inner = box_of(mask) + np.array([3, 3, -3, -3]) * int(np.ceil(pixel))
    x0, y0, x1, y1 = inner
    if side == 256:
        difference = back[y0:y1, x0:x1].astype(int) - image[y0:y1, x0:x1]
        assert np.abs(difference).mean() < 12
    assert covered.shape == (side, side)


def test_a_square_has_a_margin_and_holds_joints_beyond_the_mask():
    _, mask = blob()
    corner, extent = cropping.square(mask)
    assert extent == pytest.approx(97 / (1 - 2 * cropping.MARGIN))
    np.testing.assert_allclose(corner + extent / 2, (60, 100.5))
    corner, extent = cropping.square(mask, np.array([[60.0, 170.0]]))
    np.testing.assert_allclose(corner[1] + extent * (1 - cropping.MARGIN), 170)


def test_what_is_far_from_the_joints_is_somebody_else():
    mask = np.zeros((100, 100), bool)
    mask[40:60, 40:60] = mask[2:5, 90:95] = True
    near = cropping.near(mask, np.array([[42.0, 42.0], [58.0, 58.0]]))
    np.testing.assert_array_equal(near[40:60, 40:60], True)
    assert near.sum() == 400
    assert not cropping.near(mask, np.array([[-60.0, -60.0], [-50.0, -50.0]])).any()


def test_nothing_of_a_square_beyond_the_frame_is_put_there():
    square = np.zeros((16, 16, 3), np.uint8)
    frame = cropping.paste(square, np.array([200.0, 5.0]), 16.0, (40, 50))
    np.testing.assert_array_equal(frame, np.broadcast_to(MAGENTA, (40, 50, 3)))
    frame = cropping.paste(square, np.array([-8.0, 30.0]), 16.0, (40, 50))
    found = ~np.all(frame == MAGENTA, axis=-1)
    np.testing.assert_array_equal(box_of(found), (0, 30, 8, 40))


def test_a_square_larger_than_what_is_scaled_at_once_is_the_same(monkeypatch):
    rng = np.random.default_rng(0)
    image = np.repeat(np.repeat(rng.integers(0, 256, (20, 40, 3), np.uint8), 16, 0), 16, 1)
    mask = np.zeros(image.shape[:2], bool)
    mask[37:290, 50:610] = True
    corner, extent = cropping.square(mask)
    wanted, covered = cropping.cut_out(image, mask, corner, extent, 32)
    monkeypatch.setattr(cropping, "MOST_EXTENT", 170)  # By a factor of four.
    found, found_covered = cropping.cut_out(image, mask, corner, extent, 32)
    assert (covered != found_covered).mean() < 0.01
    both = covered & found_covered
    assert np.abs(wanted.astype(int) - found)[both].mean() < 2


def test_the_square_of_a_long_picture_fits_into_memory():
    mask = np.ones((8, 40_000), bool)
    image = np.full((*mask.shape, 3), 77, np.uint8)
    # Whole, it would take 36 GiB.
    found, covered = cropping.cut_out(image, mask, *cropping.square(mask), 64)
    assert not covered.any() or (found[covered] == 77).all()
    assert found.shape == (64, 64, 3)


def test_edges_have_no_colour_of_neither():
    square = np.full((16, 16, 3), MAGENTA, np.uint8)
    square[4:12, 4:12] = (200, 20, 40)
    frame = cropping.paste(square, np.array([3.3, 5.7]), 61.0, (80, 80))
    assert frame[..., 1].max() <= 20
    assert frame[..., 0].min() >= 199
