"""The base of all TFDS builders: features from the schema, canonical shards, lock and manifest."""

import abc
import contextlib
import io
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core import writer as writer_lib

from data_prep.building import manifest
from data_prep.errors import BuildError
from volsynth.data import schema
from volsynth.errors import did_you_mean


def features(
    side: int | None, optional: tuple[str, ...] = (), joints: int | None = None
) -> tfds.features.FeaturesDict:
    """TFDS features of the record of `volsynth.data.schema`.

    Args:
      side: side of the square images in pixels; None if it varies.
      optional: the optional fields of the schema that this data set has.
      joints: how many joints the data set's own order has; None if it varies.
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


def encodable(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record with PNG images as TFDS takes it: a file object is stored as it is, not encoded."""
    return {
        name: io.BytesIO(value) if schema.FIELDS[name].kind == "image" else value
        for name, value in record.items()
    }


class _CanonicalWriter(writer_lib.ExampleWriter):
    """Writes records whose bytes depend on nothing but their contents.

    A serialized record is a map from names to values, and the order in which a map is written
    changes from process to process unless one asks for it to be fixed.
    """

    def write(self, path: Any, examples: Any) -> Any:
        return super().write(path, ((key, _canonical(example)) for key, example in examples))


def _canonical(serialized: bytes) -> bytes:
    """The same record with its map written in a fixed order."""
    import tensorflow as tf

    return tf.train.Example.FromString(serialized).SerializeToString(deterministic=True)


# Without registration: TFDS would list this class, which cannot be built, among the data sets.
class RecordBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A builder whose data sets `volsynth` reads: ArrayRecord shards, a manifest and an index.

    A subclass gives `VERSION`, `BUILDER_CONFIGS`, `image_side` and the usual TFDS methods.
    """

    on_records: Callable[[int, float], None] | None = None
    """A function that is told, after each batch, how many records were made and the processor
    seconds they took; the progress bar is moved by it. None tells nobody."""

    # Nothing is downloaded: sources are rendered, or files that the user has. Given here, TFDS does
    # not search for lists of checksums, which needs a package that it does not depend on.
    url_infos: Mapping[str, Any] = {}

    def __init__(
        self, *, config: Any = None, data_dir: Any = None, file_format: Any = None, **kwargs: Any
    ) -> None:
        # Before TFDS looks for it, so that a wrong name is one line, with the right ones in it.
        check_config(type(self), config)
        super().__init__(
            config=config, data_dir=data_dir, file_format=file_format or "array_record", **kwargs
        )

    def _example_writer(self) -> writer_lib.ExampleWriter:
        return _CanonicalWriter(self.info.file_format)

    @property
    def num_shards(self) -> int:
        """The number of shards of each split, where the user does not say; at most its records."""
        return 8

    @property
    @abc.abstractmethod
    def image_side(self) -> int | None:
        """Side of the stored images in pixels."""

    def download_and_prepare(self, *, download_config: Any = None, **kwargs: Any) -> None:
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
            if not (folder / manifest.FILE).exists():
                # The manifest is the last, since its presence says that everything is there.
                self._write_beside(folder)
                manifest.write(self, folder, self.image_side)

    def _write_beside(self, folder: pathlib.Path) -> None:
        """Writes whatever else belongs to a data set into its folder; a subclass may have some."""

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Holds the data set's lock; whoever has it may remove what interrupted builds left."""
        # Late: Windows has no such module.
        import fcntl

        folder = pathlib.Path(self.data_dir)
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Beside the folder: TFDS renames another folder to this one's name when all is written.
        with open(folder.parent / f".{folder.name}.lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BuildError(
                    f"{folder} is being prepared by another process. Wait for it, or end it first."
                ) from None
            # With the lock held nobody is writing these: they are of builds that were killed.
            for left in folder.parent.glob(f"*incomplete*{folder.name}*"):
                shutil.rmtree(left, ignore_errors=True)
            yield


def is_complete(builder: RecordBuilder) -> bool:
    """Whether the data set and its manifest are there."""
    return (pathlib.Path(builder.data_dir) / manifest.FILE).exists()


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
    # Entering a folder needs the right to execute it, besides the right to write.
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        what = "is no folder" if not nearest.is_dir() else "cannot be written"
        raise BuildError(
            f"Data cannot be kept in {data_dir}: {nearest} {what}. Give another folder."
        )
