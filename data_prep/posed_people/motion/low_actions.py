"""Actions of people who sit, kneel or crawl: the pose at a time, as a smooth function of it.

Units are those of `kinematics.Pose`: an arm's or a leg's length, (outward, up, forward), radians.
Where an action has a leading side it is written for the right one; `actions.pose_at` mirrors it.
"""

import numpy as np

from data_prep.posed_people.body.kinematics import Pose
from data_prep.posed_people.motion.primitives import Style, pair, sine, stand

SEATED_LEG = (0.10, -0.47, 0.50)
"""The position of the ankle of a person who sits on a chair."""

KNEELING_LEG = (0.06, -0.51, -0.47)
"""The position of the ankle of a kneeling leg."""

KNEES_DOWN = (0.10, -0.6, 0.8)
"""The direction in which the knee of a kneeling leg points."""


def sit(t: float, s: Style) -> Pose:
    """Sits as on a chair, hands on the thighs."""
    b = 0.02 * sine(t, 0.2, s)
    return stand(
        pelvis=[-0.12, 0.0, 0.0],
        spine=[0.12 + 0.08 * s.wiggle[0], 0.0, b],
        ankles=pair(SEATED_LEG, (0.12, -0.47, 0.44)),
        knees=pair((0.10, 0.5, 1.0)),
        toes=pair((0.15, 0.0, 1.0)),
        wrists=pair((-0.06, -0.55, 0.60), (-0.04, -0.56, 0.55 + b)),
        elbows=pair((0.7, -0.4, -0.7)),
        palms=pair((-0.1, -1.0, -0.1)),
        grip=[0.1, 0.1],
    )


def sit_cross_legged(t: float, s: Style) -> Pose:
    """Sits on the floor with crossed legs."""
    b = 0.02 * sine(t, 0.2, s)
    return stand(
        pelvis=[0.10, 0.0, 0.0],
        spine=[0.10, 0.0, b],
        ankles=pair((-0.24, -0.09, 0.33), (-0.22, -0.10, 0.44)),
        knees=pair((1.0, 0.05, 0.75)),
        toes=pair((-0.8, -0.25, 0.45)),
        wrists=pair((0.06, -0.60, 0.56), (0.08, -0.60, 0.55 + b)),
        elbows=pair((0.9, -0.4, -0.5)),
        palms=pair((-0.2, -1.0, 0.0)),
    )


def sit_on_floor(t: float, s: Style) -> Pose:
    """Sits on the floor, leaning back on both hands."""
    b = 0.04 * sine(t, 0.25, s)
    return stand(
        # Leaning back onto the arms.
        pelvis=[-0.32, 0.0, 0.0],
        spine=[0.14, 0.0, 0.0],
        neck=[0.12, 0.0, 0.0],
        ankles=pair((0.10, -0.10, 0.93), (0.06, -0.10, 0.66 + b)),
        knees=pair((0.1, 1.0, 0.15)),
        toes=pair((0.25, 0.9, 0.35), (0.2, 0.35, 0.9)),
        wrists=pair((0.22, -0.86, -0.22)),
        elbows=pair((0.5, 0.0, -1.0)),
        palms=pair((0.1, -1.0, 0.3)),
        # Hands lie flat behind the body and carry it.
        grip=[-0.9, -0.9],
    )


def crawl(t: float, s: Style) -> Pose:
    """Crawls on hands and knees, on the spot."""
    # Knee and opposite hand go forward together.
    step = 0.14 * s.size * np.array([sine(t, 0.5, s), sine(t, 0.5, s, np.pi)])
    ankles = np.stack([0.05 * np.ones(2), np.full(2, -0.515), -0.46 + step], -1)
    wrists = np.stack([0.05 * np.ones(2), 0.06 - step, np.full(2, 0.93)], -1)
    return stand(
        # The trunk lies nearly level, so that hips and hands have one height.
        pelvis=[1.34, 0.0, 0.0],
        spine=[0.08, 0.0, 0.3 * step[0]],
        # One looks ahead, not at the floor.
        neck=[-0.75, 0.0, 0.0],
        ankles=ankles,
        knees=pair((0.10, -0.7, 0.6)),
        toes=pair((0.0, -0.25, -1.0)),
        wrists=wrists,
        elbows=pair((0.8, -0.8, 0.0)),
        palms=pair((0.0, -0.2, 1.0)),
        grip=[-1.1, -1.1],
    )


def kneel(t: float, s: Style) -> Pose:
    """Kneels on both knees, hands on the thighs."""
    b = 0.03 * sine(t, 0.3, s)
    return stand(
        pelvis=[0.04, 0.0, 0.0],
        ankles=pair(KNEELING_LEG),
        knees=pair(KNEES_DOWN),
        toes=pair((0.0, -0.3, -1.0)),
        wrists=pair((-0.02, -0.66, 0.50 + b)),
        elbows=pair((0.7, -0.2, -0.7)),
        palms=pair((-0.3, -1.0, 0.0)),
    )


def half_kneel(t: float, s: Style) -> Pose:
    """Kneels on one knee, with the other foot in front."""
    b = 0.03 * sine(t, 0.3, s)
    return stand(
        pelvis=[0.06, 0.0, 0.0],
        spine=[0.08 + b, 0.0, 0.0],
        ankles=pair((0.10, -0.49, 0.47), KNEELING_LEG),
        knees=pair((0.15, 0.5, 1.0), KNEES_DOWN),
        toes=pair((0.15, 0.0, 1.0), (0.0, -0.35, -1.0)),
        wrists=pair((0.0, -0.45, 0.66), (0.15, -0.92, 0.10)),
        elbows=pair((0.7, -0.4, -0.5)),
        palms=pair((-0.2, -1.0, 0.0), (-1.0, 0.0, 0.0)),
    )
