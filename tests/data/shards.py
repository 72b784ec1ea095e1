"""Small prepared data sets in the true layout, with records that a test has changed."""

import hashlib
import json

from array_record.python import array_record_module

from data_prep.building.manifest import index_of
from volsynth.data import prepared


def examples(split, numbers):
    """Records of a split, parsed."""
    import tensorflow as tf

    return [tf.train.Example.FromString(raw) for raw in split.read(numbers)]


def write(data_dir, splits, image_size=32):
    """Writes DATA_DIR/small/32/1.0.0, one shard per split, and opens it.

    Args:
      data_dir: a folder.
      splits: name to records, parsed or as bytes; parsed ones make the index.
      image_size: what the manifest says.
    """
    folder = data_dir / "small" / "32" / "1.0.0"
    folder.mkdir(parents=True)
    entries = {}
    for name, records in splits.items():
        shard = folder / f"small-{name}.array_record-00000-of-00001"
        # The index is made before a record is spoilt for good.
        _write_shard(shard, [r for r in records if not isinstance(r, bytes)])
        columns = index_of([shard])
        _write_shard(shard, records)
        missing = len(records) - len(columns["person"])
        index = folder / f"index-{name}.npz"
        _write_index(index, columns, missing)
        entries[name] = {
            "shards": [{"file": shard.name, "records": len(records), "sha256": _sha256(shard)}],
            "records": len(records),
            "index": {"file": index.name, "sha256": _sha256(index)},
        }
    manifest = {
        "format": 1,
        "name": "small",
        "config": "32",
        "version": "1.0.0",
        "image_size": image_size,
        "splits": entries,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return prepared.open_prepared(str(data_dir), "small", "32")


def _write_shard(path, records):
    writer = array_record_module.ArrayRecordWriter(str(path), "group_size:1")
    for record in records:
        writer.write(record if isinstance(record, bytes) else record.SerializeToString())
    writer.close()


def _write_index(path, columns, missing):
    import numpy as np

    padded = {
        key: values if key.endswith("_names") else np.pad(values, (0, missing), "edge")
        for key, values in columns.items()
    }
    np.savez_compressed(path, **padded)


def _sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()
