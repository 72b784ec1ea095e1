"""The format of folders: what is read, what is refused, and what a browser gets of a picture."""

import io
import json
import os
import re

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from small_study import BRIGHTNESS, METHODS, joints, write_folder

from volsynth.errors import UserError
from volsynth.study import folders


def _changed(path, change):
    """Changes the first item of a folder's `study.json`, or all of it."""
    about = json.loads((path / "study.json").read_text())
    change(about)
    (path / "study.json").write_text(json.dumps(about))


@pytest.fixture
def pair(tmp_path):
    return [write_folder(tmp_path / name, name, BRIGHTNESS[name], items=3) for name in METHODS[:2]]


def test_a_study_has_the_items_that_every_folder_has(pair):
    write_folder(pair[1], METHODS[1], 90, items=5)
    said = []
    study = folders.open_study(pair, said.append)
    # By name, in whatever order they are given.
    assert study.methods == ("alpha", "delta")
    assert study.items == ("test-000", "test-001", "test-002")
    assert said == ["alpha: 2 of 5 items are not in every folder: left out."]
    np.testing.assert_array_equal(study.joints("test-001"), joints(1))
    # The source is one file, whoever is compared.
    assert study.source("test-002") == pair[1] / "source-2.png"
    assert folders.open_study(pair[::-1]).identity == study.identity


def test_the_identity_is_that_of_methods_pictures_and_poses(pair):
    before = folders.open_study(pair).identity
    assert folders.open_study(pair).identity == before
    Image.new("RGB", (16, 16), (1, 2, 3)).save(pair[0] / "delta-1.png")
    painted = folders.open_study(pair).identity
    _changed(pair[0], lambda about: about.update(method="dora"))
    renamed = folders.open_study(pair).identity
    for path in pair:
        _changed(path, lambda about: about["items"][0]["target_joints"][3].reverse())
    assert len({before, painted, renamed, folders.open_study(pair).identity}) == 4


def test_unknown_joints_are_null(pair):
    for path in pair:
        _changed(path, lambda about: about["items"][0]["target_joints"].__setitem__(4, None))
    found = folders.open_study(pair).joints("test-000")
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
    study = folders.open_study(pair)
    assert study.size == (32, 32)
    shown = [folders.picture(study, file) for file in study.digests]
    assert len(shown) == 9
    assert len({len(data) for data in shown}) == 1
    for data in shown:
        assert b"delta" not in data
        with Image.open(io.BytesIO(data)) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "RGB", (32, 32))
            assert image.info == {}
    red = Image.open(io.BytesIO(folders.picture(study, pair[0] / "delta-0.png")))
    assert red.getpixel((5, 5)) == (200, 10, 20)


def test_a_picture_that_changed_is_not_shown(pair):
    study = folders.open_study(pair)
    file = pair[0] / "delta-0.png"
    Image.new("RGB", (16, 16)).save(file)
    with pytest.raises(UserError, match=r"delta-0\.png has changed since the study began"):
        folders.picture(study, file)
    file.unlink()
    with pytest.raises(UserError, match=r"delta-0\.png cannot be read: No such file"):
        folders.picture(study, file)


def _item(**values):
    return lambda about: about["items"][0].update(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda about: about.update(format=2), r'"format" is 2; allowed: 1\.'),
        (lambda about: about.update(method="a|b"), r'"method" must be a name of .* got \'a\|b\''),
        (lambda about: about.pop("method"), '"method" must be a name .* got None'),
        (lambda about: about.update(items=[]), '"items" must be a list of 1 to 100000'),
        (lambda about: about.update(items={}), '"items" must be a list'),
        (lambda about: about["items"].append(3), "item 3 must be an object"),
        (_item(id="../x"), r"item 0: \"id\" must be of letters, .* got '\.\./x'"),
        (_item(id="test-002"), "item 2: the id 'test-002' is there twice"),
        (_item(generated="../alpha/alpha-0.png"), '"generated" points outside of its folder'),
        (_item(generated="/etc/passwd"), '"generated" points outside of its folder: \'/etc'),
        (_item(source="link.png"), '"source" points outside of its folder'),
        (_item(source="a\0b"), '"source" must be the path of a picture'),
        (_item(source=None), '"source" must be the path of a picture, got None'),
        (_item(target_joints=joints()[:14]), "must be 15 joints, each"),
        (_item(target_joints=[[1, 2]] * 15), "must be 15 joints, each"),
        (_item(target_joints=[[1, 2, True]] * 15), "must be 15 joints, each"),
        (_item(target_joints=[[1, 2, 1e9]] * 15), "farther away than 1e.06 mm"),
        (_item(target_joints=[[1, 2, float("nan")]] * 15), "fewer than two joints are known"),
        (_item(target_joints=[[1, 2, 3]] + [None] * 14), "fewer than two joints are known"),
    ],
)
def test_what_is_no_folder_of_a_study(pair, change, message):
    os.symlink(pair[1] / "source-0.png", pair[0] / "link.png")
    _changed(pair[0], change)
    with pytest.raises(UserError, match=message):
        folders.read(pair[0])


def test_a_file_that_is_none_or_no_object(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"has no study\.json\. Make a folder by"):
        folders.read(tmp_path)
    for text in ("[1]", "{", "[" * 100_000):
        (tmp_path / "study.json").write_text(text)
        with pytest.raises(UserError, match="is not a JSON object"):
            folders.read(tmp_path)
    monkeypatch.setattr(folders, "_MOST_BYTES", 10)
    with pytest.raises(UserError, match="is larger than 0 MiB"):
        folders.read(tmp_path)
    (tmp_path / "study.json").unlink()
    (tmp_path / "study.json").mkdir()
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        folders.read(tmp_path)


def test_what_is_no_picture(pair, monkeypatch):
    file = pair[0] / "delta-1.png"
    for data in (b"", b"no picture", file.read_bytes()[:40]):
        file.write_bytes(data)
        with pytest.raises(UserError, match=r"delta-1\.png cannot be read as a picture"):
            folders.open_study(pair)
    Image.new("RGB", (16, 16)).save(file, "GIF")
    with pytest.raises(UserError, match=r"delta-1\.png cannot be read as a picture \(PNG, JPEG"):
        folders.open_study(pair)
    Image.new("1", (4097, 1)).save(file)
    with pytest.raises(UserError, match="has 4097x1 pixels; allowed: 4096 a side"):
        folders.open_study(pair)
    Image.new("RGB", (16, 24)).save(file)
    with pytest.raises(UserError, match=r"16x16 and .*delta-1\.png is 16x24: .* same proportions"):
        folders.open_study(pair)
    monkeypatch.setattr(folders, "_LARGEST_PICTURE", 20)
    with pytest.raises(UserError, match="is larger than 0 MiB"):
        folders.open_study(pair)


def test_pictures_are_read_by_the_rules_for_all_that_people_bring(pair):
    file = pair[0] / "delta-1.png"
    Image.fromarray(np.full((16, 16), 20_000, np.uint16)).save(file)
    with pytest.raises(
        UserError, match=r"delta-1\.png has pixels of kind I;16; allowed are 8 bits"
    ):
        folders.open_study(pair)
    # What is transparent is not what lies beneath it.
    Image.new("RGBA", (16, 16), (0, 200, 0, 0)).save(file)
    clear = folders.open_study(pair)
    with Image.open(io.BytesIO(folders.picture(clear, file))) as image:
        assert image.getpixel((3, 3)) == (255, 0, 255)
    # A camera that was held on its side: its right is the picture's bottom.
    turned = np.zeros((16, 16, 3), np.uint8)
    turned[:, 8:] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(turned).save(file, exif=exif)
    study = folders.open_study(pair)
    with Image.open(io.BytesIO(folders.picture(study, file))) as image:
        np.testing.assert_array_equal(np.asarray(image), turned.transpose(1, 0, 2))


@pytest.mark.parametrize("name", ["study.json", "delta-1.png"])
def test_a_pipe_is_refused_and_not_waited_for(pair, name):
    (pair[0] / name).unlink()
    os.mkfifo(pair[0] / name)
    with pytest.raises(
        UserError, match=rf"{re.escape(name)} cannot be read: it is no regular file"
    ):
        folders.open_study(pair)


def test_folders_that_make_no_study(pair, tmp_path):
    with pytest.raises(UserError, match="compares two or more methods, got 1"):
        folders.open_study(pair[:1])
    twin = write_folder(tmp_path / "twin", "alpha", 10, items=3)
    with pytest.raises(UserError, match="both hold the method 'alpha'"):
        folders.open_study([*pair, twin])
    _changed(twin, lambda about: about.update(method="other"))
    _changed(twin, lambda about: [item.update(id=f"x{item['id']}") for item in about["items"]])
    with pytest.raises(UserError, match="no item is in all of alpha, delta, other"):
        folders.open_study([*pair, twin])
    _changed(pair[0], lambda about: about["items"][1]["target_joints"][0].__setitem__(0, 2000))
    with pytest.raises(UserError, match="item test-001 has another target pose in 'delta' than"):
        folders.open_study(pair)
    _changed(pair[0], lambda about: about["items"][1]["target_joints"].__setitem__(0, None))
    with pytest.raises(UserError, match="item test-001 has another target pose"):
        folders.open_study(pair)
