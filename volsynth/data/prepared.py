"""Prepared data sets on disk: the manifest, the index of the records, and random access to them.

Layout, as the builders of `data_prep` leave it: DIR/NAME/CONFIG/VERSION with ArrayRecord shards, a
`manifest.json` that lists them with counts and SHA-256, and one `index-SPLIT.npz` per split with
the ids of every record in record order.
"""

import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import zipfile
from collections.abc import Sequence

import numpy as np

from volsynth.errors import UserError, did_you_mean

_FORMAT = 1  # The version of the manifest's layout.

Groups = tuple[tuple[np.ndarray, ...], ...]
"""The numbers of records, by person and then by outfit of the person."""


class DataError(UserError):
    """A prepared data set is missing, incomplete, or not what the manifest says."""


@dataclasses.dataclass(frozen=True)
class Prepared:
    """One version of one prepared data set.

    Attributes:
      folder: folder of the version.
      manifest: the parsed `manifest.json`.
    """

    folder: pathlib.Path
    manifest: dict

    @property
    def image_size(self) -> int:
        """Side of the square images, pixels."""
        return self.manifest["image_size"]

    @functools.cached_property
    def identity(self) -> str:
        """A hash of the manifest, and through it of every shard.

        The indices follow from the shards, and NumPy's versions write them in different bytes, so
        their hashes are left out.
        """
        splits = {
            name: {**split, "index": {**split["index"], "sha256": None}}
            for name, split in self.manifest["splits"].items()
        }
        return _digest({**self.manifest, "splits": splits})

    def split(self, name: str) -> "Split":
        """The split with this name.

        Raises:
          DataError: there is no such split, a file of it is missing, or its index is damaged.
        """
        splits = self.manifest["splits"]
        if name not in splits:
            raise DataError(f"{self.folder}: no split {name!r}; {did_you_mean(name, splits)}")
        entry = splits[name]
        shards = [self.folder / shard["file"] for shard in entry["shards"]]
        index = self.folder / entry["index"]["file"]
        missing = [path for path in (*shards, index) if not path.is_file()]
        if missing:
            raise DataError(
                f"{missing[0]} is missing though the manifest lists it. Build it again."
            )
        counts = tuple(shard["records"] for shard in entry["shards"])
        return Split(
            name,
            tuple(shards),
            entry["records"],
            _read_index(index, entry["records"]),
            self.image_size,
            counts,
        )


def _digest(manifest):
    # Keys in order, so that the same manifest always gives the same hash.
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:16]


def _read_index(path, records):
    try:
        # No pickles, which could run code: data sets are copied from anywhere.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            index = dict(arrays)
        lengths = [len(index[key]) for key in ("person", "outfit")]
    except (ValueError, KeyError, TypeError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is damaged ({error}). Build it again.") from error
    if lengths != [records, records]:
        raise DataError(
            f"{path} lists {lengths[0]} records where the manifest says {records}. Build it again."
        )
    return index


@dataclasses.dataclass(frozen=True)
class Split:
    """The records of one split, in a fixed order.

    Attributes:
      name: name of the split.
      shards: ArrayRecord files, in the order of the records.
      records: number of records.
      index: one array per id, [records]: `person`, `outfit` (numbers), and the tables of names.
      image_size: side of the square images, in pixels.
      counts: number of records in each shard, as the manifest says; to find a damaged one.
    """

    name: str
    shards: tuple[pathlib.Path, ...]
    records: int
    index: dict[str, np.ndarray]
    image_size: int
    counts: tuple[int, ...] = ()

    @functools.cached_property
    def groups(self) -> Groups:
        """The numbers of the split's records, by person and outfit."""
        person, outfit = self.index["person"], self.index["outfit"]
        return tuple(
            tuple(
                np.flatnonzero((person == p) & (outfit == o))
                for o in np.unique(outfit[person == p])
            )
            for p in np.unique(person)
        )

    @property
    def weighted_groups(self) -> tuple[tuple[float, Groups], ...]:
        """All groups with the share 1, in the form in which a mixture has those of several sets."""
        return ((1.0, self.groups),)

    @functools.cached_property
    def _source(self):
        # Opened when records are first read: much is asked of the index alone.
        source = _open_shards(self.shards)
        if source is not None and len(source) == self.records:
            return source
        # One of the shards is to blame; together they only say that something is missing.
        for path, count in zip(self.shards, self.counts):
            shard = _open_shards([path])
            if shard is None or len(shard) != count:
                found = "cannot be read" if shard is None else f"holds {len(shard)} records"
                raise DataError(
                    f"{path} {found} where the manifest says {count} records: the shard is "
                    "truncated or damaged. Build it again."
                )
        found = 0 if source is None else len(source)
        raise DataError(
            f"{self.shards[0].parent}: split {self.name!r} holds {found} records where the "
            f"manifest says {self.records}. Build it again."
        )

    def read(self, numbers: Sequence[int | np.integer] | np.ndarray) -> list[bytes]:
        """The serialised records with these numbers.

        Raises:
          DataError: a shard is damaged, or holds another number of records than the manifest says.
        """
        numbers = [int(n) for n in numbers]
        try:
            records = self._source.__getitems__(numbers)
        except RuntimeError as error:
            raise self._damaged(numbers, error) from error
        # A shard that is truncated while it is open gives empty records and no error.
        if not all(records):
            raise self._damaged(numbers, "its records are empty: it was truncated")
        return records

    def _damaged(self, numbers, reason):
        """The error that names the first of these records that cannot be read, and its shard."""
        # An error of many records does not say which: they are read again, one by one.
        for number in numbers:
            try:
                if self._source[number]:
                    continue
            except RuntimeError as error:
                reason = error
            shard = int(np.searchsorted(np.cumsum(self.counts), number, side="right"))
            # Errors are one line; those of ArrayRecord can have many.
            reason = " ".join(str(reason).split())[:300]
            return DataError(
                f"{self.shards[shard]} is damaged: record {number} of split {self.name!r} cannot "
                f"be read ({reason}). Delete the folder and build it again."
            )
        return DataError(
            f"{self.shards[0].parent}: a shard of split {self.name!r} could not be read once "
            f"({' '.join(str(reason).split())[:300]}). Start again."
        )

    def locate(self, number: int | np.integer) -> str:
        """The name of a record for messages."""
        return f"record {number} of split {self.name!r} in {self.shards[0].parent}"


def _open_shards(paths):
    """Random access to ArrayRecord files; None where one of them is not readable."""
    # Late: manifests and indices are read without it.
    from array_record.python import array_record_data_source

    try:
        return array_record_data_source.ArrayRecordDataSource([str(path) for path in paths])
    except RuntimeError:
        return None


def open_prepared(data_dir: str | os.PathLike[str], name: str, config: str) -> Prepared:
    """Opens the newest version of a prepared data set.

    Args:
      data_dir: root folder of the data sets.
      name: name of the data set, such as `posed_people`.
      config: name of its configuration.

    Raises:
      DataError: there is no complete version; the message has the command that makes it.
    """
    folder = pathlib.Path(data_dir) / name / config
    build = f"python -m data_prep.{name} --config {config} --data-dir {data_dir}"
    manifests = sorted(folder.glob("*/manifest.json"), key=lambda path: _version(path.parent.name))
    if not manifests:
        raise DataError(f"no prepared data set in {folder}. To make it: {build}")
    try:
        manifest = json.loads(manifests[-1].read_text())
        found = manifest["format"]
        # Another format may have other keys; then the format is what is wrong.
        if found == _FORMAT:
            _check_manifest(manifest)
    except KeyError as error:
        raise DataError(
            f"{manifests[-1]} cannot be read: it has no {error}. Build it again: {build}"
        ) from error
    except (ValueError, TypeError, OSError) as error:
        raise DataError(
            f"{manifests[-1]} cannot be read ({error}). Build it again: {build}"
        ) from error
    if found != _FORMAT:
        raise DataError(
            f"{manifests[-1]} has format {found}, this version reads {_FORMAT}. {build}"
        )
    return Prepared(manifests[-1].parent, manifest)


def _version(name):
    """A key that sorts 1.10.0 after 1.9.0, and first what is no version, such as a copy."""
    parts = name.split(".")
    return [int(part) for part in parts] if all(part.isdigit() for part in parts) else []


def _check_manifest(manifest):
    """Raises KeyError or TypeError where something that is read later is missing.

    Raises ValueError where a file is outside of the folder.
    """
    for key in ("name", "config", "version", "image_size"):
        manifest[key]
    for split in manifest["splits"].values():
        split["records"]
        for shard in split["shards"]:
            shard["records"]
        for entry in (*split["shards"], split["index"]):
            # Manifests travel with the data, from anywhere, and must not name other files.
            if pathlib.PurePath(entry["file"]).name != entry["file"]:
                raise ValueError(f"{entry['file']!r} is not the plain name of a file")
