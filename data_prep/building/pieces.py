"""The pieces of a data set: each is prepared on its own and kept, so a killed build can go on.

A piece is a sequence of an archive, or some images. `finish` makes its records and leaves them in
one file; it is all that a process of a pool, or a worker of a Beam pipeline, has to run. This
module imports no TensorFlow, so that workers start fast.
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
"""The version of the files of pieces, and of how records are made of sightings. Files of another
version are not used: their pieces are made anew."""


class Dropped(NamedTuple):
    """A sighting that is left out on purpose, as the page of its data set says.

    Attributes:
      reason: why, in words that many sightings share, since they are counted by it.
    """

    reason: str


class Piece(Protocol):
    """A part of a data set: some sightings that are read in one go.

    A piece can be pickled, and its `repr` names everything that it reads.

    Attributes:
      name: the name of the piece, unique in its split of the data set.
      split: the split that its records belong to.
    """

    name: str
    split: str

    def sightings(self) -> Iterator[Sighting | SightingError | Dropped]:
        """Yields all sightings, with errors in the place of those that cannot be read.

        Raises:
          UserError: nothing more can be read; the sightings that came before count.
        """


class Outcome(NamedTuple):
    """The outcome of preparing a piece, or several pieces.

    Attributes:
      records: how many records were made.
      left_out: a line for each sighting or file that could not be prepared.
      dropped: how many sightings were left out on purpose, by reason.
    """

    records: int
    left_out: list[str]
    dropped: dict[str, int]

    def __add__(self, other: "Outcome") -> "Outcome":  # type: ignore[override]
        # Counters add up by reason, where dictionaries would replace.
        dropped = collections.Counter(self.dropped) + collections.Counter(other.dropped)
        return Outcome(self.records + other.records, self.left_out + other.left_out, dict(dropped))


def path_of(piece: Piece, side: int, folder: pathlib.Path) -> pathlib.Path:
    """The file in which the records of a piece are kept once it is finished.

    Args:
      piece: the piece; its `repr` holds the sizes and times of its files, so that other files are
        another piece.
      side: side of the images in pixels.
      folder: the folder of the files of all pieces.
    """
    # A hash, because names of pieces hold slashes and may be longer than names of files can be.
    identity = f"{FORMAT} {side} {piece.split} {piece!r}"
    return folder / f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}.npz"


def finish(piece: Piece, side: int, folder: pathlib.Path) -> Outcome:
    """Makes the records of a piece, unless its file is there already.

    Args:
      piece: the piece to make.
      side: side of the images in pixels.
      folder: the folder of the files of all pieces.

    Returns:
      How many records there are, and what was left out.
    """
    path = path_of(piece, side, folder)
    # A file that is missing, or that a killed process left in part, is simply made (again).
    with contextlib.suppress(OSError, ValueError, KeyError, zipfile.BadZipFile):
        return read_outcome(path)
    records, left_out, dropped = [], [], collections.Counter()
    for found in _sightings(piece):
        if isinstance(found, Dropped):
            dropped[found.reason] += 1
            continue
        try:
            if not isinstance(found, Sighting):
                raise found
            # Encoded at once: decoded pictures of a whole sequence would fill the memory.
            records.append(_encoded(preparing.prepare(found, side)))
        except UserError as error:
            left_out.append(" ".join(str(error).split()))
    columns = _columns(records)
    # No field of a record has a name with "#", so that these cannot be mistaken for fields.
    columns["#left_out"] = np.array(left_out, np.str_)
    columns["#dropped"] = np.array(list(dropped), np.str_)
    columns["#dropped_count"] = np.array(list(dropped.values()), np.int64)
    columns["#records"] = np.array(len(records))
    files.write_atomically(path, lambda file: np.savez(file, **columns))
    return read_outcome(path)


def _sightings(piece: Piece) -> Iterator[Sighting | UserError | Dropped]:
    """The sightings of a piece, and the error that ended them, if one did, as the last."""
    try:
        yield from piece.sightings()
    except UserError as error:
        yield error


def _encoded(record: dict[str, Any]) -> dict[str, Any]:
    """The record with its images as PNG."""
    return {
        key: png.encode(value) if schema.FIELDS[key].kind == "image" else value
        for key, value in record.items()
    }


def _columns(records: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
    """The records as arrays, one for each field.

    PNG files stand one after another in one array; another array has their lengths.
    """
    columns = {}
    for key in records[0] if records else ():
        values = [record[key] for record in records]
        if schema.FIELDS[key].kind == "image":
            columns[f"{key}#lengths"] = np.array([len(value) for value in values])
            # One array of bytes for all: an array of objects could only be stored by pickling.
            columns[key] = np.frombuffer(b"".join(values), np.uint8)
        else:
            columns[key] = np.array(values)
    return columns


def read_outcome(path: pathlib.Path) -> Outcome:
    """Reads what became of a piece from its file.

    Raises:
      OSError, ValueError, KeyError, zipfile.BadZipFile: there is no complete file.
    """
    with path.open("rb") as file, np.load(file, allow_pickle=False) as columns:
        counts = columns["#dropped_count"].tolist()
        return Outcome(
            int(columns["#records"]),
            columns["#left_out"].tolist(),
            dict(zip(columns["#dropped"].tolist(), counts)),
        )


def read_records(
    piece: Piece, side: int, folder: pathlib.Path
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields keys and records of a piece, with images as PNG.

    The piece is finished first where it is not.

    Args:
      piece: the piece.
      side: side of the images in pixels.
      folder: the folder of the files of all pieces.
    """
    count = finish(piece, side, folder).records
    with (
        path_of(piece, side, folder).open("rb") as file,
        np.load(file, allow_pickle=False) as arrays,
    ):
        # All at once: each access to the open file would read and unpack the array again.
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
        # TFDS shuffles records by a hash of their keys, which therefore must not depend on anything
        # else.
        yield f"{piece.split}/{piece.name}/{number:06d}", record


@contextlib.contextmanager
def watch(folder: pathlib.Path, tell: Callable[[int], None], seconds: float = 2) -> Iterator[None]:
    """Reports every few seconds how many pieces are finished, while the `with` block finishes them.

    Args:
      folder: the folder of the files of pieces; each file is a finished piece.
      tell: a function that is given the number of finished pieces.
      seconds: how long to wait between two reports.
    """
    over = threading.Event()

    def report() -> None:
        # Waits for the end, not for the time: the `with` block is left at once.
        while not over.wait(seconds):
            tell(sum(1 for _ in folder.glob("*.npz")))

    # A daemon: it must not keep the command alive when the main thread dies.
    thread = threading.Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def finish_all(
    pieces: Sequence[Piece], side: int, folder: pathlib.Path, processes: int | None = None
) -> Iterator[Outcome]:
    """Finishes pieces in several processes and yields what became of each, in order.

    Args:
      pieces: the pieces to make.
      side: side of the images in pixels.
      folder: the folder of the files of all pieces.
      processes: how many processes work; None for all cores. The number changes no record.
    """
    processes = pools.default_processes() if processes is None else processes
    yield from pools.in_order(finish, pieces, (side, folder), processes)
