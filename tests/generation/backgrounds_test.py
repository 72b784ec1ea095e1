"""Backgrounds of generated persons: the picture's own, a colour, nothing, or another picture."""

import dataclasses

import numpy as np
import own_pictures
import pytest
import scipy.ndimage
from PIL import Image

from volsynth.errors import UserError
from volsynth.generation import backgrounds
from volsynth.generation.persons import Crop
from volsynth.generation.pictures import Picture
from volsynth.generation.source import Source, read_person
from volsynth.images import reader

MAGENTA = (255, 0, 255)


def of(folder, kind, background="own"):
    """The background of a rendered person's picture, and the person's mask."""
    found, mask = own_pictures.bring(folder, kind)
    source = Source(found["image"], found["mask"], found["pose"])
    who = read_person(source, 32, None)
    return backgrounds.make_background(background, who), mask


def _shown_in(who, image, mask):
    """The same person in another opaque picture with a mask."""
    pixels = np.dstack([image, np.full(mask.shape, 255, np.uint8)])
    return dataclasses.replace(who, picture=Picture(pixels, mask, "scene"))


def test_a_picture_with_a_mask_is_shown_without_its_person(tmp_path):
    found, mask = own_pictures.bring(tmp_path)
    source = Source(found["image"], found["mask"], found["pose"])
    who = read_person(source, 32, None)
    wall = np.broadcast_to((90, 110, 130), (160, 120, 3)).astype(np.uint8)
    image = np.where(mask[..., None], (250, 20, 20), wall).astype(np.uint8)
    behind = backgrounds.make_background("own", _shown_in(who, image, mask))
    np.testing.assert_array_equal(behind, wall)
    assert behind.dtype == np.uint8
    # Somebody else in the mask, far from the joints, is not the person and stays.
    image[:9, :9] = (20, 200, 20)
    mask[:9, :9] = True
    small = who.body._replace(joints=0.3 * who.body.joints + (60, 90, 0))
    who = dataclasses.replace(who, body=small)
    behind = backgrounds.make_background("own", _shown_in(who, image, mask))
    np.testing.assert_array_equal(behind[:9, :9], image[:9, :9])
    assert np.any(behind != image)


def test_the_edges_of_persons_are_filled_in_too(tmp_path):
    (behind, mask) = of(tmp_path, "mask")
    before = np.asarray(Image.open(tmp_path / "picture.jpg")).astype(int)
    changed = np.any(behind != before, axis=-1)
    assert changed[scipy.ndimage.binary_dilation(mask, iterations=1)].mean() > 0.98
    assert not changed[~scipy.ndimage.binary_dilation(mask, np.ones((3, 3)), 4)].any()


def test_without_a_mask_the_picture_says_what_its_background_is(tmp_path):
    behind, mask = of(tmp_path, "magenta")
    np.testing.assert_array_equal(behind, np.broadcast_to(MAGENTA, (*mask.shape, 3)))
    behind, mask = of(tmp_path, "alpha")
    np.testing.assert_array_equal(behind, np.zeros((*mask.shape, 4)))


@pytest.mark.parametrize("kind", ["mask", "alpha"])
def test_names_stand_for_backgrounds(tmp_path, kind):
    behind, mask = of(tmp_path, kind, "magenta")
    np.testing.assert_array_equal(behind, np.broadcast_to(MAGENTA, (*mask.shape, 3)))
    behind, mask = of(tmp_path, kind, "transparent")
    np.testing.assert_array_equal(behind, np.zeros((*mask.shape, 4)))


def test_a_pictures_middle_covers_the_frame(tmp_path):
    # Left and right quarters are cut away: the frame has 120 x 160 pixels, this 480 x 320.
    wide = np.zeros((320, 480, 3), np.uint8)
    wide[:, :118], wide[:, 118:240], wide[:, 240:362], wide[:, 362:] = 255, 60, 90, 255
    wide[160:, :, 1] += 50 * (wide[160:, :, 1] < 200).astype(np.uint8)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    behind, _ = of(tmp_path, "alpha", str(tmp_path / "wide.png"))
    wanted = np.repeat([[60] * 60 + [90] * 60], 160, axis=0)
    assert behind.shape == (160, 120, 3)
    np.testing.assert_allclose(behind[:78, :57, 0], wanted[:78, :57], atol=4)
    np.testing.assert_allclose(behind[:78, 63:, 0], wanted[:78, 63:], atol=4)
    np.testing.assert_allclose(behind[83:, 63:, 1], wanted[83:, 63:] + 50, atol=4)
    small = Image.fromarray(np.full((4, 4, 4), (9, 8, 7, 100), np.uint8))
    small.save(tmp_path / "small.png")
    behind, _ = of(tmp_path, "alpha", str(tmp_path / "small.png"))
    np.testing.assert_allclose(behind, np.broadcast_to((9, 8, 7, 100), (160, 120, 4)), atol=2)


def test_a_background_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"--background ownn is neither .* did you mean 'own'\?"):
        backgrounds.check("ownn")
    with pytest.raises(UserError, match="neither a picture's file nor a name; Allowed: mag"):
        backgrounds.check(str(tmp_path))
    (tmp_path / "x.png").write_text("x")
    with pytest.raises(UserError, match="cannot be read as a picture"):
        of(tmp_path, "alpha", str(tmp_path / "x.png"))


def test_a_person_is_put_over_a_frame_in_its_place():
    image = np.full((32, 32, 3), MAGENTA, np.uint8)
    image[8:24, 12:20] = (200, 180, 40)
    square = Crop(np.array([10.0, 30.0]), 64.0, 32)
    for channels in (3, 4):
        behind = np.full((120, 100, channels), 77, np.uint8)
        behind[..., 3:] = 0
        frame = backgrounds.composite(image, square, behind)
        drawn = np.any(frame != behind, axis=-1) if channels == 3 else frame[..., 3] > 0
        rows, columns = np.flatnonzero(drawn.any(1)), np.flatnonzero(drawn.any(0))
        np.testing.assert_allclose((rows[0], rows[-1] + 1), (46, 78), atol=2)
        np.testing.assert_allclose((columns[0], columns[-1] + 1), (34, 50), atol=2)
        np.testing.assert_array_equal(frame[50:70, 38:46, :3], np.full((20, 8, 3), (200, 180, 40)))
        np.testing.assert_array_equal(behind[..., :3], 77)


def test_what_is_transparent_can_become_magenta():
    frame = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 100, 0, 128]]], np.uint8)
    found = reader.over_colour(frame)[0]
    np.testing.assert_allclose(found, [(10, 20, 30), MAGENTA, (127, 50, 127)], atol=1)
    assert reader.over_colour(frame[..., :3]) is not None
    np.testing.assert_array_equal(reader.over_colour(frame[..., :3]), frame[..., :3])
