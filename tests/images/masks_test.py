"""Masks of images that come without one."""

import numpy as np

from volsynth.images import masks

GREY = np.array((90, 200, 120), np.uint8)


def _on(colour):
    """A disc with a hole, on a background with a little noise; the disc is touched by no border."""
    y, x = np.mgrid[:40, :40] - 19.5
    radius = np.hypot(x, y)
    person = (radius < 12) & (radius > 4)
    noise = np.random.default_rng(0).integers(-8, 9, (40, 40, 3))
    image = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
    image[person] = GREY
    return image, person, radius < 12


def test_what_is_not_magenta():
    image, person, _ = _on((250, 5, 250))
    np.testing.assert_array_equal(masks.not_magenta(image), person)
    assert masks.is_on_magenta(image)
    assert not masks.is_on_magenta(_on((255, 255, 255))[0])


def test_what_is_not_joined_to_a_border_of_one_colour():
    """The hole has the background's colour, and something around it: it is a white shirt."""
    image, _, whole = _on((255, 255, 255))
    np.testing.assert_array_equal(masks.not_plain(image), whole)


def test_a_person_cut_off_by_the_border_is_no_background():
    image, _, whole = _on((255, 255, 255))
    np.testing.assert_array_equal(masks.not_plain(image[:, 15:]), whole[:, 15:])
