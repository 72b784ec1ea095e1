"""The files beside the shards of a data set: an index of every split, and the manifest."""

import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from array_record.python import array_record_module

from data_prep.errors import BuildError
from volsynth import files

FILE = "manifest.json"
"""The manifest's file name. The file is written last: where it is, the data set is complete."""

FORMAT = 1
"""The version of the manifest's own layout; readers refuse a manifest of another version."""

_RECORDS_AT_A_TIME = 64
"""The number of records read from a shard at a time while the index is made."""

_NAMES = ("person", "outfit", "action", "camera")
"""The text fields of a record that the index holds."""


def write(
    builder: tfds.core.DatasetBuilder, folder: pathlib.Path, image_side: int | None
) -> dict[str, Any]:
    """Writes the index of every split, then the manifest, and returns the manifest.

    Args:
      builder: the builder that has just written the shards.
      folder: the folder of the shards.
      image_side: the side of the stored images in pixels; None if it varies.

    Raises:
      BuildError: a shard cannot be read back.
    """
    splits = {}
    for split, info in builder.info.splits.items():
        shards = [folder / pathlib.Path(os.fspath(path)).name for path in info.filepaths]
        counts = [_count(shard) for shard in shards]
        index = folder / f"index-{split}.npz"
        # `s=shards` binds the list now: the function could run after the loop has moved on.
        files.write_atomically(index, lambda f, s=shards: np.savez_compressed(f, **index_of(s)))
        splits[split] = {
            "shards": [
                {"file": shard.name, "records": count, "sha256": files.sha256(shard)}
                for shard, count in zip(shards, counts)
            ],
            "records": sum(counts),
            "index": {"file": index.name, "sha256": files.sha256(index)},
        }
    manifest = {
        "format": FORMAT,
        "name": builder.name,
        "config": builder.builder_config.name,
        "version": str(builder.version),
        "image_size": image_side,
        "splits": splits,
    }
    files.write_text(folder / FILE, json.dumps(manifest, indent=1) + "\n")
    return manifest


def _count(shard: pathlib.Path) -> int:
    """The number of records of a shard."""
    reader = array_record_module.ArrayRecordReader(os.fspath(shard))
    # A truncated file opens without complaint and has no records.
    if not reader.ok() or not reader.num_records():
        raise BuildError(f"{shard} cannot be read back. Remove its folder and prepare it again.")
    count = reader.num_records()
    reader.close()
    return count


def index_of(shards: list[pathlib.Path]) -> dict[str, np.ndarray]:
    """The columns of an index: who does what in every record, in the order of the shards.

    Args:
      shards: the ArrayRecord files of a split, in order.

    Returns:
      `frame` [N] int64; for each of person, outfit, action and camera the different names, and
      [N] int32 numbers that point into them.
    """
    columns: dict[str, list] = {key: [] for key in (*_NAMES, "frame")}
    for shard in shards:
        for record in _examples(shard):
            for key in _NAMES:
                columns[key].append(record[key].bytes_list.value[0].decode())
            columns["frame"].append(record["frame"].int64_list.value[0])
    # Outfits are named per person: "a" of one person is not "a" of another one.
    pairs = zip(columns["person"], columns["outfit"])
    columns["outfit"] = [f"{person}/{outfit}" for person, outfit in pairs]
    index = {"frame": np.array(columns.pop("frame"), np.int64)}
    for name, values in columns.items():
        # Numbers instead of names: a million records then need megabytes, and compare fast.
        names, numbers = np.unique(np.array(values, dtype=np.str_), return_inverse=True)
        index[name], index[f"{name}_names"] = numbers.astype(np.int32), names
    return index


def _examples(shard: pathlib.Path) -> Iterator[Any]:
    """The features of every record of a shard."""
    # Late: this module is imported by commands that may have nothing to build.
    import tensorflow as tf

    reader = array_record_module.ArrayRecordReader(os.fspath(shard))
    for start in range(0, reader.num_records(), _RECORDS_AT_A_TIME):
        stop = min(start + _RECORDS_AT_A_TIME, reader.num_records())
        for raw in reader.read(start, stop):
            yield tf.train.Example.FromString(raw).features.feature
    reader.close()
