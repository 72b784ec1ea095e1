"""Part masks against drawing and dilating, the scale of persons, and joints that are hidden."""

import math

import numpy as np
import posing
import pytest
from posing import INDEX, PART, SIDE, VISIBLE

import oracles
from volsynth import skeleton
from volsynth.data import fake
from volsynth.ops import pose_volumes


def _drawn(joints, visible, shape, across, along):
    """All masks of one person by drawing and dilating."""
    step = SIDE / np.array(shape, np.float64)
    voxels = np.asarray(joints, np.float64)[:, [1, 0, 2]] / step
    masks = []
    for part in skeleton.PARTS:
        ends = [(i, j) for i in part.joints for j in part.joints if i < j]
        lines = (
            [(voxels[i], voxels[j]) for i, j in ends] if visible[list(part.joints)].all() else []
        )
        masks.append(oracles.draw_and_dilate(lines, shape, along, across - along))
    return np.stack(masks)


@pytest.mark.parametrize(("low", "high"), [(0.1, 0.9), (-0.5, 1.5)])
@pytest.mark.parametrize("shape", [(16, 16, 16), (12, 12, 5), (9, 11, 6), (16, 16, 1)])
def test_masks_equal_drawing_and_dilating(shape, low, high):
    joints, visible = posing.joints(len(shape) + shape[2], low=low, high=high), VISIBLE.copy()
    visible[1, INDEX["left_knee"]] = False
    scale = np.linalg.norm(
        joints[:, list(skeleton.SHOULDERS)] - joints[:, list(skeleton.HIPS)], axis=-1
    ).mean(axis=-1)
    got = np.asarray(posing.masks(joints, visible, shape, SIDE, 0.2))
    for b in range(2):
        across = max(round(0.2 * scale[b] * shape[1] / SIDE - 0.5), 1)
        along = math.ceil(across * shape[2] / shape[1] - 0.5)  # Halves go down.
        np.testing.assert_array_equal(got[b], _drawn(joints[b], visible[b], shape, across, along))
    assert got[0].any()
    assert not got[0].all()


def test_masks_of_lines_along_the_axes():
    """Along an axis two of three intervals are everything or nothing."""
    joints = np.full((3, 15, 3), 17.3, np.float32)
    for axis in range(3):
        joints[axis, INDEX["right_elbow"], axis] = 6.1
    joints[:, list(skeleton.HIPS), 1] = 37.3  # Scale 20, so 0.2 of it are 4 pixels.
    shape = (16, 16, 8)
    got = np.asarray(posing.masks(joints, np.ones((3, 15), bool), shape, SIDE, 0.2))
    for b in range(3):
        wanted = _drawn(joints[b], VISIBLE[0], shape, 2, 1)
        np.testing.assert_array_equal(got[b], wanted)


def test_an_invisible_joint_empties_its_parts_and_no_other():
    joints = fake.poses(2, 32)
    shape = (16, 16, 8)
    full = np.asarray(posing.masks(joints, VISIBLE, shape, SIDE, 0.2))
    assert full.any(axis=(2, 3, 4)).all()
    got = np.asarray(posing.masks(joints, posing.hidden("right_elbow"), shape, SIDE, 0.2))
    gone = [PART["right_upper_arm"], PART["right_lower_arm"]]
    assert not got[:, gone].any()
    kept = [p for p in range(10) if p not in gone]
    np.testing.assert_array_equal(got[:, kept], full[:, kept])


def test_nothing_depends_on_where_an_invisible_joint_is():
    joints, visible = fake.poses(2, 32), posing.hidden("left_hip", "left_wrist")
    elsewhere = np.where(visible[..., None], joints, np.float32(1e4))
    shape = (16, 16, 8)
    for f in (
        lambda j: posing.masks(j, visible, shape, SIDE, 0.2),
        lambda j: posing.heatmaps(j, visible, (4, 4, 4), SIDE, 2.0),
        lambda j: posing.scale(j, visible),
    ):
        np.testing.assert_array_equal(f(joints), f(elsewhere))
    here, there = (posing.transforms(j, visible, j[::-1], visible) for j in (joints, elsewhere))
    valid = np.asarray(here.valid)
    np.testing.assert_array_equal(valid, there.valid)
    np.testing.assert_allclose(here.matrix[valid], there.matrix[valid], atol=1e-5)
    assert np.all(np.isfinite(there.matrix))
    assert np.all(np.isfinite(there.offset))


def test_person_scale_is_the_mean_of_the_visible_sides():
    joints = np.zeros((4, 15, 3), np.float32)
    joints[:, INDEX["right_hip"]] = (0, 3, 4)
    joints[:, INDEX["left_hip"]] = (0, 0, 15)
    visible = np.ones((4, 15), bool)
    visible[1, INDEX["left_shoulder"]] = False
    visible[2, INDEX["right_hip"]] = False
    visible[3, list(skeleton.HIPS)] = False
    np.testing.assert_allclose(posing.scale(joints, visible), [10, 5, 15, 0])


def test_masks_and_their_dilations_grow_with_the_person():
    joints = fake.poses(2, 32) - 16
    shape = (32, 32, 12)
    sizes, counts = [], []
    for factor in (0.3, 0.5, 0.7, 0.9):
        person = (factor * joints + 16).astype(np.float32)
        masks = posing.masks(person, VISIBLE, shape, SIDE, 0.5)
        sizes.append(np.asarray(masks.sum(axis=(2, 3, 4))))
        scale = posing.scale(person, VISIBLE)
        counts.append(np.asarray(pose_volumes.mask_dilations(scale, shape, SIDE, 0.5)))
    assert np.all(np.diff(sizes, axis=0).sum(axis=2) > 0)
    assert np.all(sizes[-1] > sizes[0])
    assert np.all(np.diff(counts, axis=0) >= 0)
    assert np.all(counts[-1][0] > counts[0][0])
    for across, along in counts:
        assert np.all(across == np.round(across))
        np.testing.assert_array_equal(along, np.ceil(across * 12 / 32 - 0.5))
