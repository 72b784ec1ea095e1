"""Batches: pure functions of (seed, step), in the documented form; errors name records."""

import os
import re
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
import shards

from volsynth import fields
from volsynth.data import (
    augment,
    decoding,
    fake,
    mixture,
    pairing,
    pipeline,
    prepared,
    sampling,
    schema,
)
from volsynth.errors import UserError
from volsynth.fields import ROLES

READ = ("image", "mask", "joints_px", "joints_mm", "visible", "camera_intrinsics")
MAGENTA = np.array([1, -1, 1], np.float32)


@pytest.fixture(scope="module")
def train(tiny):
    return tiny.split("train")


@pytest.fixture(scope="module")
def batches(train):
    """The batches of the steps 0 to 4."""
    return list(pipeline.training_batches(train, 3, 4, 0, 5))


# --- batches -------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [1, 3])
def test_batches_from_a_later_step_on_are_those_of_an_uninterrupted_run(train, batches, start):
    resumed = list(pipeline.training_batches(train, 3, 4, start, 5))
    assert len(resumed) == 5 - start
    for batch, wanted in zip(resumed, batches[start:]):
        assert batch.keys() == wanted.keys()
        for key in batch:
            np.testing.assert_array_equal(batch[key], wanted[key])


def test_no_steps_are_no_batches(train):
    assert list(pipeline.training_batches(train, 3, 4, 5, 5)) == []


def _forms(batch):
    return {name: (value.shape, value.dtype) for name, value in batch.items()}


def test_batches_hold_the_fields_of_a_pair(batches):
    shapes = {"image": (4, 32, 32, 3), "mask": (4, 32, 32), "joints": (4, 15, 3)}
    shapes["joints_mm"] = shapes["joints"]
    for batch in batches:
        assert tuple(batch) == fields.PAIR
        assert _forms(batch) == fields.shapes(fields.PAIR, 4, 32)
        for role in ROLES:
            for key in ("image", "mask", "joints", "joints_mm", "visible"):
                assert batch[f"{role}_{key}"].shape == shapes.get(key, (4, 15))


@pytest.mark.parametrize("name", fields.BATCH)
def test_each_field_is_in_real_and_fake_batches_as_the_table_says(tiny, train, name):
    form = fields.shapes([name], 3, 32)
    (trained,) = pipeline.training_batches(train, 3, 3, 0, 1, fields=[name])
    split = tiny.split("test")
    pairs = pairing.evaluation_pairs(split, 0)[:3]
    (scored,) = pipeline.evaluation_batches(split, pairs, 3, [name])
    assert _forms(trained) == form
    assert _forms(scored) == form | fields.shapes(fields.EVALUATION, 3, 32)
    invented, spec = fake.batch(3, 32, fields=[name]), fake.spec(3, 32, [name])
    assert _forms(invented) == _forms(spec) == form
    field = fields.BATCH[name]
    for value in (trained[name], scored[name], invented[name]):
        assert field.low is None or value.min() >= field.low
        assert field.high is None or value.max() <= field.high


SOME = [
    ("target_joints",),
    ("target_image", "source_joints"),
    ("source_image", "target_mask", "source_parts"),
    ("target_visible", "source_depth", "target_depth"),
]


@pytest.mark.parametrize("names", SOME, ids=str)
@pytest.mark.parametrize("changes", [{}, {"rotate": 30, "hue": 0.2, "occlude": 0.5}], ids=str)
def test_a_field_holds_the_same_whichever_others_are_asked_for(train, names, changes):
    def first(names):
        augmentation = augment.Augment(**changes)
        stream = pipeline.training_batches(
            train, 3, 4, 0, 1, augmentation=augmentation, fields=names
        )
        return next(stream)

    # Of the same sampler: a further picture makes other examples.
    pair = tuple(name for name in fields.BATCH if not name.startswith(fields.ALSO))
    found, everything = first(names), first(pair)
    assert tuple(found) == names
    for name, value in found.items():
        np.testing.assert_array_equal(value, everything[name])


def test_only_what_the_fields_need_is_decoded(train, tmp_path):
    records = shards.examples(train, range(4))
    for record in records:
        for name in ("image", "mask", "parts", "depth"):
            del record.features.feature[name]
    split = shards.write(tmp_path, {"train": records}).split("train")
    names = [f"{role}_{kind}" for role in ROLES for kind in ("joints", "joints_mm", "visible")]
    changes = augment.Augment(rotate=30, hue=0.2, occlude=0.5)
    (found,) = pipeline.training_batches(split, 0, 4, 0, 1, augmentation=changes, fields=names)
    assert list(found) == names
    with pytest.raises(schema.RecordError, match="field 'mask' is missing"):
        next(pipeline.training_batches(split, 0, 4, 0, 1, fields=["target_mask"]))


@pytest.mark.usefixtures("_unchecked")
def test_records_of_a_role_that_is_not_asked_for_are_not_read(tiny):
    split = _Counting(tiny.split("test"))
    pairs = np.array([[0, 1], [2, 3]])
    list(pipeline.evaluation_batches(split, pairs, 2, ["target_joints"]))
    list(pipeline.evaluation_batches(split, pairs, 2, ["target_image", "source_joints"]))
    assert split.numbers == [[1, 3], [0, 2], [1, 3]]


def test_a_field_that_a_data_set_does_not_store_cannot_be_trained_on(train, tmp_path):
    records = shards.examples(train, range(4))
    for record in records:
        del record.features.feature["depth"]
    data = shards.write(tmp_path, {"train": records})
    own = data.split("train")
    for split in (own, mixture.MixedSplit((train, own), (0.9, 0.1))):
        pipeline.training_batches(split, 0, 4, 0, 1, fields=["target_parts"])
        message = f" of split 'train' in {data.folder} has nothing to make target_depth of ("
        with pytest.raises(prepared.DataError, match=re.escape(message)) as caught:
            pipeline.training_batches(split, 0, 4, 0, 1, fields=["target_parts", "target_depth"])
        assert "\n" not in str(caught.value)


def test_images_fill_their_range_and_have_a_magenta_background(batches):
    for batch in batches:
        for role in ROLES:
            image, mask = batch[f"{role}_image"], batch[f"{role}_mask"]
            assert image.min() == -1
            assert image.max() == 1
            background = image[~mask]
            np.testing.assert_array_equal(background, np.broadcast_to(MAGENTA, background.shape))
            assert np.mean(np.any(image[mask] != MAGENTA, axis=-1)) > 0.99
            assert 0.02 < np.mean(mask) < 0.5


def test_joints_lie_on_the_person_and_their_mean_depth_in_the_middle(batches):
    for batch in batches:
        for role in ROLES:
            joints, visible = batch[f"{role}_joints"], batch[f"{role}_visible"]
            assert np.all((joints[visible][:, :2] > 0) & (joints[visible][:, :2] < 32))
            for i in range(4):
                np.testing.assert_allclose(joints[i, visible[i], 2].mean(), 16, atol=1e-4)
                # x is the column and y the row of the mask; a bone may cross a gap by a pixel.
                column, row = np.floor(joints[i, :, :2]).astype(int).T
                assert np.mean(batch[f"{role}_mask"][i, row, column]) > 0.8
            assert np.ptp(joints[..., 2]) > 2


def test_sources_and_targets_are_the_first_and_second_of_each_pair(train, batches):
    for step, batch in enumerate(batches):
        pairs = pairing.training_pairs(train, 3, step, 4)
        for column, role in enumerate(ROLES):
            stored = decoding.read_fields(
                train, pairs[:, column], ["image", "joints_px", "joints_mm"]
            )
            image = stored["image"].astype(np.float32) / 127.5 - 1
            np.testing.assert_array_equal(batch[f"{role}_image"], image)
            np.testing.assert_array_equal(batch[f"{role}_joints"][..., :2], stored["joints_px"])
            hips = stored["joints_mm"][:, [9, 12]]
            wanted = stored["joints_mm"] - hips.mean(axis=1, keepdims=True)
            np.testing.assert_array_equal(batch[f"{role}_joints_mm"], wanted)


def test_joints_that_are_not_visible_do_not_count_in_the_mean_depth(train, tmp_path):
    (example,) = shards.examples(train, [0])
    feature = example.features.feature
    feature["visible"].int64_list.value[:] = [1, 0, 1] + [0] * 12
    data = shards.write(tmp_path, {"train": [example]})
    (batch,) = pipeline.training_batches(data.split("train"), 0, 1, 0, 1)
    visible, depth = batch["target_visible"][0], batch["target_joints"][0, :, 2]
    assert visible.tolist() == [True, False, True] + [False] * 12
    np.testing.assert_allclose(depth[visible].mean(), 16, atol=1e-4)
    assert abs(depth.mean() - 16) > 0.05


def test_the_last_evaluation_batch_is_filled_and_marked(tiny):
    split = tiny.split("test")
    pairs = pairing.evaluation_pairs(split, 0)[:7]
    found = list(pipeline.evaluation_batches(split, pairs, 3))
    assert [b["valid"].tolist() for b in found] == [[True] * 3, [True] * 3, [True, False, False]]
    assert all(b["target_image"].shape == (3, 32, 32, 3) for b in found)
    assert all(b["valid"].dtype == bool for b in found)
    joints = np.concatenate([b["target_joints"][b["valid"]] for b in found])
    wanted = decoding.read_fields(split, pairs[:, 1], ["joints_px"])["joints_px"]
    np.testing.assert_array_equal(joints[..., :2], wanted)
    (whole,) = pipeline.evaluation_batches(split, pairs, 7)
    assert whole["valid"].all()
    assert list(pipeline.evaluation_batches(split, pairs[:0], 3)) == []


def test_evaluation_batches_hold_labels_and_depth_where_asked(tiny):
    split = tiny.split("test")
    pairs = pairing.evaluation_pairs(split, 0)[:5]
    plain = list(pipeline.evaluation_batches(split, pairs, 3))
    optional = [f"{role}_{key}" for role in ROLES for key in ("parts", "depth")]
    found = list(pipeline.evaluation_batches(split, pairs, 3, (*fields.PAIR, *optional)))
    for before, batch in zip(plain, found, strict=True):
        assert set(batch) - set(before) == set(optional)
        for key, value in before.items():
            np.testing.assert_array_equal(batch[key], value)
        for role in ROLES:
            labels, depth = batch[f"{role}_parts"], batch[f"{role}_depth"]
            np.testing.assert_array_equal(labels > 0, batch[f"{role}_mask"])
            np.testing.assert_array_equal(depth > 0, batch[f"{role}_mask"])
    for column, role in enumerate(ROLES):
        stored = decoding.read_fields(split, pairs[:, column], ["parts", "depth"])
        for key, want in stored.items():
            got = np.concatenate([batch[f"{role}_{key}"] for batch in found])
            np.testing.assert_array_equal(got[:5], want[..., 0])
    assert list(pipeline.evaluation_batches(split, pairs[:0], 3, ("target_parts",))) == []


def test_evaluation_batches_lack_what_the_data_set_has_not(train, tmp_path):
    records = shards.examples(train, range(4))
    for record in records:
        del record.features.feature["parts"]
    split = shards.write(tmp_path, {"train": records}).split("train")
    pairs = np.array([[0, 1], [2, 3]])
    (batch,) = pipeline.evaluation_batches(split, pairs, 2, ("source_parts", "target_depth"))
    assert set(batch) == {"target_depth", "valid", "records"}
    # The first target decides: what it has, the others must have.
    del records[3].features.feature["depth"]
    split = shards.write(tmp_path / "uneven", {"train": records}).split("train")
    with pytest.raises(schema.RecordError, match=r"record 3 .* field 'depth' is missing"):
        list(pipeline.evaluation_batches(split, pairs, 2, ("target_depth",)))


def test_an_unknown_field(train):
    message = r"a batch has no field 'target_part'; did you mean 'target_parts'\?"
    with pytest.raises(UserError, match=message):
        next(pipeline.evaluation_batches(train, np.array([[0, 1]]), 1, ("target_part",)))
    with pytest.raises(UserError, match=message):
        next(pipeline.training_batches(train, 0, 1, 0, 1, fields=("target_part",)))
    with pytest.raises(UserError, match=message):
        fake.batch(1, 32, fields=("target_part",))


# --- bad records ---------------------------------------------------------------------------------


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


# --- hosts, late starts, threads -----------------------------------------------------------------


@pytest.mark.parametrize("hosts", [1, 2, 4])
def test_hosts_together_make_the_whole_batch(train, batches, hosts):
    share = 4 // hosts
    streams = [
        pipeline.training_batches(train, 3, 4, 0, 5, rows=slice(h * share, (h + 1) * share))
        for h in range(hosts)
    ]
    for whole, *parts in zip(batches, *streams, strict=True):
        for key, value in whole.items():
            assert len(parts[0][key]) == share
            np.testing.assert_array_equal(np.concatenate([p[key] for p in parts]), value)


def test_rows_that_are_none(train):
    with pytest.raises(ValueError, match=r"slice\(4, 8, None\) is no row of a batch of 4"):
        pipeline.training_batches(train, 3, 4, 0, 5, rows=slice(4, 8))


class _Counting:
    """A split that counts what is read of it."""

    def __init__(self, split):
        self.split, self.numbers = split, []

    def __getattr__(self, name):
        return getattr(self.split, name)

    def read(self, numbers):
        self.numbers.append([int(n) for n in numbers])
        return self.split.read(numbers)


@pytest.mark.usefixtures("_unchecked")
@pytest.mark.parametrize("start", [0, 100_000])
def test_a_late_start_reads_no_more_than_an_early_one(train, start, monkeypatch):
    drawn, real = [], pairing.training_pairs

    def pairs(split, seed, step, batch_size, single, frames):
        drawn.append(step)
        return real(split, seed, step, batch_size, single)

    counting = sampling.SAMPLERS["pair"]._replace(training=pairs)
    monkeypatch.setitem(sampling.SAMPLERS, "pair", counting)
    counted = _Counting(train)
    stream = pipeline.training_batches(counted, 3, 4, start, 10**9, threads=2)
    assert (drawn, counted.numbers) == ([], [])
    batch, *_ = (next(stream) for _ in range(3))
    deadline = time.monotonic() + 20
    while len(counted.numbers) < 3 + 2 * pipeline._AHEAD and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.2)  # More would have begun by now.
    stream.close()
    assert set(drawn) == set(range(start, start + 3 + 2 * pipeline._AHEAD))
    assert len(counted.numbers) == len(drawn) == 3 + 2 * pipeline._AHEAD
    stored = decoding.read_fields(train, real(train, 3, start, 4)[:, 0], ["image"])
    np.testing.assert_array_equal(
        batch["source_image"], stored["image"].astype(np.float32) / 127.5 - 1
    )


@pytest.mark.parametrize("threads", [1, 3])
def test_the_number_of_threads_changes_nothing(train, batches, threads):
    found = list(pipeline.training_batches(train, 3, 4, 0, 5, threads=threads))
    for batch, wanted in zip(found, batches, strict=True):
        for key in wanted:
            np.testing.assert_array_equal(batch[key], wanted[key])


def test_a_number_of_threads(monkeypatch):
    assert pipeline.thread_count(3) == 3
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    assert pipeline.thread_count(-1) == pipeline.MOST_THREADS
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert pipeline.thread_count(-1) == 3
    for wrong in (0, -2):
        with pytest.raises(UserError, match=f"threads must be at least 1, or -1 .*, got {wrong}"):
            pipeline.thread_count(wrong)


def test_a_program_that_ends_amid_batches_ends(data_dir):
    program = (
        "import sys\n"
        "from volsynth.data import pipeline, prepared\n"
        "split = prepared.open_prepared(sys.argv[1], 'posed_people', 'tiny').split('train')\n"
        "stream = pipeline.training_batches(split, 0, 8, 0, 10**6)\n"
        "print([len(next(stream)) for _ in range(3)])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(data_dir)], capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stdout) == (0, "[10, 10, 10]\n")


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
