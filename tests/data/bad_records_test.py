"""Records and shards that cannot be read: the error names them, in one line."""

import re
import shutil

import numpy as np
import pytest
import shards

from volsynth.data import decoding, pipeline, prepared, schema

READ = ("image", "mask", "joints_px", "joints_mm", "visible", "camera_intrinsics")


def _delete(feature):
    del feature["joints_px"]


def _no_image(feature):
    feature["image"].bytes_list.value[0] = b"no picture"


def _cut_image(feature):
    feature["image"].bytes_list.value[0] = feature["image"].bytes_list.value[0][:60]


def _empty_image(feature):
    del feature["mask"].bytes_list.value[:]


def _shorten(feature):
    del feature["joints_mm"].float_list.value[42:]


def _wrong_list(feature):
    feature["joints_px"].int64_list.value[:] = range(30)


def _smaller(feature):
    import tensorflow as tf

    feature["image"].bytes_list.value[0] = tf.io.encode_png(np.ones((16, 16, 3), np.uint8)).numpy()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_delete, "field 'joints_px' is missing (projected joints (x, y)). Prepare the data set"),
        (_no_image, "field 'image' is not a PNG image."),
        (_cut_image, "field 'image' is not a PNG image."),
        (_empty_image, "field 'mask' is not a PNG image."),
        (_shorten, "field 'joints_mm' must have shape (15, 3), got 42 values."),
        (_wrong_list, "field 'joints_px' must be stored as float_list, got int64_list."),
        (_smaller, "field 'image' has shape (16, 16, 3), other records (32, 32, 3)."),
    ],
)
def test_a_bad_record_is_named(train, tmp_path, spoil, message):
    records = shards.examples(train, range(5))
    spoil(records[2].features.feature)
    data = shards.write(tmp_path, {"train": records})
    split = data.split("train")
    wanted = f"record 2 of split 'train' in {data.folder}: {message}"
    in_order = np.stack([np.arange(5)] * 2, axis=1)
    for read in (
        lambda: list(pipeline.evaluation_batches(split, in_order, 5)),
        lambda: decoding.read_fields(split, range(5), READ),
    ):
        with pytest.raises(schema.RecordError, match=re.escape(wanted)) as caught:
            read()
        assert "\n" not in str(caught.value)


def test_batches_before_the_bad_record_are_still_yielded(train, tmp_path):
    records = shards.examples(train, range(4))
    _no_image(records[3].features.feature)
    split = shards.write(tmp_path, {"train": records}).split("train")
    stream = pipeline.evaluation_batches(split, np.stack([np.arange(4)] * 2, axis=1), 2)
    assert next(stream)["valid"].all()
    with pytest.raises(schema.RecordError, match="record 3 of split 'train'"):
        next(stream)


def test_a_record_that_is_no_example(train, tmp_path):
    records = [*shards.examples(train, range(2)), b"\xff\xff no example"]
    split = shards.write(tmp_path, {"train": records}).split("train")
    for read in (
        lambda: decoding.read_fields(split, [0, 2], ["image"]),
        lambda: list(pipeline.evaluation_batches(split, np.array([[0, 2]]), 1)),
        lambda: list(pipeline.evaluation_batches(split, np.array([[0, 2]]), 1, ("target_parts",))),
    ):
        with pytest.raises(schema.RecordError, match=r"record 2 .* is not a tf\.train\.Example"):
            read()


def test_a_truncated_shard_is_named_by_the_pipeline(train, tmp_path):
    data = shards.write(tmp_path, {"train": shards.examples(train, range(4))})
    (shard,) = data.folder.glob("*array_record*")
    shard.write_bytes(shard.read_bytes()[:-40_000])
    with pytest.raises(prepared.DataError, match=f"{shard.name} cannot be read") as caught:
        next(pipeline.training_batches(data.split("train"), 0, 2, 0, 1))
    assert "\n" not in str(caught.value)


def test_a_shard_that_goes_bad_while_training_is_named(tiny, tmp_path):
    folder = tmp_path / "posed_people" / "tiny"
    shutil.copytree(tiny.folder.parent, folder)
    split = prepared.open_prepared(str(tmp_path), "posed_people", "tiny").split("train")
    stream = pipeline.training_batches(split, 0, 4, 0, 1000, threads=1)
    next(stream)
    (shard,) = folder.rglob("*train.array_record-00001*")
    with shard.open("r+b") as file:
        file.write(bytes(shard.stat().st_size))
    with pytest.raises(prepared.DataError, match=f"{shard.name} is damaged: record") as caught:
        for _ in stream:
            pass
    assert "\n" not in str(caught.value)
