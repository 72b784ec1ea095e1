"""The items of a study, which all methods have, and what a browser gets of a picture."""

import io
import os
import re

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from small_study import METHODS, changed, joints, write_folder

from volsynth.errors import UserError
from volsynth.study import comparison


def test_a_study_has_the_items_that_every_folder_has(pair):
    write_folder(pair[1], METHODS[1], 90, items=5)
    said = []
    study = comparison.open_study(pair, said.append)
    # By name, in whatever order they are given.
    assert study.methods == ("alpha", "delta")
    assert study.items == ("test-000", "test-001", "test-002")
    assert said == ["alpha: 2 of 5 items are not in every folder: left out."]
    np.testing.assert_array_equal(study.joints("test-001"), joints(1))
    # The source is one file, whoever is compared.
    assert study.source("test-002") == pair[1] / "source-2.png"
    assert comparison.open_study(pair[::-1]).identity == study.identity


def test_the_identity_is_that_of_methods_pictures_and_poses(pair):
    before = comparison.open_study(pair).identity
    assert comparison.open_study(pair).identity == before
    Image.new("RGB", (16, 16), (1, 2, 3)).save(pair[0] / "delta-1.png")
    painted = comparison.open_study(pair).identity
    changed(pair[0], lambda about: about.update(method="dora"))
    renamed = comparison.open_study(pair).identity
    for path in pair:
        changed(path, lambda about: about["items"][0]["target_joints"][3].reverse())
    assert len({before, painted, renamed, comparison.open_study(pair).identity}) == 4


def test_unknown_joints_are_null(pair):
    for path in pair:
        changed(path, lambda about: about["items"][0]["target_joints"].__setitem__(4, None))
    found = comparison.open_study(pair).joints("test-000")
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(found).any(axis=1)), [4])


def test_pictures_are_told_apart_by_their_pixels_only(pair):
    told = PngImagePlugin.PngInfo()
    told.add_text("Software", "delta")
    Image.new("RGBA", (32, 32), (200, 10, 20, 255)).save(
        pair[0] / "delta-0.png", pnginfo=told, icc_profile=b"delta" * 20, dpi=(7, 7)
    )
    Image.new("L", (8, 8), 77).save(pair[1] / "alpha-0.png", optimize=True)
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    Image.fromarray(noise).save(pair[1] / "alpha-1.png")
    study = comparison.open_study(pair)
    assert study.size == (32, 32)
    shown = [comparison.picture(study, file) for file in study.digests]
    assert len(shown) == 9
    assert len({len(data) for data in shown}) == 1
    for data in shown:
        assert b"delta" not in data
        with Image.open(io.BytesIO(data)) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "RGB", (32, 32))
            assert image.info == {}
    red = Image.open(io.BytesIO(comparison.picture(study, pair[0] / "delta-0.png")))
    assert red.getpixel((5, 5)) == (200, 10, 20)


def test_a_picture_that_changed_is_not_shown(pair):
    study = comparison.open_study(pair)
    file = pair[0] / "delta-0.png"
    Image.new("RGB", (16, 16)).save(file)
    with pytest.raises(UserError, match=r"delta-0\.png has changed since the study began"):
        comparison.picture(study, file)
    file.unlink()
    with pytest.raises(UserError, match=r"delta-0\.png cannot be read: No such file"):
        comparison.picture(study, file)


def test_what_is_no_picture(pair, monkeypatch):
    file = pair[0] / "delta-1.png"
    for data in (b"", b"no picture", file.read_bytes()[:40]):
        file.write_bytes(data)
        with pytest.raises(UserError, match=r"delta-1\.png cannot be read as a picture"):
            comparison.open_study(pair)
    Image.new("RGB", (16, 16)).save(file, "GIF")
    with pytest.raises(UserError, match=r"delta-1\.png cannot be read as a picture \(PNG, JPEG"):
        comparison.open_study(pair)
    Image.new("1", (4097, 1)).save(file)
    with pytest.raises(UserError, match="has 4097x1 pixels; allowed: 4096 a side"):
        comparison.open_study(pair)
    Image.new("RGB", (16, 24)).save(file)
    with pytest.raises(UserError, match=r"16x16 and .*delta-1\.png is 16x24: .* same proportions"):
        comparison.open_study(pair)
    monkeypatch.setattr(comparison, "_MOST_BYTES", 20)
    with pytest.raises(UserError, match="is larger than 0 MiB"):
        comparison.open_study(pair)


def test_pictures_are_read_by_the_rules_for_all_that_people_bring(pair):
    file = pair[0] / "delta-1.png"
    Image.fromarray(np.full((16, 16), 20_000, np.uint16)).save(file)
    with pytest.raises(
        UserError, match=r"delta-1\.png has pixels of kind I;16; allowed are 8 bits"
    ):
        comparison.open_study(pair)
    # What is transparent is not what lies beneath it.
    Image.new("RGBA", (16, 16), (0, 200, 0, 0)).save(file)
    clear = comparison.open_study(pair)
    with Image.open(io.BytesIO(comparison.picture(clear, file))) as image:
        assert image.getpixel((3, 3)) == (255, 0, 255)
    # A camera that was held on its side: its right is the picture's bottom.
    turned = np.zeros((16, 16, 3), np.uint8)
    turned[:, 8:] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(turned).save(file, exif=exif)
    study = comparison.open_study(pair)
    with Image.open(io.BytesIO(comparison.picture(study, file))) as image:
        np.testing.assert_array_equal(np.asarray(image), turned.transpose(1, 0, 2))


@pytest.mark.parametrize("name", ["study.json", "delta-1.png"])
def test_a_pipe_is_refused_and_not_waited_for(pair, name):
    (pair[0] / name).unlink()
    os.mkfifo(pair[0] / name)
    with pytest.raises(
        UserError, match=rf"{re.escape(name)} cannot be read: it is no regular file"
    ):
        comparison.open_study(pair)


def test_folders_that_make_no_study(pair, tmp_path):
    with pytest.raises(UserError, match="compares two or more methods, got 1"):
        comparison.open_study(pair[:1])
    twin = write_folder(tmp_path / "twin", "alpha", 10, items=3)
    with pytest.raises(UserError, match="both hold the method 'alpha'"):
        comparison.open_study([*pair, twin])
    changed(twin, lambda about: about.update(method="other"))
    changed(twin, lambda about: [item.update(id=f"x{item['id']}") for item in about["items"]])
    with pytest.raises(UserError, match="no item is in all of alpha, delta, other"):
        comparison.open_study([*pair, twin])
    changed(pair[0], lambda about: about["items"][1]["target_joints"][0].__setitem__(0, 2000))
    with pytest.raises(UserError, match="item test-001 has another target pose in 'delta' than"):
        comparison.open_study(pair)
    changed(pair[0], lambda about: about["items"][1]["target_joints"].__setitem__(0, None))
    with pytest.raises(UserError, match="item test-001 has another target pose"):
        comparison.open_study(pair)
