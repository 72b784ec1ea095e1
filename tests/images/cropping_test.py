"""The square around a person: cut out of a frame and put back, it is where it was."""

import numpy as np
import pytest

from volsynth.conventions import MAGENTA
from volsynth.images import cropping


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
    corner, extent = cropping.square_around_mask(mask)
    cut, covered = cropping.cut_out(image, mask, corner, extent, side)
    back = cropping.paste(opaque(cut, covered), corner, extent, np.full_like(image, MAGENTA))
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
    corner, extent = cropping.square_around_mask(mask)
    assert extent == pytest.approx(97 / (1 - 2 * cropping.MARGIN))
    np.testing.assert_allclose(corner + extent / 2, (60, 100.5))
    corner, extent = cropping.square_around_mask(mask, np.array([[60.0, 170.0]]))
    np.testing.assert_allclose(corner[1] + extent * (1 - cropping.MARGIN), 170)


def test_what_is_far_from_the_joints_is_somebody_else():
    mask = np.zeros((100, 100), bool)
    mask[40:60, 40:60] = mask[2:5, 90:95] = True
    near = cropping.near_joints(mask, np.array([[42.0, 42.0], [58.0, 58.0]]))
    np.testing.assert_array_equal(near[40:60, 40:60], True)
    assert near.sum() == 400
    assert not cropping.near_joints(mask, np.array([[-60.0, -60.0], [-50.0, -50.0]])).any()


def opaque(image, covered):
    """A square as `paste` takes it, without soft edges."""
    return np.concatenate([image / 255 * covered[..., None], covered[..., None]], axis=-1)


def test_nothing_of_a_square_beyond_the_frame_is_put_there():
    square = np.zeros((16, 16, 4))
    square[..., 3] = 1
    behind = np.random.default_rng(0).integers(1, 256, (40, 50, 3), np.uint8)
    frame = cropping.paste(square, np.array([200.0, 5.0]), 16.0, behind)
    np.testing.assert_array_equal(frame, behind)
    frame = cropping.paste(square, np.array([-8.0, 30.0]), 16.0, behind)
    np.testing.assert_array_equal(frame[30:40, :8], 0)
    frame[30:40, :8] = behind[30:40, :8]
    np.testing.assert_array_equal(frame, behind)


def test_a_square_larger_than_what_is_scaled_at_once_is_the_same(monkeypatch):
    rng = np.random.default_rng(0)
    image = np.repeat(np.repeat(rng.integers(0, 256, (20, 40, 3), np.uint8), 16, 0), 16, 1)
    mask = np.zeros(image.shape[:2], bool)
    mask[37:290, 50:610] = True
    corner, extent = cropping.square_around_mask(mask)
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
    found, covered = cropping.cut_out(image, mask, *cropping.square_around_mask(mask), 64)
    assert not covered.any() or (found[covered] == 77).all()
    assert found.shape == (64, 64, 3)


def test_a_frame_is_seen_through_what_is_half_covered():
    square = np.zeros((16, 16, 4))
    square[...] = (0.4, 0.0, 0.2, 0.5)
    behind = np.full((16, 16, 3), (100, 50, 200), np.uint8)
    # At its own size nothing is made narrower.
    frame = cropping.paste(square, np.zeros(2), 16.0, behind)
    np.testing.assert_allclose(frame[8, 8], (152, 25, 151), atol=1)
    # Over nothing it stays half transparent, with its own colour; over a half, three quarters.
    for alpha, wanted in ((0, (204, 0, 102, 128)), (128, (170, 16, 134, 191))):
        frame = cropping.paste(
            square, np.zeros(2), 16.0, np.dstack([behind, np.full((16, 16), alpha, np.uint8)])
        )
        np.testing.assert_allclose(frame[8, 8], wanted, atol=2)


@pytest.mark.parametrize("extent", [61.0, 9.5])
def test_edges_have_no_colour_of_neither(extent):
    square = np.zeros((16, 16, 4))
    square[4:12, 4:12] = (0.8, 0.1, 0.2, 1)
    green = np.full((80, 80, 3), (10, 200, 30), np.uint8)
    frame = cropping.paste(square, np.array([3.3, 5.7]), extent, green).astype(int)
    low, high = np.minimum((10, 200, 30), (204, 25, 51)), np.maximum((10, 200, 30), (204, 25, 51))
    assert np.all((frame >= low - 1) & (frame <= high + 1))
    # Mixtures of both, and of nothing else.
    share = (frame[..., 0] - 10) / 194
    np.testing.assert_allclose(frame[..., 1], 200 - 175 * share, atol=2)
    assert (share > 0.5).sum() == pytest.approx((extent / 2) ** 2, rel=0.12)


def test_enlarged_edges_are_narrow():
    square = np.zeros((16, 16, 4))
    square[4:12, 4:12] = 1
    frame = cropping.paste(square, np.zeros(2), 160.0, np.zeros((160, 160, 3), np.uint8))
    across = frame[80, :80, 0]
    # An interpolated edge takes ten pixels and more.
    assert np.sum((across > 5) & (across < 250)) <= 6
    assert across[39] < 128 <= across[40]
