"""Samplers: which records make an example, for pairs and for clips that a test makes up."""

import numpy as np
import pytest

from volsynth import fields
from volsynth.data import augment, decoding, pairing, pipeline, sampling
from volsynth.errors import UserError

FRAMES = 3


def _clips(split, seed, step, batch_size, single, frames):
    """A source, and the records after it as the frames of a clip."""
    first = np.arange(batch_size)[:, None] + step
    return np.concatenate([first, first + 1 + np.arange(frames)], axis=1)


@pytest.fixture
def with_clips(monkeypatch):
    """A role "clip" with a picture and joints, as a system for clips would add it."""
    for kind in ("image", "joints", "mask"):
        field = fields.OF_A_PICTURE[kind]
        monkeypatch.setitem(fields.BATCH, f"clip_{kind}", field._replace(axes=("T", *field.axes)))
    clips = sampling.Sampler(("source", "clip"), _clips, None, ("clip_image",))
    monkeypatch.setitem(sampling.SAMPLERS, "clip", clips)


@pytest.mark.usefixtures("with_clips")
def test_the_roles_of_fields_choose_the_sampler():
    pair, clip = sampling.SAMPLERS["pair"], sampling.SAMPLERS["clip"]
    assert sampling.find_sampler(fields.PAIR) is pair
    assert sampling.find_sampler(["target_joints"]) is pair
    assert sampling.find_sampler(["also_image", "target_image"]) is sampling.SAMPLERS["triple"]
    assert sampling.find_sampler(["clip_image", "source_image"]) is clip
    with pytest.raises(UserError, match=r"of the roles clip, target; known are source and target"):
        sampling.find_sampler(["clip_image", "target_image"])
    with pytest.raises(UserError, match="a batch has no field 'target_pose'"):
        sampling.find_sampler(["target_pose"])


def test_pairs_are_those_of_pairing(tiny):
    split, sampler = tiny.split("train"), sampling.SAMPLERS["pair"]
    np.testing.assert_array_equal(
        sampler.training(split, 3, 5, 4, 0.5, 1), pairing.training_pairs(split, 3, 5, 4, 0.5)
    )
    np.testing.assert_array_equal(
        sampler.evaluation(split, 3, True, 1), pairing.evaluation_pairs(split, 3, True)
    )


def test_a_triple_has_a_further_picture(tiny):
    """Read as the other two are, and changed by numbers of its own."""
    split, names = tiny.split("train"), ("source_joints", "also_joints", "target_joints")
    sampler, settings = sampling.SAMPLERS["triple"], augment.Augment(rotate=90.0)
    (batch,) = pipeline.training_batches(split, 0, 4, 5, 6, fields=names)
    records = sampler.training(split, 0, 5, 4, 0.0, 1)
    for name, numbers in zip(names, records.T, strict=True):
        stored = decoding.read_fields(split, numbers, ("joints_px",))["joints_px"]
        np.testing.assert_allclose(batch[name][..., :2], stored, atol=1e-3)
    (turned,) = pipeline.training_batches(split, 0, 4, 5, 6, fields=names, augmentation=settings)
    centre = tiny.image_size / 2
    angles = []
    for name in names:
        before, after = (b[name][:, 2, :2] - centre for b in (batch, turned))
        np.testing.assert_allclose(*(np.hypot(*p.T) for p in (before, after)), rtol=1e-4)
        angles.append(np.arctan2(*after.T) - np.arctan2(*before.T))
    for i in range(3):
        assert np.abs(angles[i] - angles[i - 1]).max() > 1e-2
    (scored,) = pipeline.evaluation_batches(split, records, 4, names)
    np.testing.assert_array_equal(scored["records"], records[:, [0, 2]])


@pytest.mark.usefixtures("with_clips")
def test_a_clip_has_an_axis_of_frames(tiny):
    split = tiny.split("train")
    names = ("source_image", "clip_image", "clip_joints")
    (batch,) = pipeline.training_batches(split, 0, 2, 4, 5, fields=names, frames=FRAMES)
    side = tiny.image_size
    assert {name: value.shape for name, value in batch.items()} == {
        "source_image": (2, side, side, 3),
        "clip_image": (2, FRAMES, side, side, 3),
        "clip_joints": (2, FRAMES, 15, 3),
    }
    shapes = fields.shapes(names, 2, side, FRAMES)
    assert {name: (value.shape, value.dtype.name) for name, value in batch.items()} == shapes
    # Example 1 of step 4: source 5, frames 6, 7, 8.
    stored = decoding.read_fields(split, [5, 6, 7, 8], ("image",))["image"]
    images = stored.astype(np.float32) / 127.5 - 1
    np.testing.assert_array_equal(batch["source_image"][1], images[0])
    np.testing.assert_array_equal(batch["clip_image"][1], images[1:])


@pytest.mark.usefixtures("with_clips")
def test_the_frames_of_a_clip_are_changed_alike(tiny):
    split, settings = tiny.split("train"), augment.Augment(rotate=90.0)
    names = ("source_joints", "clip_joints")
    plain, turned = (
        next(
            pipeline.training_batches(
                split, 0, 2, 4, 5, fields=names, frames=FRAMES, augmentation=change
            )
        )
        for change in (augment.NONE, settings)
    )
    centre = tiny.image_size / 2

    def angles(name):
        """The angle by which the neck turns about the picture's centre."""
        before, after = (batch[name][..., 2, :2] - centre for batch in (plain, turned))
        turns = [np.arctan2(p[..., 1], p[..., 0]) for p in (before, after)]
        return np.mod(turns[1] - turns[0], 2 * np.pi)

    frames = angles("clip_joints")
    np.testing.assert_allclose(frames, np.repeat(frames[:, :1], FRAMES, axis=1), atol=1e-4)
    assert abs(frames[0, 0] - frames[1, 0]) > 1e-2
    assert np.all(np.abs(frames[:, 0] - angles("source_joints")) > 1e-2)
