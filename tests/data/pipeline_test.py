"""Batches: pure functions of (seed, step), in the documented form."""

import re

import numpy as np
import pytest
import shards

from volsynth import fields
from volsynth.data import augment, decoding, fake, mixture, pairing, pipeline, prepared, schema
from volsynth.errors import UserError
from volsynth.fields import ROLES

MAGENTA = np.array([1, -1, 1], np.float32)


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
