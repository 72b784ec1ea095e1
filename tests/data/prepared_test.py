"""Opening a prepared data set: the newest version, and every way in which files can be wrong."""

import hashlib
import json
import re
import shutil

import numpy as np
import pytest

from volsynth.data import prepared
from volsynth.data.prepared import DataError

BUILD = "python -m data_prep.posed_people --config tiny --data-dir "


@pytest.fixture
def copy(tiny, tmp_path):
    """A copy of the tiny data set that a test may damage: its root and its folder."""
    folder = tmp_path / "posed_people" / "tiny" / "1.0.0"
    shutil.copytree(tiny.folder, folder)
    return tmp_path, folder


def _open(root):
    return prepared.open_prepared(str(root), "posed_people", "tiny")


def _edit(folder, change):
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def _one_line(caught):
    assert "\n" not in str(caught.value)


def test_what_the_manifest_says_is_there(tiny):
    assert tiny.image_size == 32
    for name, records in {"train": 48, "validation": 16, "test": 16}.items():
        split = tiny.split(name)
        assert (split.name, split.records, sum(split.counts)) == (name, records, records)
        assert len(split.read(range(records))) == records
        grouped = np.concatenate([r for outfits in split.groups for r in outfits])
        np.testing.assert_array_equal(np.sort(grouped), np.arange(records))


def test_groups_are_the_outfits_of_each_person(tiny):
    split = tiny.split("train")
    person, outfit = split.index["person"], split.index["outfit"]
    assert len(split.groups) == 6
    for outfits in split.groups:
        assert len(outfits) == 2
        assert len({person[r] for records in outfits for r in records}) == 1
        for records in outfits:
            assert len(set(outfit[records])) == 1


def test_reading_returns_records_in_the_order_asked_for(tiny):
    split = tiny.split("train")
    first, last = split.read([0, 47])
    assert split.read([47, 0, 47]) == [last, first, last]
    assert first != last


def test_a_missing_data_set_comes_with_the_command_that_makes_it(tmp_path):
    with pytest.raises(DataError, match=re.escape(f"To make it: {BUILD}{tmp_path}")):
        _open(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '"text"', "\xff"])
def test_a_manifest_that_cannot_be_read(copy, text):
    root, folder = copy
    (folder / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"manifest\.json cannot be read.*Build it again: python"):
        _open(root)


def test_a_manifest_that_is_a_folder(copy):
    root, folder = copy
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").mkdir()
    with pytest.raises(DataError, match=r"manifest\.json cannot be read"):
        _open(root)


@pytest.mark.parametrize("key", ["image_size", "splits", "name", "config", "version"])
def test_a_manifest_that_lacks_an_entry(copy, key):
    root, folder = copy
    _edit(folder, lambda manifest: manifest.pop(key))
    with pytest.raises(DataError, match=f"cannot be read: it has no '{key}'"):
        _open(root)


@pytest.mark.parametrize("key", ["shards", "records", "index"])
def test_a_split_that_lacks_an_entry(copy, key):
    root, folder = copy
    _edit(folder, lambda manifest: manifest["splits"]["test"].pop(key))
    with pytest.raises(DataError, match=f"cannot be read: it has no '{key}'"):
        _open(root)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/b"])
def test_a_manifest_reaches_no_file_outside_of_its_folder(copy, name):
    root, folder = copy
    _edit(folder, lambda m: m["splits"]["test"]["index"].update(file=name))
    with pytest.raises(DataError, match=f"'{name}' is not the plain name of a file"):
        _open(root)


def test_another_format(copy):
    root, folder = copy
    _edit(folder, lambda manifest: manifest.update(format=2))
    with pytest.raises(DataError, match=r"has format 2, this version reads 1\. python -m"):
        _open(root)


def test_an_unknown_split_comes_with_the_nearest(tiny):
    with pytest.raises(
        DataError, match=r"no split 'tran'; did you mean 'train'\? Allowed: test, train, validation"
    ):
        tiny.split("tran")


@pytest.mark.parametrize("pattern", ["*train.array_record-00001*", "index-train.npz"])
def test_a_file_that_is_missing_is_named(copy, pattern):
    root, folder = copy
    (path,) = folder.glob(pattern)
    path.unlink()
    data = _open(root)
    data.split("test")
    with pytest.raises(DataError, match=f"{path.name} is missing though the manifest lists it"):
        data.split("train")


@pytest.mark.parametrize("kept", [0, 1000, 70_000])
def test_a_truncated_shard_is_named(copy, kept):
    root, folder = copy
    (path,) = folder.glob("*train.array_record-00001*")
    content = path.read_bytes()
    assert len(content) > kept
    path.write_bytes(content[:kept])
    with pytest.raises(
        DataError, match=f"{path.name} .* where the manifest says 24 records: the shard is trunc"
    ) as caught:
        _open(root).split("train").read([0])
    _one_line(caught)


def test_a_shard_with_other_records_is_named(copy):
    root, folder = copy
    (path,) = folder.glob("*train.array_record-00001*")
    (other,) = folder.glob("*test.array_record-00000*")
    shutil.copy(other, path)
    with pytest.raises(DataError, match=f"{path.name} holds 8 records where the manifest says 24"):
        _open(root).split("train").read([0])


def test_a_record_that_is_damaged(copy):
    root, folder = copy
    (path,) = folder.glob("*train.array_record-00000*")
    content = bytearray(path.read_bytes())
    content[1000:1100] = bytes(100)
    path.write_bytes(bytes(content))
    split = _open(root).split("train")
    with pytest.raises(
        DataError, match=rf"{path.name} is damaged: record \d+ of split 'train' can"
    ):
        split.read(range(24))
    # The other shard can still be read, and is not the one that is named.
    assert all(split.read(range(24, 48)))


@pytest.mark.parametrize("opened", [True, False], ids=["after", "before"])
def test_a_shard_that_is_cut_off_while_a_run_reads_it(copy, opened):
    root, folder = copy
    split = _open(root).split("train")
    split.read([0, 47] if opened else [0])
    (path,) = folder.glob("*train.array_record-00001*")
    with path.open("r+b") as file:
        file.truncate(20_000)
    with pytest.raises(DataError, match=f"{path.name} is damaged: record") as caught:
        split.read([0, *range(24, 48)])
    _one_line(caught)
    assert all(split.read(range(24)))


def test_a_shard_that_is_gone_before_it_is_first_read(copy):
    root, folder = copy
    split = _open(root).split("train")
    split.read([0])
    (path,) = folder.glob("*train.array_record-00001*")
    path.unlink()
    with pytest.raises(DataError, match=f"{path.name} is damaged: record 30 of split 'train'"):
        split.read([0, 30])


def test_a_failure_that_does_not_come_again_is_not_blamed_on_a_shard(tiny):
    split = tiny.split("test")
    error = split._damaged([0, 1], RuntimeError("once"))
    assert "could not be read once (once). Start again." in str(error)


def test_a_wrong_total_is_an_error_even_where_every_shard_is_right(copy):
    root, folder = copy
    _edit(folder, lambda m: m["splits"]["test"].update(records=17))
    split = _open(root).split("train")
    wrong = prepared.Split("test", split.shards, 47, split.index, 32, split.counts)
    with pytest.raises(DataError, match="'test' holds 48 records where the manifest says 47"):
        wrong.read([0])
    with pytest.raises(DataError, match=r"index-test\.npz lists 16 records .* says 17"):
        _open(root).split("test")


@pytest.mark.parametrize(
    "content", [b"", b"no archive", b"PK\x03\x04" + bytes(40)], ids=["empty", "text", "zip"]
)
def test_an_index_that_is_damaged(copy, content):
    root, folder = copy
    (folder / "index-test.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"index-test\.npz is damaged \(.*\)\. Build it again"):
        _open(root).split("test")


def test_an_index_without_persons(copy):
    root, folder = copy
    np.savez(folder / "index-test.npz", outfit=np.zeros(16, int))
    with pytest.raises(DataError, match=r"index-test\.npz is damaged"):
        _open(root).split("test")


def test_an_index_with_pickled_objects_is_refused(copy):
    root, folder = copy
    np.savez(folder / "index-test.npz", person=np.array([{}] * 16), outfit=np.zeros(16, int))
    with pytest.raises(DataError, match="allow_pickle=False"):
        _open(root).split("test")


def test_the_newest_version_is_taken_by_number(copy):
    root, folder = copy
    for name in ("1.9.0", "1.10.0", "1.10.0.before", "unfinished"):
        shutil.copytree(folder, folder.with_name(name))
    (folder.with_name("2.0.0")).mkdir()  # It has no manifest: it is not complete.
    assert _open(root).folder.name == "1.10.0"


def test_the_identity_is_that_of_every_shard(copy, tiny):
    root, folder = copy
    assert _open(root).identity == tiny.identity
    seen = {tiny.identity}
    for split in ("train", "validation", "test"):
        for shard in range(2):
            _edit(
                folder,
                lambda m, s=split, i=shard: m["splits"][s]["shards"][i].update(sha256="0" * 64),
            )
            seen.add(_open(root).identity)
    assert len(seen) == 7


def test_the_identity_is_not_that_of_the_bytes_of_an_index(copy, tiny):
    root, folder = copy
    for split in ("train", "validation", "test"):
        path = folder / f"index-{split}.npz"
        with np.load(path) as arrays:
            np.savez(path, **arrays)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        _edit(folder, lambda m, s=split, h=sha256: m["splits"][s]["index"].update(sha256=h))
    other = _open(root)
    assert other.identity == tiny.identity
    assert other.manifest != tiny.manifest


def test_the_identity_does_not_depend_on_the_order_of_the_keys(copy, tiny):
    root, folder = copy
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(manifest.items()))))
    assert _open(root).identity == tiny.identity


def test_a_record_in_words(tiny):
    split = tiny.split("test")
    assert split.locate(3) == f"record 3 of split 'test' in {tiny.folder}"
