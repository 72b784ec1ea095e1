"""A prepared data set on disk: its manifest, the index of its records, and random access to them.

Layout, as the builders of `data_prep` leave it: DIR/NAME/CONFIG/VERSION with ArrayRecord shards, a
`manifest.json` that lists them with counts and SHA-256, and one `index-SPLIT.npz` per split with
the ids of every record in record order.
"""

import dataclasses
import functools
import hashlib
import json
import pathlib
from collections.abc import Sequence

import numpy as np

from volsynth.errors import UserError, did_you_mean

_FORMAT = 1


class DataError(UserError):
    """A prepared data set is missing, incomplete, or not what the manifest says."""


@dataclasses.dataclass(frozen=True)
class Prepared:
    """One version of one data set.

    Attributes:
      folder: where it lies.
      manifest: the parsed `manifest.json`.
    """

    folder: pathlib.Path
    manifest: dict

    @property
    def image_size(self) -> int:
        """Side of its images, pixels."""
        return self.manifest["image_size"]

    @property
    def identity(self) -> str:
        """A hash of the manifest, and through it of every shard."""
        return hashlib.sha256(json.dumps(self.manifest, sort_keys=True).encode()).hexdigest()[:16]

    def split(self, name: str) -> "Split":
        """One split.

        Raises:
          DataError: there is no such split, or a file of it is missing or of the wrong size.
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
        with np.load(index, allow_pickle=False) as arrays:
            return Split(name, tuple(shards), entry["records"], dict(arrays))


@dataclasses.dataclass(frozen=True)
class Split:
    """The records of one split, in a fixed order.

    Attributes:
      name: of the split.
      shards: ArrayRecord files, in the order of the records.
      records: how many there are.
      index: one array per id, [records]: `person`, `outfit` (numbers), and the tables of names.
    """

    name: str
    shards: tuple[pathlib.Path, ...]
    records: int
    index: dict[str, np.ndarray]

    @functools.cached_property
    def groups(self) -> tuple[tuple[np.ndarray, ...], ...]:
        """For each person, for each of its outfits, the numbers of its records."""
        person, outfit = self.index["person"], self.index["outfit"]
        return tuple(
            tuple(
                np.flatnonzero((person == p) & (outfit == o))
                for o in np.unique(outfit[person == p])
            )
            for p in np.unique(person)
        )

    @functools.cached_property
    def _source(self):
        from array_record.python import array_record_data_source

        return array_record_data_source.ArrayRecordDataSource([str(path) for path in self.shards])

    def read(self, numbers: Sequence[int]) -> list[bytes]:
        """The serialised records of these numbers.

        Raises:
          DataError: the shards hold another number of records than the manifest says.
        """
        if len(self._source) != self.records:
            raise DataError(
                f"{self.shards[0].parent}: split {self.name!r} holds {len(self._source)} records "
                f"where the manifest says {self.records}: a shard is truncated. Build it again."
            )
        return self._source.__getitems__([int(n) for n in numbers])

    def locate(self, number: int) -> str:
        """A record in words, for messages."""
        return f"record {number} of split {self.name!r} in {self.shards[0].parent}"


def open_prepared(data_dir: str, name: str, config: str) -> Prepared:
    """The newest version of a prepared data set.

    Raises:
      DataError: nothing complete is there; the message has the command that makes it.
    """
    folder = pathlib.Path(data_dir) / name / config
    build = f"python -m data_prep.{name} --config {config} --data-dir {data_dir}"
    manifests = sorted(
        folder.glob("*/manifest.json"),
        key=lambda path: [int(n) if n.isdigit() else 0 for n in path.parent.name.split(".")],
    )
    if not manifests:
        raise DataError(f"no prepared data set in {folder}. To make it: {build}")
    try:
        manifest = json.loads(manifests[-1].read_text())
        found = manifest["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{manifests[-1]} cannot be read ({error}). Build it again: {build}"
        ) from error
    if found != _FORMAT:
        raise DataError(
            f"{manifests[-1]} has format {found}, this version reads {_FORMAT}. {build}"
        )
    return Prepared(manifests[-1].parent, manifest)
