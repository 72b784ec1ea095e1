"""Pieces: finished ones are kept and used, whatever is left out is counted, records survive."""

import dataclasses
import queue
import threading

import numpy as np
import pytest
from seen_people import see

from data_prep.building import pieces, png, preparing
from data_prep.errors import BuildError, SightingError

SIDE = 32


@dataclasses.dataclass(frozen=True)
class Some:
    """A piece of a few rendered people, or of errors."""

    name: str
    content: tuple = (0, 1)
    split: str = "train"
    calls: list = dataclasses.field(default_factory=list, repr=False, compare=False)

    def sightings(self):
        self.calls.append(self.name)
        for item in self.content:
            if item == "stop":
                raise BuildError("the rest is lost")
            if isinstance(item, int):
                yield see(0, item, size=64).sighting
            elif item == "bad":
                yield SightingError("file 3", "is bad")
            elif item == "empty":
                seen = see(0, 0, size=64).sighting
                yield dataclasses.replace(seen, mask=np.zeros_like(seen.mask))
            else:
                yield pieces.Dropped(item)


def test_records_come_back_as_they_were_prepared(tmp_path):
    piece = Some("one")
    found = list(pieces.read_records(piece, SIDE, tmp_path))
    assert [key for key, _ in found] == ["train/one/000000", "train/one/000001"]
    for shot, (_, record) in enumerate(found):
        expected = preparing.prepare(see(0, shot, size=64).sighting, SIDE)
        assert set(record) == set(expected)
        for key, value in expected.items():
            if key in ("image", "mask"):
                assert record[key] == png.encode(value)
            elif isinstance(value, str):
                assert (record[key], type(record[key])) == (value, str)
            else:
                np.testing.assert_array_equal(record[key], value)
                assert np.asarray(record[key]).dtype == np.asarray(value).dtype


def test_whatever_is_left_out_is_counted_and_the_rest_kept(tmp_path):
    piece = Some("one", (0, "bad", "with a chair", "empty", 1, "with a chair", "stop", 2))
    outcome = pieces.finish(piece, SIDE, tmp_path)
    assert outcome == pieces.Outcome(
        2,
        ["file 3: is bad", "person 0 shot 0: the mask is empty", "the rest is lost"],
        {"with a chair": 2},
    )
    assert pieces.finish(piece, SIDE, tmp_path) == outcome
    assert len(piece.calls) == 1
    both = outcome + pieces.Outcome(1, ["x"], {"with a chair": 1, "y": 2})
    assert both == pieces.Outcome(3, [*outcome.left_out, "x"], {"with a chair": 3, "y": 2})


def test_a_piece_without_records_is_finished_all_the_same(tmp_path):
    piece = Some("one", ("bad",))
    assert list(pieces.read_records(piece, SIDE, tmp_path)) == []
    assert list(pieces.read_records(piece, SIDE, tmp_path)) == []
    assert len(piece.calls) == 1


@pytest.mark.parametrize("change", [{"content": (0,)}, {"split": "test"}, {"name": "two"}])
def test_another_piece_is_made_anew(tmp_path, change):
    piece = Some("one")
    other = dataclasses.replace(piece, **change)
    assert pieces.path_of(other, SIDE, tmp_path) != pieces.path_of(piece, SIDE, tmp_path)
    assert pieces.path_of(piece, 64, tmp_path) != pieces.path_of(piece, SIDE, tmp_path)


def test_a_damaged_file_of_a_piece_is_made_anew(tmp_path):
    piece = Some("one", (0,))
    pieces.finish(piece, SIDE, tmp_path)
    path = pieces.path_of(piece, SIDE, tmp_path)
    path.write_bytes(path.read_bytes()[:100])
    assert pieces.finish(piece, SIDE, tmp_path).records == 1
    assert len(piece.calls) == 2


def test_a_build_that_was_stopped_makes_only_what_is_missing(tmp_path):
    todo = [Some(str(n), (n,)) for n in range(3)]
    outcomes = pieces.finish_all(todo, SIDE, tmp_path, processes=1)
    next(outcomes)
    outcomes.close()
    assert [piece.calls for piece in todo] == [["0"], [], []]
    assert sum(o.records for o in pieces.finish_all(todo, SIDE, tmp_path, processes=1)) == 3
    assert [piece.calls for piece in todo] == [["0"], ["1"], ["2"]]


def test_what_others_finish_is_counted(tmp_path):
    told = queue.SimpleQueue()
    with pieces.watch(tmp_path / "pieces", told.put, seconds=0.01):
        assert told.get(timeout=60) == 0
        for n in range(2):
            pieces.finish(Some(str(n), (n,)), SIDE, tmp_path / "pieces")
        while (count := told.get(timeout=60)) < 2:
            assert count in (0, 1)
    assert not any(thread.name.endswith("(watch)") for thread in threading.enumerate())
