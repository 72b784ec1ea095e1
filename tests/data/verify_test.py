"""Files against the manifest's SHA-256: what is found, what is remembered, what is looked at."""

import hashlib
import json
import os
import shutil

import pytest

from volsynth.data import prepared, verify
from volsynth.data.prepared import DataError


@pytest.fixture
def copy(tiny, tmp_path):
    """A copy of the tiny data set that a test may damage."""
    folder = tmp_path / "posed_people" / "tiny" / "1.0.0"
    shutil.copytree(tiny.folder, folder)
    return prepared.Prepared(folder, json.loads((folder / "manifest.json").read_text()))


@pytest.fixture
def stamps(tmp_path, monkeypatch):
    """The file that remembers, and nothing in it; files just written count as settled."""
    path = tmp_path / "cache" / "verified.json"
    monkeypatch.setattr(verify, "default_stamps", lambda: path)
    monkeypatch.setattr(verify, "SETTLED", 0.0)
    return path


@pytest.fixture
def looked_at(monkeypatch):
    """The names of the files that were read, as they are."""
    names, real = [], verify._digest
    monkeypatch.setattr(verify, "_digest", lambda path: names.append(path.name) or real(path))
    return names


def _shard(data, split, number):
    (path,) = data.folder.glob(f"*{split}.array_record-{number:05d}*")
    return path


def _flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_a_whole_data_set_is_read_once_and_then_remembered(copy, stamps, looked_at):
    verify.verify(copy, ["train", "test"])
    assert len(looked_at) == len(set(looked_at)) == 6  # Two shards and an index of each.
    verify.verify(copy, ["test", "train"])
    assert len(looked_at) == 6
    verify.verify(copy, ["validation"])
    assert len(looked_at) == 9
    shard = _shard(copy, "train", 0)
    size, _, _, sha256 = json.loads(stamps.read_text())[str(shard)]
    assert size == shard.stat().st_size
    assert sha256 == hashlib.sha256(shard.read_bytes()).hexdigest()


@pytest.mark.parametrize("at", [0, 70_000, -1])
@pytest.mark.parametrize("known", [False, True])
def test_one_flipped_bit_is_named(copy, stamps, at, known):
    if known:
        verify.verify(copy, ["train"])
    shard = _shard(copy, "train", 1)
    before = shard.stat()
    _flip(shard, at)
    os.utime(shard, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(
        DataError, match=f"{shard.name} is not the file that the manifest"
    ) as caught:
        verify.verify(copy, ["train"])
    assert "\n" not in str(caught.value)
    verify.verify(copy, ["test"])


@pytest.mark.parametrize("known", [False, True])
def test_a_truncated_or_missing_shard_is_named(copy, stamps, known):
    if known:
        verify.verify(copy, ["test"])
    shard = _shard(copy, "test", 0)
    with shard.open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(DataError, match=f"{shard.name} is not the file"):
        verify.verify(copy, ["test"])
    shard.unlink()
    with pytest.raises(DataError, match=f"{shard.name} is missing though the manifest lists it"):
        verify.verify(copy, ["test"])


def test_an_index_of_other_pairs_is_named(copy, stamps):
    import numpy as np

    path = copy.folder / "index-test.npz"
    with np.load(path) as arrays:
        index = dict(arrays)
    index["person"] = index["person"][::-1]
    np.savez_compressed(path, **index)
    with pytest.raises(DataError, match=r"index-test\.npz is not the file"):
        verify.verify(copy, ["test"])


def test_a_bad_file_is_not_remembered_as_good(copy, stamps, looked_at):
    shard = _shard(copy, "test", 0)
    _flip(shard, 100)
    for _ in range(2):
        with pytest.raises(DataError, match="is not the file"):
            verify.verify(copy, ["test"])
    assert looked_at.count(shard.name) == 2


def test_another_manifest_is_not_served_from_memory(copy, stamps):
    verify.verify(copy, ["test"])
    copy.manifest["splits"]["test"]["shards"][0]["sha256"] = "0" * 64
    with pytest.raises(DataError, match="not 000000000000"):
        verify.verify(copy, ["test"])


def test_what_has_just_changed_is_looked_at_again(copy, stamps, looked_at, monkeypatch):
    monkeypatch.setattr(verify, "SETTLED", 3600.0)
    verify.verify(copy, ["test"])
    verify.verify(copy, ["test"])
    assert len(looked_at) == 6


@pytest.mark.parametrize("content", ["", "{", "[]", '{"x": 1}'])
def test_stamps_that_are_damaged_are_made_again(copy, stamps, looked_at, content):
    stamps.parent.mkdir()
    stamps.write_text(content)
    verify.verify(copy, ["test"])
    verify.verify(copy, ["test"])
    assert len(looked_at) == 3


def test_without_a_place_for_stamps_every_start_looks(copy, stamps, looked_at):
    stamps.parent.touch()
    verify.verify(copy, ["test"])
    verify.verify(copy, ["test"])
    assert len(looked_at) == 6


def test_what_another_process_remembered_meanwhile_is_kept(copy, stamps, monkeypatch):
    verify.verify(copy, ["test"])
    other, real = str(_shard(copy, "train", 0)), verify._look_at

    def meanwhile(*arguments):
        stamps.write_text(json.dumps({**json.loads(stamps.read_text()), other: [1], "/gone": [1]}))
        return real(*arguments)

    monkeypatch.setattr(verify, "_look_at", meanwhile)
    verify.verify(copy, ["validation"])
    found = json.loads(stamps.read_text())
    assert found[other] == [1]
    assert "/gone" not in found
    assert len(found) == 7


def test_it_says_how_far_it_is(copy, stamps, monkeypatch):
    said = []
    monkeypatch.setattr(verify, "_EVERY", -1.0)
    verify.verify(copy, ["test"], said.append)
    assert len(said) == 3
    assert said[-1].startswith("verifying data: 0.0 of 0.0 GB")


def test_a_manifest_without_hashes(copy, stamps):
    del copy.manifest["splits"]["test"]["index"]["sha256"]
    with pytest.raises(DataError, match=r"has no SHA-256 of index-test\.npz.*data\.verify=False"):
        verify.verify(copy, ["test"])


def test_a_file_that_cannot_be_read(copy, stamps, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(hashlib, "file_digest", refuse)
    with pytest.raises(DataError, match=r"cannot be read: Permission denied\."):
        verify.verify(copy, ["test"])


def test_an_unknown_split(copy, stamps):
    with pytest.raises(DataError, match="no split 'tets'; did you mean 'test'"):
        verify.verify(copy, ["tets"])
