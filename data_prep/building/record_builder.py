"""What all builders share: features from the schema, ArrayRecord files, manifest and index."""

import abc
import contextlib
import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from array_record.python import array_record_module
from tensorflow_datasets.core import writer as writer_lib

from data_prep.errors import BuildError
from volsynth import files
from volsynth.data import schema
from volsynth.errors import did_you_mean

MANIFEST = "manifest.json"
MANIFEST_FORMAT = 1
_READ_BYTES = 1 << 20


def features(
    side: int | None, optional: tuple[str, ...] = (), joints: int | None = None
) -> tfds.features.FeaturesDict:
    """TFDS features of the record of `volsynth.data.schema`.

    Args:
      side: of the square images; None if it varies.
      optional: the fields a data set may lack that this one has.
      joints: in the order of the data set's own; None if it varies.
    """
    chosen = {k: f for k, f in schema.FIELDS.items() if f.required or k in optional}
    return tfds.features.FeaturesDict(
        {name: _feature(field, side, joints) for name, field in chosen.items()}
    )


def _feature(field: schema.Field, side: int | None, joints: int | None) -> Any:
    if field.kind == "text":
        return tfds.features.Text(doc=field.doc)
    dtype = np.dtype(field.dtype).type
    if field.kind == "integer":
        return tfds.features.Scalar(dtype=dtype, doc=field.doc)
    if field.kind == "image":
        shape = tuple(side if axis == "S" else axis for axis in field.shape)
        return tfds.features.Image(shape=shape, dtype=dtype, encoding_format="png", doc=field.doc)
    shape = tuple(joints if axis == "J" else axis for axis in field.shape)
    return tfds.features.Tensor(shape=shape, dtype=dtype, doc=field.doc)


class _CanonicalWriter(writer_lib.ExampleWriter):
    """Writes records whose bytes depend on nothing but their contents.

    A serialized record is a map from names to values, and the order in which a map is written
    changes from process to process unless one asks for it to be fixed.
    """

    def write(self, path, examples):
        return super().write(path, ((key, _canonical(example)) for key, example in examples))


def _canonical(serialized: bytes) -> bytes:
    import tensorflow as tf

    return tf.train.Example.FromString(serialized).SerializeToString(deterministic=True)


class RecordBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A builder whose data sets `volsynth` reads: ArrayRecord shards, a manifest and an index.

    A subclass gives `VERSION`, `BUILDER_CONFIGS`, `image_side` and the usual TFDS methods.
    `on_records`, where set, is told how many records were just made and the processor seconds they
    took; the progress bar hangs on it.
    """

    on_records: Callable[[int, float], None] | None = None
    # Nothing is downloaded: sources are rendered, or files that the user has. Said here, TFDS does
    # not search for lists of checksums, which needs a package that it does not depend on.
    url_infos: Mapping[str, Any] = {}

    def __init__(
        self, *, config: Any = None, data_dir: Any = None, file_format: Any = None, **kwargs
    ):
        check_config(type(self), config)
        super().__init__(
            config=config, data_dir=data_dir, file_format=file_format or "array_record", **kwargs
        )

    def _example_writer(self) -> writer_lib.ExampleWriter:
        return _CanonicalWriter(self.info.file_format)

    @property
    def num_shards(self) -> int:
        """Shards of each split, where the user does not say; at most its records."""
        return 8

    @property
    @abc.abstractmethod
    def image_side(self) -> int | None:
        """Side of the stored images."""

    def download_and_prepare(self, *, download_config: Any = None, **kwargs) -> None:
        """Prepares the data set, then writes index and manifest; leaves a complete one alone."""
        if not is_complete(self):
            check_writable(self.data_dir)
        config = download_config or tfds.download.DownloadConfig()
        if config.num_shards is None:
            # TFDS would make one shard of anything below 64 MB, whatever sizes one asks for.
            config = config.replace(num_shards=self.num_shards)
        with self._alone():
            super().download_and_prepare(download_config=config, **kwargs)
            folder = pathlib.Path(self.data_dir)
            if not (folder / MANIFEST).exists():
                # The manifest says that everything is there: it is the last.
                self._write_beside(folder)
                write_manifest(self, folder)

    def _write_beside(self, folder: pathlib.Path) -> None:
        """Writes whatever else belongs to a data set into its folder."""

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Holds the data set's lock; whoever has it may remove what interrupted builds left."""
        import fcntl

        folder = pathlib.Path(self.data_dir)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with open(folder.parent / f".{folder.name}.lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BuildError(
                    f"{folder} is being prepared by another process. Wait for it, or end it first."
                ) from None
            for left in folder.parent.glob(f"*incomplete*{folder.name}*"):
                shutil.rmtree(left, ignore_errors=True)
            yield


def is_complete(builder: RecordBuilder) -> bool:
    """Whether the data set and its manifest are there."""
    return (pathlib.Path(builder.data_dir) / MANIFEST).exists()


def check_config(builder: type[RecordBuilder], config: Any) -> None:
    """Raises BuildError where a configuration's name is not one of the builder's."""
    names = [c.name for c in builder.BUILDER_CONFIGS]
    if isinstance(config, str) and config not in names:
        raise BuildError(f"{builder.name} has no config {config!r}; {did_you_mean(config, names)}")


def check_writable(data_dir: Any) -> None:
    """Raises BuildError where the folder, or the one it would be made in, cannot be written."""
    if data_dir is None:
        return
    folder = pathlib.Path(os.path.expanduser(os.fspath(data_dir))).absolute()
    nearest = next(p for p in (folder, *folder.parents) if p.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        what = "is no folder" if not nearest.is_dir() else "cannot be written"
        raise BuildError(
            f"Data cannot be kept in {data_dir}: {nearest} {what}. Give another folder."
        )


def write_manifest(builder: RecordBuilder, folder: pathlib.Path) -> dict[str, Any]:
    """Writes the index of every split, then the manifest, and returns the latter."""
    splits = {}
    for split, info in builder.info.splits.items():
        shards = [folder / pathlib.Path(os.fspath(path)).name for path in info.filepaths]
        counts = [_count(shard) for shard in shards]
        index = folder / f"index-{split}.npz"
        files.write_atomically(index, lambda f, s=shards: np.savez_compressed(f, **index_of(s)))
        splits[split] = {
            "shards": [
                {"file": shard.name, "records": count, "sha256": sha256(shard)}
                for shard, count in zip(shards, counts)
            ],
            "records": sum(counts),
            "index": {"file": index.name, "sha256": sha256(index)},
        }
    manifest = {
        "format": MANIFEST_FORMAT,
        "name": builder.name,
        "config": builder.builder_config.name,
        "version": str(builder.version),
        "image_size": builder.image_side,
        "splits": splits,
    }
    text = json.dumps(manifest, indent=1) + "\n"
    files.write_text(folder / MANIFEST, text)
    return manifest


def sha256(path: pathlib.Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _count(shard: pathlib.Path) -> int:
    reader = array_record_module.ArrayRecordReader(os.fspath(shard))
    # A truncated file opens without complaint and has no records.
    if not reader.ok() or not reader.num_records():
        raise BuildError(f"{shard} cannot be read back. Remove its folder and prepare it again.")
    count = reader.num_records()
    reader.close()
    return count


def index_of(shards: list[pathlib.Path]) -> dict[str, np.ndarray]:
    """Who does what in every record, in the order in which shards hold them."""
    columns: dict[str, list] = {k: [] for k in ("person", "outfit", "action", "camera", "frame")}
    for shard in shards:
        for record in _examples(shard):
            text = {
                k: record[k].bytes_list.value[0].decode()
                for k in ("person", "outfit", "action", "camera")
            }
            columns["person"].append(text["person"])
            columns["outfit"].append(f"{text['person']}/{text['outfit']}")
            columns["action"].append(text["action"])
            columns["camera"].append(text["camera"])
            columns["frame"].append(record["frame"].int64_list.value[0])
    index = {"frame": np.array(columns.pop("frame"), np.int64)}
    for name, values in columns.items():
        names, numbers = np.unique(np.array(values, dtype=np.str_), return_inverse=True)
        index[name], index[f"{name}_names"] = numbers.astype(np.int32), names
    return index


def _examples(shard: pathlib.Path) -> Iterator[Any]:
    """The features of every record of a shard."""
    import tensorflow as tf

    reader = array_record_module.ArrayRecordReader(os.fspath(shard))
    for start in range(0, reader.num_records(), 64):
        for raw in reader.read(start, min(start + 64, reader.num_records())):
            yield tf.train.Example.FromString(raw).features.feature
    reader.close()
