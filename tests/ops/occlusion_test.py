"""Silhouettes of parts and where they overlap: planted poses, and pixels drawn one by one."""

import jax
import numpy as np
import pytest

from volsynth import skeleton
from volsynth.data import fake
from volsynth.ops import occlusion, pose_volumes

SIDE = 64
INDEX = skeleton.INDEX
EVERYWHERE = np.ones((1, SIDE, SIDE), bool)
VISIBLE = np.ones((1, 15), bool)

_silhouettes = jax.jit(pose_volumes.part_silhouettes, static_argnums=(2, 3, 4))
_masks = jax.jit(pose_volumes.part_masks, static_argnums=(2, 3, 4))
_scale = jax.jit(pose_volumes.person_scale)
_overlapping = jax.jit(occlusion.overlapping_parts, static_argnums=3)
_occluded = jax.jit(occlusion.self_occluded, static_argnums=3)

SPREAD = {
    **{"head_top": (32, 4), "head": (32, 8), "neck": (32, 14)},
    **{"right_shoulder": (26, 16), "right_elbow": (15, 16), "right_wrist": (4, 16)},
    **{"left_shoulder": (38, 16), "left_elbow": (49, 16), "left_wrist": (60, 16)},
    **{"right_hip": (27, 34), "right_knee": (23, 46), "right_ankle": (19, 58)},
    **{"left_hip": (37, 34), "left_knee": (41, 46), "left_ankle": (45, 58)},
}
"""Seen from the front, arms level, legs apart."""


def _joints(**moved):
    places = SPREAD | moved
    flat = np.array([places[name] for name in skeleton.JOINTS], np.float32) + 0.5
    return np.concatenate([flat, np.full((15, 1), SIDE / 2, np.float32)], axis=1)[None]


# --- silhouettes ---------------------------------------------------------------------------------


def test_silhouettes_are_the_masks_seen_along_the_depth():
    joints, visible = fake.poses(2, 32), np.ones((2, 15), bool)
    visible[1, INDEX["left_knee"]] = False
    masks = _masks(joints, visible, (16, 16, 16), 32.0, 0.2)
    got = _silhouettes(joints, visible, (16, 16), 32.0, 0.2)
    np.testing.assert_array_equal(got, np.any(masks, axis=-1))
    assert not got[1, skeleton.PART_NAMES.index("left_upper_leg")].any()
    far = joints + np.array([0, 0, 500], np.float32)
    np.testing.assert_array_equal(_silhouettes(far, visible, (16, 16), 32.0, 0.2), got)


# --- self-occlusion ------------------------------------------------------------------------------


def test_nothing_is_hidden_where_arms_and_legs_are_spread():
    assert not _occluded(_joints(), VISIBLE, EVERYWHERE).any()


def test_an_arm_in_front_of_the_torso_hides_it_and_nothing_else():
    folded = _joints(right_elbow=(20, 25), right_wrist=(36, 25))
    region = np.asarray(_occluded(folded, VISIBLE, EVERYWHERE))[0]
    assert region[25, 28:36].all()
    y, x = np.nonzero(region)
    # The lower arm lies level with its height, and its fork with the upper one at the elbow.
    assert y.min() >= 20
    assert y.max() <= 28
    assert x.min() >= 20
    assert x.max() <= 39


def test_either_arm_or_both_legs_one_behind_the_other():
    left = _joints(left_elbow=(44, 25), left_wrist=(28, 25))
    region = np.asarray(_occluded(left, VISIBLE, EVERYWHERE))[0]
    assert region[25, 28:36].all()
    side_on = _joints(left_hip=(28, 34), left_knee=(24, 46), left_ankle=(20, 58))
    region = np.asarray(_occluded(side_on, VISIBLE, EVERYWHERE))[0]
    assert region[46, 23]
    assert region[57, 20]
    assert not region[:25].any()


def test_an_upper_arm_before_the_torso_counts_beyond_the_shoulder():
    across = _joints(right_elbow=(32, 28), right_wrist=(32, 29))
    region = np.asarray(_occluded(across, VISIBLE, EVERYWHERE))[0]
    assert region[27, 32]
    assert not region[16, 26]


def test_only_the_person_counts_and_no_part_that_is_unknown():
    folded = _joints(right_elbow=(20, 25), right_wrist=(36, 25))
    whole = np.asarray(_occluded(folded, VISIBLE, EVERYWHERE))
    half = EVERYWHERE.copy()
    half[:, :, :30] = False
    for mask in (half, half.astype(np.float32)):
        np.testing.assert_array_equal(_occluded(folded, VISIBLE, mask), whole & half)
    visible = VISIBLE.copy()
    visible[0, INDEX["right_wrist"]] = False
    without = np.asarray(_occluded(folded, visible, EVERYWHERE))
    # The upper arm alone leads away from the torso.
    assert whole[0, 25, 28:36].all()
    assert not without[0, 25, 28:36].any()


@pytest.mark.parametrize("width", [0.13, 0.25])
def test_the_region_equals_pairs_counted_pixel_by_pixel(width):
    joints, visible = fake.poses(2, 24), np.ones((2, 15), bool)
    mask = np.random.default_rng(0).uniform(size=(2, 24, 24)) < 0.8
    got = np.asarray(_occluded(joints, visible, mask, width))
    parts = np.asarray(_silhouettes(joints, visible, (24, 24), 24.0, width))
    which = np.asarray(_overlapping(joints, visible, mask, width))
    np.testing.assert_array_equal(which.any(axis=1), got)
    scale = np.asarray(_scale(joints, visible))
    met = {(0, 1): {INDEX["neck"]}}
    for i, first in enumerate(skeleton.PARTS):
        for j, second in enumerate(skeleton.PARTS):
            met.setdefault((i, j), set(first.joints) & set(second.joints))
    for b, y, x in np.ndindex(got.shape):
        radius = 2 * (max(round(float(width * scale[b]) - 0.5), 1) + 0.5)
        seen = np.nonzero(parts[b, :, y, x])[0]
        pairs = [
            (i, j)
            for i in seen
            for j in seen
            if i < j
            and all(np.hypot(*(joints[b, k, :2] - (x + 0.5, y + 0.5))) > radius for k in met[i, j])
        ]
        assert got[b, y, x] == (bool(pairs) and mask[b, y, x]), (b, y, x)
        members = {part for pair in pairs for part in pair} if mask[b, y, x] else set()
        assert set(np.nonzero(which[b, :, y, x])[0]) == members, (b, y, x)
    assert got.any()
