"""The format of folders: what is read, and what is refused."""

import os

import pytest
from small_study import changed, joints

from volsynth.errors import UserError
from volsynth.study import folders


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
    changed(pair[0], change)
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
