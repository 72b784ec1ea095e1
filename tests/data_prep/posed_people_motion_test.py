"""Motion: joint limits, smoothness, and skinning that keeps limbs whole."""

import collections

import numpy as np
import pytest

from data_prep.posed_people.body import kinematics, person, skinning
from data_prep.posed_people.motion import actions, primitives
from volsynth import skeleton

NUMBERS = (0, 1, 5, 7003)


def _skeletons(action, step=0.37, count=8):
    for number in NUMBERS:
        scales = person.draw_person(number, 0).scales
        style = primitives.draw_style(np.random.default_rng(number))
        for i in range(count):
            yield kinematics.solve(actions.pose_at(action, step * i, style), scales), scales


def _bends(joints):
    for a, b, c in (
        ("shoulder", "elbow", "wrist"),
        ("hip", "knee", "ankle"),
    ):
        for side in ("right_", "left_"):
            p, q, r = (joints[skeleton.INDEX[side + name]] for name in (a, b, c))
            u, v = q - p, r - q
            cosine = u @ v / np.linalg.norm(u) / np.linalg.norm(v)
            yield np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def test_there_are_many_actions_and_the_hard_ones_are_among_them():
    assert len(actions.ACTION_NAMES) >= 12
    assert {"arms_crossed", "sit", "sit_on_floor", "crawl", "walk"} <= set(actions.ACTION_NAMES)


@pytest.mark.parametrize("action", actions.ACTION_NAMES)
def test_elbows_and_knees_bend_within_limits_and_the_right_way(action):
    for posed, _ in _skeletons(action):
        bends = list(_bends(posed.joints))
        assert min(bends) > 5.5
        assert max(bends) < 148.5
        for limb in range(4):
            upper = posed.frames[skinning.limb_bone(limb, skinning.UPPER)]
            lower = posed.frames[skinning.limb_bone(limb, skinning.LOWER)]
            # A forearm folds towards the biceps, a shin away from the kneecap.
            toward_front = -lower[:, 1] @ upper[:, 2]
            assert toward_front > 0 if limb < 2 else toward_front < 0


@pytest.mark.parametrize("action", actions.ACTION_NAMES)
def test_bones_are_rotations_and_segments_keep_their_lengths(action):
    for posed, scales in _skeletons(action, count=3):
        unit = np.swapaxes(posed.frames, 1, 2) @ posed.frames
        np.testing.assert_allclose(unit, np.broadcast_to(np.eye(3), unit.shape), atol=1e-6)
        assert np.all(np.linalg.det(posed.frames) > 0)
        upper, lower = kinematics.segment_lengths(scales)
        limbs = posed.joints[3:].reshape(4, 3, 3)
        np.testing.assert_allclose(
            np.linalg.norm(limbs[:, 1] - limbs[:, 0], axis=1), upper, rtol=1e-6
        )
        np.testing.assert_allclose(
            np.linalg.norm(limbs[:, 2] - limbs[:, 1], axis=1), lower, rtol=1e-6
        )


@pytest.mark.parametrize("action", actions.ACTION_NAMES)
def test_motion_is_smooth(action):
    style = primitives.draw_style(np.random.default_rng(3))
    scales = person.draw_person(3, 0).scales
    step = 1 / 50
    before = None
    for frame in range(150):
        now = kinematics.solve(actions.pose_at(action, frame * step, style), scales)
        if before is not None:
            speed = np.max(np.linalg.norm(now.joints - before.joints, axis=1)) / step
            assert speed < 7.0, "m/s"
            # No bone may flip round either, which the joints would not show.
            cosine = 0.5 * (np.einsum("bij,bij->b", before.frames, now.frames) - 1)
            assert np.min(cosine) > np.cos(25.0 * step), "25 rad/s"
        before = now


def test_mirroring_a_pose_mirrors_the_joints():
    scales = person.draw_person(2, 0).scales
    pose = actions.ACTIONS["throw"](0.4, primitives.draw_style(np.random.default_rng(0)))
    straight = kinematics.solve(pose, scales).joints
    mirrored = kinematics.solve(primitives.mirrored(pose), scales).joints
    np.testing.assert_allclose(
        mirrored, straight[list(skeleton.MIRROR)] * [-1.0, 1.0, 1.0], atol=1e-9
    )


def test_every_vertex_hangs_on_weights_that_sum_to_one():
    from data_prep.posed_people.body import template

    weights = template.template().weights
    assert np.min(weights) >= 0
    np.testing.assert_allclose(weights.sum(1), 1.0, atol=1e-5)


def test_the_template_pose_skins_to_the_template():
    from data_prep.posed_people.body import template

    mesh = template.template()
    ones = np.ones((skinning.NUM_BONES, 3))
    matrices = skinning.bone_matrices(skinning.REST_FRAMES, skinning.REST_ORIGINS, ones)
    np.testing.assert_allclose(
        skinning.skin(mesh.points, mesh.weights, matrices), mesh.points, atol=1e-5
    )


def test_the_template_is_closed_and_its_triangles_face_outward():
    from data_prep.posed_people.body import template

    mesh = template.template()
    edges = np.concatenate(
        [mesh.triangles[:, [0, 1]], mesh.triangles[:, [1, 2]], mesh.triangles[:, [2, 0]]]
    )
    there, back = (
        collections.Counter(map(tuple, edges.tolist())),
        collections.Counter(map(tuple, edges[:, ::-1].tolist())),
    )
    assert there == back, "every edge is used once in each direction: there is no hole"
    a, b, c = (mesh.points[mesh.triangles[:, i]].astype(float) for i in range(3))
    litres = 1000 * np.sum(np.cross(a, b) * c) / 6
    assert 50 < litres < 80
