"""Parses and decodes serialised records, with errors that name the record.

TensorFlow does the work, and is imported in this module and in `augment_images` only.
"""

import functools
import os
from collections.abc import Callable, Sequence
from typing import NoReturn

import numpy as np
from google.protobuf.message import DecodeError

from volsynth.data import prepared, schema
from volsynth.data.mixture import Split

Record = dict[str, np.ndarray]
"""Fields of N records by name, each [N, ...]; see `schema.FIELDS`."""

# The lists in which tf.train.Example stores the dtypes of the schema; it has no smaller ones.
_LISTS = {"float32": "float_list", "bool": "int64_list", "int64": "int64_list"}


def _tensorflow():
    """The module of TensorFlow, kept off the accelerators and quiet."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Only decoding runs in TensorFlow; with oneDNN switched on it says so on standard error.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    import tensorflow as tf

    # Else TensorFlow takes nearly all of the GPU's memory, which JAX needs.
    tf.config.set_visible_devices([], "GPU")
    return tf


@functools.cache
def decoder(
    fields: tuple[str, ...],
) -> Callable[[Split, Sequence[int | np.integer] | np.ndarray], Record]:
    """A function that reads and decodes some fields of records of a split, given their numbers.

    It runs a TensorFlow graph, which is quicker than one call after the other. Making the graph
    takes part of a second, so it is made once; make it before threads begin, or each makes its own.

    Args:
      fields: names of the fields, see `schema.FIELDS`.

    Returns:
      The function; it returns and raises as `read_fields` does.
    """
    tf = _tensorflow()
    signature = [tf.TensorSpec([None], tf.string)]
    parse = tf.function(lambda records: _parse(tf, records, fields), input_signature=signature)

    def decode(split, numbers):
        serialised = np.array(split.read(numbers), object)
        try:
            record = parse(serialised)
        except (tf.errors.OpError, ValueError) as error:
            # A ValueError is one of Python's: the message of TensorFlow's quotes bytes of the
            # record, which need not be UTF-8.
            _explain(tf, split, numbers, fields, error)
        return {
            key: value.numpy().astype(bool) if schema.FIELDS[key].dtype == "bool" else value.numpy()
            for key, value in record.items()
        }

    return decode


def read_fields(
    split: Split, numbers: Sequence[int | np.integer] | np.ndarray, fields: Sequence[str]
) -> Record:
    """Reads and decodes some fields of some records of a split.

    Args:
      split: split to read from.
      numbers: numbers of the records.
      fields: names of the fields, see `schema.FIELDS`.

    Returns:
      Each field by its name, with one row per record; images as arrays.

    Raises:
      DataError: a shard is damaged.
      RecordError: a record does not hold what the schema asks for.
    """
    return decoder(tuple(fields))(split, numbers)


def stored_fields(split: Split, number: int | np.integer) -> frozenset[str]:
    """The names of the fields that a record holds; not every data set has the optional ones.

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
        # A number of joints that varies from data set to data set can have any length.
        if "J" in field.shape:
            features[key] = tf.io.FixedLenSequenceFeature(field.shape[1:], kind, allow_missing=True)
            continue
        features[key] = tf.io.FixedLenFeature(() if field.kind == "image" else field.shape, kind)
    record = tf.io.parse_example(serialised, features)
    for key in fields:
        field = schema.FIELDS[key]
        if field.kind == "image":
            # One picture after the other, as decode_png takes a single one.
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


def _explain(tf, split, numbers, fields, error) -> NoReturn:
    """Raises an error that names the record on which a batch failed, and what is wrong with it.

    TensorFlow's own message names no record.
    """
    # The side of the first record; a batch of images must have one.
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
    """The shape of a stored image; None where the stored bytes are no image."""
    try:
        return tuple(tf.io.decode_png(value.bytes_list.value[0], field.shape[-1]).shape)
    except (tf.errors.OpError, IndexError):
        return None
