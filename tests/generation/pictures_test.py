"""Pictures that users bring, and what tells person and background apart."""

import numpy as np
import own_pictures
import pytest
from PIL import Image

from volsynth.errors import UserError
from volsynth.generation import pictures


@pytest.mark.parametrize("kind", ["mask", "alpha", "magenta"])
def test_the_person_is_found_by_mask_alpha_channel_or_magenta(tmp_path, kind):
    found, mask = own_pictures.bring(tmp_path, kind)
    picture = pictures.read_picture(found["image"], found["mask"])
    read = picture.mask
    assert picture.image.shape == (160, 120, 3)
    # JPEG moves the colours of edges, of which a small picture has many.
    assert (read != mask).mean() < (0.02 if kind == "magenta" else 1e-9)


def test_a_mask_counts_before_anything_else(tmp_path):
    found, mask = own_pictures.bring(tmp_path, "alpha")
    most = np.ones(mask.shape, bool)
    most[0] = most[:, 0] = False
    Image.fromarray(255 * most.astype(np.uint8)).save(tmp_path / "most.png")
    read = pictures.read_picture(found["image"], tmp_path / "most.png").mask
    np.testing.assert_array_equal(read, most)


@pytest.mark.parametrize("level", [0, 255])
def test_a_mask_may_be_a_silhouette_on_a_transparent_ground(tmp_path, level):
    found, mask = own_pictures.bring(tmp_path, "none")
    picture = np.dstack([np.full((*mask.shape, 3), level), 255 * mask]).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "cut-out.png")
    read = pictures.read_picture(found["image"], tmp_path / "cut-out.png").mask
    np.testing.assert_array_equal(read, mask)


def test_a_hole_in_a_picture_on_magenta_does_not_make_magenta_a_person(tmp_path):
    found, mask = own_pictures.bring(tmp_path, "none")
    image = np.asarray(Image.open(found["image"]))
    image = np.where(mask[..., None], image, np.array([255, 0, 255], np.uint8))
    alpha = np.full(mask.shape, 255, np.uint8)
    alpha[:3, :3] = 0
    Image.fromarray(np.dstack([image, alpha])).save(tmp_path / "hole.png")
    read = pictures.read_picture(tmp_path / "hole.png").mask
    assert (read != mask).mean() < 1e-3


def test_a_background_that_was_not_removed_is_no_mask(tmp_path):
    found, _ = own_pictures.bring(tmp_path, "none")
    picture = pictures.read_picture(found["image"])
    assert (picture.mask, picture.background) == (None, "scene")
    # A transparent corner is no background that was removed.
    image = np.asarray(Image.open(found["image"]).convert("RGBA")).copy()
    image[:3, :3, 3] = 0
    Image.fromarray(image).save(tmp_path / "corner.png")
    assert pictures.read_picture(tmp_path / "corner.png").mask is None


def test_pictures_and_masks_that_do_not_fit(tmp_path):
    found, mask = own_pictures.bring(tmp_path, "none")
    for name, levels in (
        ("small", np.zeros((8, 9), np.uint8)),
        ("empty", np.zeros(mask.shape, np.uint8)),
        ("dot", 255 * (np.indices(mask.shape).sum(axis=0) < 5).astype(np.uint8)),
        ("all", np.full(mask.shape, 255, np.uint8)),
        ("inverted", 255 * (~mask).astype(np.uint8)),
        ("photograph", np.asarray(Image.open(found["image"]).convert("L"))),
    ):
        Image.fromarray(levels).save(tmp_path / f"{name}.png")
    for name, message in (
        ("small", "must have one size, got 120 x 160 and 9 x 8"),
        ("empty", "there is nobody"),
        ("dot", "the person is 5 pixels large; at least 16"),
        ("all", r"all\.png: nearly all of its border is white"),
        ("inverted", r"inverted\.png: nearly all of its border is white"),
        ("photograph", r"photograph\.png is no mask: \d+% of it is neither black nor white"),
    ):
        with pytest.raises(UserError, match=message):
            pictures.read_picture(found["image"], tmp_path / f"{name}.png")
    found["image"].write_bytes(found["image"].read_bytes()[:500])
    with pytest.raises(UserError, match="cannot be read as a picture"):
        pictures.read_picture(found["image"])


def test_a_turned_photograph_is_read_upright(tmp_path):
    found, mask = own_pictures.bring(tmp_path, "alpha")
    image = Image.open(found["image"]).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.png", exif=exif)
    picture = pictures.read_picture(tmp_path / "turned.png")
    np.testing.assert_array_equal(picture.mask, mask)
    np.testing.assert_array_equal(picture.image, pictures.read_picture(found["image"]).image)
