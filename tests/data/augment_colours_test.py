"""Changed colours against formulas: on people alone, and alike in both pictures of a pair."""

import colorsys

import augmented
import numpy as np
import pytest
from augmented import COLOURS, MAGENTA

from volsynth.data import augment, augment_images


def test_hue_and_saturation_are_those_of_hsv(people):
    settings = augment.Augment(hue=0.5, saturation=1.0)
    draws = augment.draw(settings, 0, 0, range(4))
    found, _ = augmented.pixels(settings, people["image"], people["mask"], draws)
    rng = np.random.default_rng(0)
    for i, mask in enumerate(people["mask"]):
        places = np.argwhere(mask)
        for row, column in places[rng.integers(len(places), size=30)]:
            colour = np.float64(people["image"][i, row, column] + 1) / 2
            hue, saturation, value = colorsys.rgb_to_hsv(*colour)
            wanted = colorsys.hsv_to_rgb(
                (hue + draws.hue[i]) % 1, min(saturation * draws.saturation[i], 1), value
            )
            np.testing.assert_allclose((found[i, row, column] + 1) / 2, wanted, atol=1e-5)


@pytest.mark.parametrize("colour", [(0, 0, 0), (1, 1, 1), (0.5,) * 3, (1, 0, 0), (0, 1, 1)])
@pytest.mark.parametrize("hue", [-1 / 3, 0.1, 0.5])
def test_hue_of_plain_colours(colour, hue):
    images = np.full((1, 2, 2, 3), colour, np.float32) * 2 - 1
    found, _ = augmented.pixels(
        augment.Augment(hue=0.5),
        images,
        np.ones((1, 2, 2), bool),
        augmented.still(1, hue=np.array([hue])),
    )
    h, s, v = colorsys.rgb_to_hsv(*colour)
    wanted = np.array(colorsys.hsv_to_rgb((h + hue) % 1, s, v)) * 2 - 1
    np.testing.assert_allclose(found[0, 0, 0], wanted, atol=1e-6)


def test_brightness_adds_and_contrast_stretches_about_middle_grey(people):
    contrast, brightness = np.linspace(0.5, 1.8, 8), np.linspace(-0.4, 0.6, 8)
    draws = augmented.still(8, contrast=contrast, brightness=brightness)
    settings = augment.Augment(contrast=0.9, brightness=0.9)
    found, masks = augmented.pixels(settings, people["image"], people["mask"], draws)
    levels = (np.float64(people["image"]) + 1) / 2
    wanted = 0.5 + (levels - 0.5) * contrast[:, None, None, None] + brightness[:, None, None, None]
    wanted = np.clip(wanted, 0, 1) * 2 - 1
    np.testing.assert_allclose(found[masks], wanted[masks], atol=1e-6)
    assert np.abs(found).max() <= 1
    assert np.mean(np.abs(wanted[masks]) == 1) > 0.02, "nothing was clipped"


def test_colours_change_on_the_person_and_alike_in_both_images(people):
    values = {key: np.concatenate([value[:4]] * 2) for key, value in people.items()}
    settings = augment.Augment(**COLOURS)
    draws = augment.draw(settings, 7, 1, range(4))
    changed = augment_images.apply(settings, values, draws, 32)
    np.testing.assert_array_equal(changed["image"][:4], changed["image"][4:])
    background = changed["image"][~values["mask"]]
    np.testing.assert_array_equal(background, np.broadcast_to(MAGENTA, background.shape))
    differing = np.abs(changed["image"] - values["image"]).max(axis=-1)
    assert np.mean(differing[values["mask"]] > 0.02) > 0.9
    for name in ("hue", "saturation", "contrast", "brightness"):
        drawn = getattr(draws, name)
        np.testing.assert_array_equal(drawn[:4], drawn[4:])
        assert len(set(drawn)) == 4, "samples differ from one another"
    for key in ("mask", "joints", "joints_mm", "visible"):
        assert changed[key] is values[key] or np.array_equal(changed[key], values[key])
