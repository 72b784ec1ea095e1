"""Cutting out: known mixtures taken apart, colours near to the background's, no pink edges."""

import numpy as np
import pytest

from volsynth.images import matting

MAGENTA = (255, 0, 255)
COLOURS = {
    "skin": (224, 172, 150),
    "black": (10, 10, 12),
    "white": (250, 250, 250),
    "green": (70, 140, 40),
    "purple": (120, 40, 140),
    "pink": (230, 120, 180),
}


def disc(colour, side=64, radius=20.0, soft=2.0):
    """A disc on magenta with edges of some pixels, [S, S, 3], and its coverage."""
    rows, columns = np.indices((side, side)) - (side - 1) / 2
    coverage = np.clip((radius - np.hypot(rows, columns)) / soft + 0.5, 0, 1)[..., None]
    mixed = coverage * np.array(colour) + (1 - coverage) * MAGENTA
    return np.round(mixed).astype(np.uint8), coverage[..., 0]


@pytest.mark.parametrize("side", [64, 256])
@pytest.mark.parametrize("name", COLOURS)
def test_mixtures_are_taken_apart(name, side):
    image, coverage = disc(COLOURS[name], side, side / 3, side / 32)
    cut = matting.extract_foreground(image, MAGENTA)
    over = 255 * cut[..., :3] + (1 - cut[..., 3:]) * 128
    wanted = coverage[..., None] * np.array(COLOURS[name]) + (1 - coverage[..., None]) * 128
    # A little magenta in green is a grey, which could be one of the clothes.
    assert np.abs(over - wanted).max() < (45 if name == "green" else 20)
    assert np.abs(image - wanted).max() > 110
    np.testing.assert_array_equal(cut[coverage == 0], 0)
    np.testing.assert_array_equal(cut[coverage == 1, 3], 1)


@pytest.mark.parametrize("name", [name for name in COLOURS if name not in ("purple", "pink")])
def test_nothing_pink_is_left_over_another_background(name):
    image, _ = disc(COLOURS[name])
    cut = matting.extract_foreground(image, MAGENTA)
    over = 255 * (cut[..., :3] + (1 - cut[..., 3:]) * 0.5)
    assert np.max(np.minimum(over[..., 0], over[..., 2]) - over[..., 1]) < 8
    # Which was not so before.
    assert np.any(np.minimum(image[..., 0], image[..., 2]) - image[..., 1].astype(int) > 100)


def test_details_inside_stay_as_they_are():
    image, coverage = disc((0, 0, 0))
    texture = np.random.default_rng(0).integers(0, 256, (64, 64, 1), np.uint8)
    image = np.where((coverage == 1)[..., None], texture, image)
    cut = matting.extract_foreground(image, MAGENTA)
    inside = disc((0, 0, 0), radius=16)[1] == 1
    np.testing.assert_allclose(255 * cut[inside, :3], image[inside], atol=0.01)
    np.testing.assert_array_equal(cut[inside, 3], 1)


def test_purple_clothes_beside_skin_have_no_holes():
    image, coverage = disc(COLOURS["skin"])
    lower = np.indices((64, 64))[0] >= 32
    image[lower] = disc(COLOURS["purple"])[0][lower]
    cut = matting.extract_foreground(image, MAGENTA)
    assert cut[coverage == 1, 3].min() > 0.95
    np.testing.assert_allclose(255 * cut[33, 32, :3], COLOURS["purple"], atol=12)


def test_a_part_that_is_narrow_and_never_pure_keeps_its_colour():
    line = np.full((64, 64, 3), MAGENTA, np.uint8)
    line[:, 20] = line[:, 22] = 0.5 * np.array(MAGENTA) + 0.5 * np.array(COLOURS["skin"])
    line[:, 21] = COLOURS["skin"]
    cut = matting.extract_foreground(line, MAGENTA)
    np.testing.assert_allclose(cut[32, 19:24, 3], (0, 0.5, 1, 0.5, 0), atol=0.05)
    np.testing.assert_allclose(510 * cut[32, 20, :3], COLOURS["skin"], atol=25)


def test_where_nobody_is_nothing_is_left():
    nobody = np.full((32, 32, 3), MAGENTA, np.uint8)
    np.testing.assert_array_equal(
        matting.extract_foreground(nobody, MAGENTA), np.zeros((32, 32, 4))
    )
    image, coverage = disc(COLOURS["white"])
    noisy = np.clip(image + np.random.default_rng(0).integers(-9, 10, image.shape), 0, 255)
    cut = matting.extract_foreground(noisy.astype(np.uint8), MAGENTA)
    np.testing.assert_array_equal(cut[coverage == 0, 3], 0)
    np.testing.assert_array_equal(cut[coverage == 1, 3], 1)
    assert np.all(np.isfinite(matting.extract_foreground(np.zeros((32, 32, 3), np.uint8), MAGENTA)))
