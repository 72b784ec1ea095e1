"""Records are made piece by piece; finished pieces are kept, so a build that was killed goes on.

A piece is a sequence of an archive, or some images. `finish` makes its records and leaves them in
one file; it is all that a process of a pool, or a worker of a Beam pipeline, has to run. Imports no
TensorFlow: workers start fast.
"""

import collections
import contextlib
import hashlib
import pathlib
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from data_prep.building import png, pools, preparing
from data_prep.building.sighting import Sighting
from data_prep.errors import SightingError
from volsynth import files
from volsynth.data import schema
from volsynth.errors import UserError

FORMAT = 1
"""Of the files of pieces, and of how records are made of sightings; another one starts anew."""


class Dropped(NamedTuple):
    """A sighting that is left out on purpose, as the data set's page says.

    Attributes:
      reason: in words that many sightings share.
    """

    reason: str


class Piece(Protocol):
    """Some sightings that are read in one go; can be pickled. Its `repr` says what it reads.

    Attributes:
      name: unique in its data set.
      split: that its records belong to.
    """

    name: str
    split: str

    def sightings(self) -> Iterator[Sighting | SightingError | Dropped]:
        """All sightings, errors in the place of those that cannot be read.

        Raises:
          UserError: nothing more can be read; what came before counts.
        """


class Outcome(NamedTuple):
    """What became of a piece, or of several.

    Attributes:
      records: how many there are.
      left_out: a line for each sighting or file that could not be prepared.
      dropped: how many were left out on purpose, by reason.
    """

    records: int
    left_out: list[str]
    dropped: dict[str, int]

    def __add__(self, other: "Outcome") -> "Outcome":  # type: ignore[override]
        dropped = collections.Counter(self.dropped) + collections.Counter(other.dropped)
        return Outcome(self.records + other.records, self.left_out + other.left_out, dict(dropped))


NOTHING = Outcome(0, [], {})


def path_of(piece: Piece, side: int, folder: pathlib.Path) -> pathlib.Path:
    """The file of a piece, once it is finished."""
    identity = f"{FORMAT} {side} {piece.split} {piece!r}"
    return folder / f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}.npz"


def finish(piece: Piece, side: int, folder: pathlib.Path) -> Outcome:
    """Makes the records of a piece unless its file is there already.

    Args:
      piece: to make.
      side: of the images.
      folder: of the files.
    """
    path = path_of(piece, side, folder)
    with contextlib.suppress(OSError, ValueError, KeyError, zipfile.BadZipFile):
        return outcome(path)
    records, left_out, dropped = [], [], collections.Counter()
    for found in _sightings(piece):
        if isinstance(found, Dropped):
            dropped[found.reason] += 1
            continue
        try:
            if not isinstance(found, Sighting):
                raise found
            records.append(_encoded(preparing.prepare(found, side)))
        except UserError as error:
            left_out.append(" ".join(str(error).split()))
    columns = _columns(records)
    columns["#left_out"] = np.array(left_out, np.str_)
    columns["#dropped"] = np.array(list(dropped), np.str_)
    columns["#dropped_count"] = np.array(list(dropped.values()), np.int64)
    columns["#records"] = np.array(len(records))
    files.write_atomically(path, lambda file: np.savez(file, **columns))
    return outcome(path)


def _sightings(piece):
    try:
        yield from piece.sightings()
    except UserError as error:
        yield error


def _encoded(record):
    return {
        key: png.encode(value) if schema.FIELDS[key].kind == "image" else value
        for key, value in record.items()
    }


def _columns(records) -> dict[str, np.ndarray]:
    """Arrays of all records together; images one after the other, with their lengths."""
    columns = {}
    for key in records[0] if records else ():
        values = [record[key] for record in records]
        if schema.FIELDS[key].kind == "image":
            columns[f"{key}#lengths"] = np.array([len(value) for value in values])
            columns[key] = np.frombuffer(b"".join(values), np.uint8)
        else:
            columns[key] = np.array(values)
    return columns


def outcome(path: pathlib.Path) -> Outcome:
    """What the file of a piece says of it.

    Raises:
      OSError, ValueError, KeyError, zipfile.BadZipFile: there is no whole file.
    """
    with path.open("rb") as file, np.load(file, allow_pickle=False) as columns:
        counts = columns["#dropped_count"].tolist()
        return Outcome(
            int(columns["#records"]),
            columns["#left_out"].tolist(),
            dict(zip(columns["#dropped"].tolist(), counts)),
        )


def examples(piece: Piece, side: int, folder: pathlib.Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Keys and records of a piece, images as PNG; it is finished first where it is not."""
    count = finish(piece, side, folder).records
    with (
        path_of(piece, side, folder).open("rb") as file,
        np.load(file, allow_pickle=False) as arrays,
    ):
        columns = dict(arrays)
    ends = {
        key.removesuffix("#lengths"): np.cumsum(value)
        for key, value in columns.items()
        if key.endswith("#lengths")
    }
    for number in range(count):
        record: dict[str, Any] = {}
        for key in (key for key in columns if "#" not in key):
            if key in ends:
                start = ends[key][number - 1] if number else 0
                record[key] = columns[key][start : ends[key][number]].tobytes()
            elif schema.FIELDS[key].kind == "text":
                record[key] = str(columns[key][number])
            else:
                record[key] = columns[key][number]
        yield f"{piece.split}/{piece.name}/{number:06d}", record


@contextlib.contextmanager
def watched(
    folder: pathlib.Path, tell: Callable[[int], None], seconds: float = 2
) -> Iterator[None]:
    """Tells every few seconds how many pieces are finished, while others finish them."""
    over = threading.Event()

    def watch():
        while not over.wait(seconds):
            tell(sum(1 for _ in folder.glob("*.npz")))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def finish_all(
    pieces: Sequence[Piece], side: int, folder: pathlib.Path, processes: int | None = None
) -> Iterator[Outcome]:
    """What becomes of each piece, in order, made by several processes; the number changes nothing.

    Args:
      pieces: to make.
      side: of the images.
      folder: of their files.
      processes: how many work; None for all cores.
    """
    processes = pools.default_processes() if processes is None else processes
    yield from pools.in_order(finish, pieces, (side, folder), processes)
