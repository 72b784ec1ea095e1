"""The fifteen joints from 33 landmarks: which landmark is which joint, and what is placed."""

import numpy as np
import scipy.spatial.transform

from volsynth import skeleton
from volsynth.photographs import joints

# BlazePose's numbers of the landmarks that are joints (Bazarevsky et al. 2020, figure 4).
NUMBERS = {
    "left_shoulder": 11,
    "right_shoulder": 12,
    "left_elbow": 13,
    "right_elbow": 14,
    "left_wrist": 15,
    "right_wrist": 16,
    "left_hip": 23,
    "right_hip": 24,
    "left_knee": 25,
    "right_knee": 26,
    "left_ankle": 27,
    "right_ankle": 28,
}


def _standing():
    """Landmarks in metres of somebody who stands and faces the camera, y down."""
    world = np.random.default_rng(0).normal(0, 0.02, (33, 3))
    places = {
        2: (0.03, -0.66, -0.1),
        5: (-0.03, -0.66, -0.1),
        7: (0.07, -0.64, 0),
        8: (-0.07, -0.64, 0),
    }
    places |= {9: (0.02, -0.58, -0.1), 10: (-0.02, -0.58, -0.1)}
    places |= {11: (0.18, -0.5, 0), 12: (-0.18, -0.5, 0), 23: (0.1, 0, 0), 24: (-0.1, 0, 0)}
    places |= {25: (0.1, 0.4, 0), 26: (-0.1, 0.4, 0), 27: (0.1, 0.8, 0), 28: (-0.1, 0.8, 0)}
    for number, place in places.items():
        world[number] = place
    return world


def _points(world):
    return 200 * world[:, :2] + (300, 250)


def test_limbs_are_the_landmarks_of_their_names():
    world, visibility = _standing(), np.linspace(0, 1, 33)
    made = joints.joints(_points(world), world, visibility)
    for name, number in NUMBERS.items():
        i = skeleton.INDEX[name]
        np.testing.assert_allclose(made.mm[i], 1000 * world[number])
        np.testing.assert_allclose(made.px[i], _points(world)[number])
        assert made.visibility[i] == visibility[number]


def test_head_and_neck_are_placed_by_proportions():
    world = _standing()
    made = joints.joints(_points(world), world, np.ones(33))
    top, head, neck = made.mm[:3]
    np.testing.assert_allclose(head, [0, -640, 0], atol=1e-9)
    np.testing.assert_allclose(neck, [0, -500 * (1 + joints.NECK), 0], atol=1e-9)
    np.testing.assert_allclose(top, [0, -640 - 500 * joints.HEAD_TOP, 0], atol=1e-9)
    # In pixels likewise, at the scale of the limbs.
    np.testing.assert_allclose(made.px[:3], 0.2 * made.mm[:3, :2] + (300, 250), atol=2)


def test_the_least_visible_of_two_landmarks_counts():
    visibility = np.ones(33)
    visibility[[7, 12]] = 0.25, 0.5
    made = joints.joints(_points(_standing()), _standing(), visibility)
    np.testing.assert_allclose(made.visibility[:4], [0.25, 0.25, 0.5, 0.5])


def test_joints_turn_with_the_landmarks():
    world = _standing()
    turn = scipy.spatial.transform.Rotation.from_euler("xyz", [0.3, -1.0, 2.0]).as_matrix()
    made = joints.joints(_points(world), world, np.ones(33))
    turned = joints.joints(_points(world @ turn.T), world @ turn.T, np.ones(33))
    np.testing.assert_allclose(turned.mm, made.mm @ turn.T, atol=1e-9)


def test_landmarks_that_coincide_give_finite_joints():
    made = joints.joints(np.zeros((33, 2)), np.zeros((33, 3)), np.zeros(33))
    assert np.isfinite(made.px).all()
    assert np.isfinite(made.mm).all()
