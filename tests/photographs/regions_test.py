"""Turned squares of a picture: where their points are, and that what is cut out is put back."""

import numpy as np
import pytest

from volsynth.photographs import regions
from volsynth.photographs.regions import Region


def _picture(height=60, width=80):
    """A picture whose red tells the column and whose green tells the row."""
    y, x = np.mgrid[:height, :width]
    return np.stack([3 * x, 3 * y, np.zeros_like(x)], axis=-1).astype(np.uint8)


def test_a_square_that_is_not_turned_is_a_slice():
    picture = _picture()
    found = regions.cut(picture, Region(np.array([30.0, 25.0]), 16.0), 16)
    np.testing.assert_array_equal(found, picture[17:33, 22:38])


@pytest.mark.parametrize("quarters", range(4))
def test_quarter_turns_are_those_of_arrays(quarters):
    picture = _picture()
    region = Region(np.array([30.0, 25.0]), 16.0, quarters * np.pi / 2)
    found = regions.cut(picture, region, 16)
    # A square turned clockwise shows its content turned the other way.
    np.testing.assert_allclose(found, np.rot90(picture[17:33, 22:38], quarters), atol=1)


@pytest.mark.parametrize("side", [24, 96])
def test_a_cut_shows_the_points_that_the_region_says(side):
    """Colours tell places, so that every pixel of a turned cut says where it came from."""
    region = Region(np.array([41.0, 33.0]), 24.0, 0.7)
    found = regions.cut(_picture(), region, side).astype(float)[..., :2] / 3 + 0.5
    y, x = (np.mgrid[:side, :side] + 0.5) / side
    wanted = region.to_picture(np.stack([x, y], axis=-1))
    np.testing.assert_allclose(found, wanted, atol=0.35)


def test_large_squares_are_means_and_not_single_pixels():
    picture = np.zeros((400, 400, 3), np.uint8)
    picture[::2] = 200
    found = regions.cut(picture, Region(np.array([200.0, 200.0]), 400.0), 40)
    np.testing.assert_allclose(found, 100, atol=1)


def test_beyond_the_picture_it_is_black():
    picture = np.full((20, 20, 3), 200, np.uint8)
    found = regions.cut(picture, Region(np.array([0.0, 10.0]), 20.0), 20)
    assert not found[:, :9].any()
    assert np.all(found[:, 11:] == 200)
    # A region that shows nothing of the picture, too.
    assert regions.cut(picture, Region(np.array([-90.0, 500.0]), 20.0), 20).max() <= 200


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (300, 2)])
def test_pictures_of_any_size_are_cut(size):
    picture = np.full((*size, 3), 90, np.uint8)
    middle = np.array(size[::-1]) / 2
    found = regions.cut(picture, Region(middle, float(max(size))), 32)
    assert found.shape == (32, 32, 3)
    assert found.max() <= 90


def test_points_above_the_middle_are_up_in_the_square():
    centre = np.array([5.0, 6.0])
    for top in ([5.0, 2.0], [9.0, 6.0], [2.0, 9.0]):
        region = regions.around(centre, np.array(top), 1.25)
        radius = np.hypot(*(top - centre))
        assert region.side == pytest.approx(2.5 * radius)
        # Of the side, 1 / 2.5 lies between the middle and the top.
        np.testing.assert_allclose(region.to_picture(np.array([0.5, 0.1])), top, atol=1e-9)


@pytest.mark.parametrize("turn", [0.0, 0.6, -2.0])
def test_what_is_put_back_lies_where_it_was(turn):
    size = (120, 160)
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    disc = ((x - 90) ** 2 + (y - 70) ** 2 < 25**2).astype(np.uint8) * 255
    picture = np.repeat(disc[..., None], 3, axis=2)
    region = Region(np.array([85.0, 66.0]), 90.0, turn)
    cut = regions.cut(picture, region, 128)[..., 0] / 255
    back = regions.put_back(cut, region, size)
    assert back.shape == size
    assert back.min() >= 0
    assert back.max() <= 1
    agree = (back >= 0.5) == (disc > 0)
    assert agree.mean() > 0.998
    # Nothing is known outside of the square.
    corners = np.abs((np.stack([x, y], -1) - region.centre) @ region.rotation) > 47
    assert not back[corners.any(axis=-1)].any()
