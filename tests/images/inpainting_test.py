"""Filling in: constants and slopes go on, what is known stays, nothing or all is missing."""

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg

from volsynth.images import inpainting


def person(height, width):
    """A trunk and two legs, the legs down to the lower edge."""
    mask = np.zeros((height, width), bool)
    mask[height // 4 : height // 2, width // 3 : 2 * width // 3] = True
    mask[height // 2 :, width // 3 : width // 3 + 5] = True
    mask[height // 2 :, 2 * width // 3 - 5 : 2 * width // 3] = True
    return mask


@pytest.mark.parametrize("size", [(64, 48), (63, 47), (7, 90)])
def test_one_colour_goes_on_exactly(size):
    colours = np.array([200, 7, 133, 255], np.uint8)
    image = np.broadcast_to(colours, (*size, 4)).copy()
    mask = person(*size)
    image[mask] = 0
    np.testing.assert_array_equal(
        inpainting.fill(image, mask), np.broadcast_to(colours, (*size, 4))
    )


def test_what_is_known_stays_and_the_rest_lies_between():
    image = np.random.default_rng(0).integers(40, 90, (61, 50, 3), np.uint8)
    mask = person(61, 50)
    image[mask] = 255
    before = image.copy()
    filled = inpainting.fill(image, mask)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(filled[~mask], image[~mask])
    assert filled[mask].min() >= 40
    assert filled[mask].max() < 90


def test_slopes_go_on():
    rows, columns = np.indices((120, 100))
    image = np.stack([2 * rows, 255 - columns, rows + columns], -1).astype(np.uint8)
    mask = np.zeros((120, 100), bool)
    mask[30:90, 35:60] = mask[50:60, 20:80] = True
    filled = inpainting.fill(np.where(mask[..., None], 255, image).astype(np.uint8), mask)
    assert np.abs(filled.astype(int) - image).max() <= 2


def test_every_pixel_is_about_the_mean_of_its_neighbours():
    """Against a direct solution of the same equations."""
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (4, 3), np.uint8).repeat(10, 0).repeat(12, 1)[..., None]
    mask = person(40, 36)
    number = np.arange(mask.size).reshape(mask.shape)
    matrix = scipy.sparse.lil_array((mask.size, mask.size))
    right = image.ravel().astype(float)
    for (row, column), missing in np.ndenumerate(mask):
        matrix[number[row, column], number[row, column]] = 1
        if missing:
            right[number[row, column]] = 0
            for down, along in ((-1, 0), (1, 0), (0, -1), (0, 1)):
                beside = number[min(max(row + down, 0), 39), min(max(column + along, 0), 35)]
                matrix[number[row, column], beside] -= 0.25
    wanted = scipy.sparse.linalg.spsolve(matrix.tocsr(), right).reshape(mask.shape)
    found = inpainting.fill(image, mask)[..., 0]
    assert np.ptp(wanted[mask]) > 60
    assert np.abs(found - wanted)[mask].max() < 12
    assert np.abs(found - wanted)[mask].mean() < 2.5


def test_all_of_a_picture_or_nothing_of_it_is_missing():
    image = np.random.default_rng(2).integers(0, 256, (5, 6, 3), np.uint8)
    whole = np.ones((5, 6), bool)
    np.testing.assert_array_equal(
        inpainting.fill(image, whole), np.full((5, 6, 3), inpainting.GREY)
    )
    same = inpainting.fill(image, ~whole)
    np.testing.assert_array_equal(same, image)
    assert same is not image
    # One pixel is enough to know all of it.
    whole[4, 5] = False
    np.testing.assert_array_equal(
        inpainting.fill(image, whole), np.broadcast_to(image[4, 5], (5, 6, 3))
    )
