"""From records to batches, in threads. The batch is a pure function of (seed, step).

A training sample is a pair of images of one person in one outfit: person and outfit are drawn
uniformly, then two of their images (seed 000, section 4.5). Since every step draws its own pairs
from its number, resuming needs no state of an iterator, and any host can make its rows of a batch.

TensorFlow decodes, but tf.data does not run the threads: it calls Python to read records, and an
iterator that is let go before its end can wait forever for a call that waits for the interpreter.
"""

import collections
import concurrent.futures
import functools
import itertools
import os
from collections.abc import Iterator, Sequence
from typing import NoReturn

import numpy as np
from google.protobuf.message import DecodeError

from volsynth.data import augment, augment_images, mixture, prepared, schema
from volsynth.errors import UserError, did_you_mean
from volsynth.ops import geometry

BATCH = {
    "image": "float32 [B, S, S, 3], RGB in [-1, 1], background magenta",
    "mask": "bool [B, S, S], the person",
    "joints": "float32 [B, 15, 3], pixels, mean depth at S / 2",
    "joints_mm": "float32 [B, 15, 3], mm, along the axes of the camera, from the pelvis",
    "visible": "bool [B, 15]",
}
"""What a batch holds, each of these twice, as `source_...` and `target_...`. In evaluation there
are `valid`, bool [B], False for rows that only fill up the last batch, and `records`, int32 [B, 2],
the numbers of source and target in their split."""

EXTRA = {
    "parts": "uint8 [B, S, S], 0 background, else 1 + index of the part one sees",
    "depth": "uint16 [B, S, S], mm along z, 0 background",
}
"""What batches of evaluation hold, too, if asked for, and if the data set has it."""

Batch = dict[str, np.ndarray]

Split = prepared.Split | mixture.MixedSplit

# How tf.train.Example stores the dtypes of the schema.
_LISTS = {"float32": "float_list", "bool": "int64_list", "int64": "int64_list"}

MOST_THREADS = 8
"""That `threads=-1` stands for, where there are as many processors."""

_AHEAD = 2  # Batches that are ready or begun, for every thread.

_READ = ("image", "mask", "joints_px", "joints_mm", "visible", "camera_intrinsics")


def training_pairs(
    split: Split, seed: int, step: int, batch_size: int, single: float = 0.0
) -> np.ndarray:
    """The record numbers of one training batch, [batch_size, 2]: source, target.

    Args:
      split: to draw from.
      seed: of the run.
      step: whose batch.
      batch_size: pairs in it.
      single: share of the samples whose target is the source image itself, as seed 000 does with
        images that have no partner.
    """
    rng = np.random.Generator(np.random.Philox(key=[seed, step]))
    shares, sources = zip(*split.sources)
    pairs = []
    for _ in range(batch_size):
        # A choice among one would take a number all the same, and change every batch.
        groups = sources[rng.choice(len(sources), p=shares) if len(sources) > 1 else 0]
        outfits = groups[rng.integers(len(groups))]
        records = outfits[rng.integers(len(outfits))]
        pair = rng.choice(records, 2, replace=len(records) < 2)
        pairs.append(pair[[0, 0]] if rng.random() < single else pair)
    return np.array(pairs)


def evaluation_pairs(split: prepared.Split, seed: int, alone: bool = True) -> np.ndarray:
    """Every record of the split once as the target, with another image of the outfit as source.

    Args:
      split: to pair.
      seed: of the choice of sources.
      alone: whether an image without another one of its outfit is there, too, as its own source.

    Returns:
      [N, 2]: source, target; the same for the same seed.

    Raises:
      UserError: no image has another one of its outfit.
    """
    rng = np.random.Generator(np.random.Philox(key=[seed, 0]))
    pairs = np.stack([np.arange(split.records)] * 2, axis=1)
    for outfits in split.groups:
        for records in outfits:
            # A cyclic shift of a random order pairs each image with another one.
            order = rng.permutation(records)
            pairs[order, 0] = np.roll(order, 1)
    if not alone:
        pairs = pairs[pairs[:, 0] != pairs[:, 1]]
        if not len(pairs):
            raise UserError(
                f"the split {split.name} has no two images of one person in one outfit: there is "
                f"nothing to make one of the other."
            )
    return pairs


def training_batches(
    split: Split,
    seed: int,
    batch_size: int,
    start: int,
    stop: int,
    single: float = 0.0,
    *,
    rows: slice = slice(None),
    threads: int = -1,
    augmentation: augment.Augment = augment.NONE,
) -> Iterator[Batch]:
    """The batches of the steps start, ..., stop - 1; see `training_pairs`.

    Args:
      split: to draw from.
      seed: of the run.
      batch_size: pairs of a step, on all hosts together.
      start: first step; what came before costs nothing.
      stop: step after the last.
      single: see `training_pairs`.
      rows: of the batch that are made; hosts that each take their own make the whole of it.
      threads: that read and decode; -1 is one for every processor, `MOST_THREADS` at most.
      augmentation: how much images and poses are changed.

    Raises:
      UserError: a number of threads that cannot be.
      DataError, RecordError: a record cannot be read or decoded.
      ValueError: there is no such row.
    """
    numbers = range(batch_size)[rows]
    if not numbers:
        raise ValueError(f"{rows} is no row of a batch of {batch_size}.")

    def pairs(step):
        return training_pairs(split, seed, step, batch_size, single)[rows]

    def change(step, values):
        draws = augment.draw(augmentation, seed, step, numbers)
        return augment_images.change(augmentation, values, draws)

    return _batches(
        split, pairs, range(start, stop), threads, change if augmentation.changes else None
    )


def evaluation_batches(
    split: prepared.Split, pairs: np.ndarray, batch_size: int, extra: Sequence[str] = ()
) -> Iterator[Batch]:
    """All pairs in order, in batches of one size, with `valid` and `records` of `BATCH`.

    Args:
      split: to read from.
      pairs: record numbers, [N, 2]: source, target.
      batch_size: rows of every batch.
      extra: of `EXTRA`; what the first target's record does not hold, no batch does.

    Raises:
      UserError: an unknown name in `extra`.
      DataError, RecordError: a record cannot be read or decoded.
    """
    for name in extra:
        if name not in EXTRA:
            raise UserError(f"Unknown extra field {name!r}: {did_you_mean(name, EXTRA)}")
    if extra and len(pairs):
        stored = stored_fields(split, pairs[0, 1])
        extra = [name for name in extra if name in stored]
    count = -(-len(pairs) // batch_size)
    rows = np.arange(count * batch_size)
    filled = pairs[np.minimum(rows, len(pairs) - 1)]
    valid = (rows < len(pairs)).reshape(count, batch_size)

    def chosen(step):
        return filled[step * batch_size : (step + 1) * batch_size]

    for step, batch in enumerate(_batches(split, chosen, range(count), extra=extra)):
        yield {**batch, "valid": valid[step], "records": chosen(step).astype(np.int32)}


def _batches(split, pairs_of_step, steps, threads=-1, change=None, extra=()) -> Iterator[Batch]:
    threads = thread_count(threads)
    fields = (*_READ, *extra)
    decode = _decoder(fields)
    tf = _tensorflow()

    def load(step):
        numbers = pairs_of_step(step).T.reshape(-1)
        serialised = split.read(numbers)
        try:
            record = decode(np.array(serialised, object))
        except (tf.errors.OpError, ValueError) as error:
            _explain(tf, split, numbers, fields, error)
        record = {key: value.numpy() for key, value in record.items()}
        values = _values(record) | {key: record[key][..., 0] for key in extra}
        return _by_role(values if change is None else change(step, values))

    pool = concurrent.futures.ThreadPoolExecutor(threads, "volsynth-data")
    todo = iter(steps)
    begun = collections.deque(
        pool.submit(load, step) for step in itertools.islice(todo, _AHEAD * threads)
    )
    try:
        while begun:
            batch = begun.popleft().result()
            begun.extend(pool.submit(load, step) for step in itertools.islice(todo, 1))
            yield batch
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def thread_count(threads: int) -> int:
    """How many threads a config value stands for.

    Raises:
      UserError: it is neither -1 nor at least 1.
    """
    if threads == -1:
        # Not every system can say how many processors this process may use.
        affinity = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))
        return min(len(affinity(0)), MOST_THREADS)
    if threads < 1:
        raise UserError(
            f"config.data.threads must be at least 1, or -1 for one per processor, got {threads}."
        )
    return threads


@functools.cache
def _decoder(fields):
    """Serialised records to decoded fields, as a graph, which is quicker than one call after the
    other; made once, for it takes part of a second."""
    tf = _tensorflow()
    signature = [tf.TensorSpec([None], tf.string)]
    return tf.function(lambda records: _parse(tf, records, fields), input_signature=signature)


def _tensorflow():
    """TensorFlow, kept off the accelerators and quiet."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Only decoding runs in it; switched on, it says so on standard error.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")
    return tf


def read_fields(
    split: prepared.Split, numbers: Sequence[int], fields: Sequence[str]
) -> dict[str, np.ndarray]:
    """Some fields of some records, decoded: images as arrays, one row per record.

    Raises:
      DataError: a record does not hold what the schema asks for.
    """
    tf = _tensorflow()
    serialised = np.array(split.read(numbers), object)
    try:
        record = _parse(tf, serialised, fields)
    except (tf.errors.OpError, ValueError) as error:
        _explain(tf, split, numbers, fields, error)
    return {
        key: value.numpy().astype(bool) if schema.FIELDS[key].dtype == "bool" else value.numpy()
        for key, value in record.items()
    }


def stored_fields(split: prepared.Split, number: int) -> frozenset[str]:
    """The fields that a record holds; not every data set has the optional ones.

    Raises:
      DataError, RecordError: the record cannot be read.
    """
    tf = _tensorflow()
    try:
        return frozenset(tf.train.Example.FromString(split.read([number])[0]).features.feature)
    except DecodeError as error:
        raise schema.RecordError(f"{split.locate(number)} is not a tf.train.Example.") from error


def _parse(tf, serialised, fields):
    """Serialised records [N] to decoded fields [N, ...]."""
    wire = {"float32": tf.float32, "bool": tf.int64, "int64": tf.int64, "str": tf.string}
    features = {}
    for key in fields:
        field = schema.FIELDS[key]
        kind = tf.string if field.kind == "image" else wire[field.dtype]
        if "J" in field.shape:
            features[key] = tf.io.FixedLenSequenceFeature(field.shape[1:], kind, allow_missing=True)
            continue
        features[key] = tf.io.FixedLenFeature(() if field.kind == "image" else field.shape, kind)
    record = tf.io.parse_example(serialised, features)
    for key in fields:
        field = schema.FIELDS[key]
        if field.kind == "image":
            record[key] = tf.map_fn(
                functools.partial(
                    tf.io.decode_png,
                    channels=field.shape[-1],
                    dtype=tf.dtypes.as_dtype(field.dtype),
                ),
                record[key],
                fn_output_signature=tf.dtypes.as_dtype(field.dtype),
            )
    return record


def _values(record) -> dict[str, np.ndarray]:
    """Decoded fields to those of `BATCH`."""
    side = record["image"].shape[1]
    visible = record["visible"].astype(bool)
    joints = geometry.image_pose(
        record["joints_px"], record["joints_mm"], visible, record["camera_intrinsics"], side
    )
    return {
        "image": record["image"].astype(np.float32) / 127.5 - 1,
        "mask": record["mask"][..., 0] > 0,
        "joints": joints.astype(np.float32),
        "joints_mm": geometry.from_pelvis(record["joints_mm"]),
        "visible": visible,
    }


def _by_role(values) -> Batch:
    """Fields with sources before targets, to a batch."""
    half = len(values["visible"]) // 2
    rows = {"source": slice(None, half), "target": slice(half, None)}
    return {f"{role}_{k}": v[rows[role]] for role in rows for k, v in values.items()}


def _explain(tf, split, numbers, fields, error) -> NoReturn:
    """Finds the record that a batch failed on, and says what is wrong with it.

    TensorFlow's own message names no record; and run eagerly, some of its errors are ValueErrors.
    """
    sides = {}
    for number in numbers:
        name = split.locate(number)
        try:
            example = tf.train.Example.FromString(split.read([number])[0])
        except DecodeError:
            raise schema.RecordError(f"{name} is not a tf.train.Example.") from error
        for key in fields:
            field = schema.FIELDS[key]
            if key not in example.features.feature:
                raise schema.RecordError(
                    f"{name}: field {key!r} is missing ({field.doc}). Prepare the data set again."
                ) from error
            value = example.features.feature[key]
            if field.kind == "image":
                shape = _image_shape(tf, value, field)
                if shape is None:
                    raise schema.RecordError(
                        f"{name}: field {key!r} is not a PNG image."
                    ) from error
                sides.setdefault(key, shape)
                if shape != sides[key]:
                    raise schema.RecordError(
                        f"{name}: field {key!r} has shape {shape}, other records {sides[key]}."
                    ) from error
                continue
            wanted = "bytes_list" if field.kind == "text" else _LISTS[field.dtype]
            kind = value.WhichOneof("kind")
            if kind not in (wanted, None):
                raise schema.RecordError(
                    f"{name}: field {key!r} must be stored as {wanted}, got {kind}."
                ) from error
            count = len(getattr(value, wanted).value)
            # A number of joints that varies fits whenever each has all of its coordinates.
            lengths = [axis for axis in field.shape if axis != "J"]
            if count % np.prod(lengths) if "J" in field.shape else count != np.prod(lengths):
                raise schema.RecordError(
                    f"{name}: field {key!r} must have shape {field.shape}, got {count} values."
                ) from error
    raise prepared.DataError(
        f"a batch that begins with {split.locate(numbers[0])} cannot be decoded: "
        f"{' '.join(str(error).split())[:300]}"
    ) from error


def _image_shape(tf, value, field):
    """The shape of a stored image; None where it is none."""
    try:
        return tuple(tf.io.decode_png(value.bytes_list.value[0], field.shape[-1]).shape)
    except (tf.errors.OpError, IndexError):
        return None
