"""Actions of people who stand on their feet: the pose at a time, as a smooth function of it.

Units are those of `kinematics.Pose`: an arm's or a leg's length, (outward, up, forward), radians.
Where an action has a leading side it is written for the right one; `actions.pose_at` mirrors it.
"""

import numpy as np

from data_prep.posed_people.body.kinematics import Pose
from data_prep.posed_people.motion.primitives import Style, pair, sine, stand


def idle(t: float, s: Style) -> Pose:
    """Stands and shifts the weight a little from leg to leg."""
    shift = 0.05 + 0.03 * sine(t, 0.12, s)
    ankles = pair((0.06, -0.985, 0.0), (0.05 + shift, -0.965, 0.05))
    bend = -0.93 + 0.04 * s.wiggle[0]
    return stand(
        pelvis=[0.0, 0.05 * s.wiggle[1], 0.06],
        spine=[0.0, 0.0, -0.08],
        ankles=ankles,
        wrists=pair((0.15, bend, 0.10), (0.14, -0.955, 0.04 + 0.04 * sine(t, 0.2, s))),
    )


def walk(t: float, s: Style) -> Pose:
    """Walks on the spot."""
    swing = np.array([sine(t, 0.9, s), sine(t, 0.9, s, np.pi)])
    lift = np.array([sine(t, 0.9, s, np.pi / 2), sine(t, 0.9, s, -np.pi / 2)])
    # Feet rise in the middle of the swing, and at both ends, where the leg is aslant.
    rise = 0.06 * np.maximum(lift, 0) ** 2 + 0.05 * swing**2
    ankles = np.stack([0.01 * np.ones(2), -0.985 + rise, 0.36 * s.size * swing - 0.03], -1)
    # Toes point down behind the body, when the foot leaves the floor, and up in front of it.
    drop = -0.35 * swing - 0.25 * np.maximum(lift, 0) ** 2
    toes = np.stack([0.10 * np.ones(2), 0.5 * swing + 0.5 * drop, np.ones(2)], -1)
    # Arms swing against the legs.
    arms = -0.42 * s.size * swing
    wrists = np.stack([0.16 * np.ones(2), -0.90 + 0.5 * arms**2, 0.13 + arms], -1)
    return stand(
        pelvis=[0.03, 0.10 * (swing[0]), 0.03 * lift[0]],
        # The chest turns against the pelvis, as arms do against legs.
        spine=[0.03, -0.20 * swing[0], 0.0],
        ankles=ankles,
        toes=toes,
        wrists=wrists,
    )


def run(t: float, s: Style) -> Pose:
    """Runs on the spot."""
    swing = np.array([sine(t, 1.3, s), sine(t, 1.3, s, np.pi)])
    lift = np.array([sine(t, 1.3, s, np.pi / 2), sine(t, 1.3, s, -np.pi / 2)])
    # The leg that comes forward is folded, and the one behind is thrown up.
    up = -0.92 + 0.24 * (0.5 + 0.5 * lift) ** 2 + 0.13 * np.maximum(-swing, 0) ** 2
    ankles = np.stack([np.zeros(2), up, 0.52 * s.size * swing - 0.10], -1)
    toes = np.stack([0.05 * np.ones(2), -0.35 + 0.55 * swing, np.ones(2)], -1)
    arms = -0.45 * s.size * swing
    # Elbows stay bent while running.
    wrists = np.stack([0.04 * np.ones(2), -0.47 + 0.10 * arms, 0.32 + arms], -1)
    return stand(
        pelvis=[0.16, 0.14 * swing[0], 0.0],
        spine=[0.10, -0.30 * swing[0], 0.0],
        neck=[-0.15, 0.10 * swing[0], 0.0],
        ankles=ankles,
        toes=toes,
        wrists=wrists,
        elbows=pair((0.45, -0.2, -1.0)),
    )


def wave(t: float, s: Style) -> Pose:
    """Waves with the hand of the leading side."""
    hand = (0.36 + 0.20 * sine(t, 1.2, s), 0.66, 0.28)
    return idle(t, s)._replace(
        wrists=pair(hand, (0.14, -0.95, 0.06)),
        elbows=pair((0.9, -0.5, -0.1), (0.35, 0.0, -1.0)),
        palms=pair((0.0, 0.1, 1.0), (-1.0, 0.0, -0.15)),
    )


def arms_crossed(t: float, s: Style) -> Pose:
    """Stands with crossed arms, which cover the torso."""
    # The arms lie on a chest that breathes.
    b = 0.015 * sine(t, 0.25, s)
    return stand(
        wrists=pair((-0.36, -0.40 + b, 0.45), (-0.34, -0.49 + b, 0.38)),
        # Both forearms before the chest, one above the other: parts hide parts here.
        elbows=pair((0.80, -0.75, 0.10)),
        palms=pair((-0.3, -0.2, -1.0)),
        ankles=pair((0.05, -0.985, 0.0), (0.09, -0.975, 0.06)),
        spine=[-0.02, 0.05 * s.wiggle[1], 0.0],
    )


def hands_on_hips(t: float, s: Style) -> Pose:
    """Stands with both hands on the hips, turning a little."""
    turn = 0.12 * sine(t, 0.2, s)
    return stand(
        pelvis=[0.0, turn, 0.0],
        spine=[-0.02, -0.5 * turn, 0.0],
        wrists=pair((0.10, -0.66, 0.13)),
        elbows=pair((1.0, 0.1, -0.55)),
        palms=pair((-0.8, -0.5, 0.0)),
        grip=[0.5, 0.5],
        ankles=pair((0.13, -0.97, 0.0)),
    )


def reach_up(t: float, s: Style) -> Pose:
    """Reaches up with both arms, looking up."""
    r, l = 0.06 * sine(t, 0.4, s), 0.06 * sine(t, 0.4, s, 2.0)
    return stand(
        wrists=pair((0.14, 0.90 + r, 0.18), (0.16, 0.88 + l, 0.16 + r)),
        elbows=pair((1.0, 0.0, 0.35)),
        palms=pair((-0.3, 0.0, 1.0)),
        neck=[-0.30, 0.0, 0.0],
        spine=[-0.06, 0.0, 0.4 * r],
    )


def point(t: float, s: Style) -> Pose:
    """Points forward with one arm, which sweeps sideways."""
    sweep = 0.35 + 0.30 * sine(t, 0.2, s)
    arm = np.array([np.sin(sweep), 0.10 + 0.1 * s.wiggle[2], np.cos(sweep)])
    return idle(t, s)._replace(
        wrists=pair(0.97 * arm, (0.14, -0.95, 0.06)),
        elbows=pair((0.5, -1.0, 0.0), (0.35, 0.0, -1.0)),
        palms=pair((-0.6, -0.6, 0.0), (-1.0, 0.0, -0.15)),
        neck=np.array([0.0, -0.3 * sweep, 0.0]),
    )


def squat(t: float, s: Style) -> Pose:
    """Goes down on bent knees and up again, arms to the front."""
    depth = 0.5 - 0.5 * np.cos(2 * np.pi * 0.35 * s.tempo * t + s.phase)
    # The knees stay bent at the top, too.
    depth = 0.15 + 0.85 * depth
    return stand(
        pelvis=[0.55 * depth, 0.0, 0.0],
        spine=[0.12 * depth, 0.0, 0.0],
        # The head goes back by what the trunk leans forward: one looks ahead.
        neck=[-0.45 * depth, 0, 0],
        ankles=pair((0.13, -0.97 + 0.42 * s.size * depth, 0.22 * depth)),
        knees=pair((0.45, 0.0, 1.0)),
        toes=pair((0.4, 0.0, 1.0)),
        wrists=pair((0.12, -0.95 + 0.85 * depth, 0.06 + 0.85 * depth)),
        elbows=pair((0.6, -0.6, -0.6)),
        palms=pair((-0.8, -0.5, 0.0)),
    )


def lunge(t: float, s: Style) -> Pose:
    """Stands in a lunge, hands on the hips, and rises a little."""
    d = 0.10 * sine(t, 0.3, s)
    return stand(
        pelvis=[0.08, 0.0, 0.0],
        spine=[0.04, 0.0, 0.0],
        ankles=pair((0.06, -0.72 + d, 0.40), (0.05, -0.72 + d, -0.56)),
        knees=pair((0.1, 0.3, 1.0), (0.1, -0.5, 1.0)),
        toes=pair((0.1, 0.0, 1.0), (0.1, -0.9, 0.7)),
        wrists=pair((0.14, -0.64, -0.08)),
        elbows=pair((1.0, 0.1, -0.5)),
        palms=pair((-0.8, -0.5, 0.0)),
        grip=[0.4, 0.4],
    )


def jumping_jack(t: float, s: Style) -> Pose:
    """Opens and closes arms and legs, as in jumping jacks."""
    open_ = 0.5 - 0.5 * sine(t, 0.7, s)
    # Arms move on half a circle from beside the thighs to above the head.
    angle = -1.35 + 2.55 * open_
    hand = (0.05 + 0.93 * np.cos(angle), 0.95 * np.sin(angle), 0.12)
    return stand(
        ankles=pair((0.04 + 0.32 * s.size * open_, -0.975 + 0.05 * open_, 0.0)),
        wrists=pair(hand),
        elbows=pair((0.0, -0.3, -1.0)),
        palms=pair((-0.3, -0.2, 0.9)),
    )


def dance(t: float, s: Style) -> Pose:
    """Dances, with hips and shoulders turning against each other."""
    a, b = sine(t, 0.6, s), sine(t, 0.6, s, 1.8)
    c = sine(t, 1.2, s)
    return stand(
        pelvis=[0.05, 0.25 * a, 0.14 * b],
        spine=[0.04, -0.35 * a, -0.22 * b],
        neck=[0.0, 0.2 * a, 0.1 * b],
        ankles=pair((0.14, -0.93 + 0.04 * a, 0.03), (0.14, -0.93 - 0.04 * a, 0.02)),
        knees=pair((0.3, 0.0, 1.0)),
        wrists=pair(
            (0.34 + 0.1 * b, 0.05 + 0.40 * a, 0.48),
            (0.40 - 0.1 * b, 0.0 - 0.40 * a, 0.46 + 0.1 * c),
        ),
        elbows=pair((0.8, -0.8, -0.2)),
        palms=pair((-0.6, 0.0, 0.8)),
        grip=[0.3 * c, -0.3 * c],
    )


def kick(t: float, s: Style) -> Pose:
    """Kicks forward with one leg, arms out for balance."""
    # Squared: the leg is on the floor longer than it is up.
    k = (0.5 + 0.5 * sine(t, 0.45, s)) ** 2
    return stand(
        # The trunk leans back against the leg, and the chest bends forward again.
        pelvis=[-0.22 * k, 0.0, 0.05],
        spine=[0.16 * k, 0.0, 0.0],
        ankles=pair((0.08, -0.93 + 0.78 * s.size * k, -0.22 + 1.08 * k), (0.03, -0.975, 0.0)),
        knees=pair((0.1, 0.25 * k, 1.0), (0.12, 0.0, 1.0)),
        toes=pair((0.1, 0.9 * k - 0.2, 1.0 - 0.4 * k), (0.35, 0.0, 1.0)),
        wrists=pair((0.50, -0.70, -0.10 - 0.2 * k), (0.30, -0.45, 0.45 + 0.2 * k)),
        elbows=pair((0.6, -0.3, -0.8)),
    )


def clap(t: float, s: Style) -> Pose:
    """Claps the hands in front of the chest."""
    apart = 0.22 + 0.20 * sine(t, 1.4, s)
    return stand(
        wrists=pair((-0.29 + apart, -0.22, 0.66), (-0.29 + apart, -0.22, 0.66)),
        elbows=pair((0.75, -0.8, -0.2)),
        palms=pair((-1.0, 0.1, 0.0)),
        grip=[0.0, 0.0],
        ankles=pair((0.08, -0.98, 0.0)),
    )


def pick_up(t: float, s: Style) -> Pose:
    """Bends down to the floor and up again."""
    d = 0.5 - 0.5 * np.cos(2 * np.pi * 0.25 * s.tempo * t + s.phase)
    return stand(
        pelvis=[0.95 * d, 0.0, 0.0],
        spine=[0.50 * d, 0.0, 0.0],
        neck=[-0.25 * d, 0.0, 0.0],
        ankles=pair((0.08, -0.97 + 0.12 * d, 0.10 * d), (0.08, -0.97 + 0.12 * d, 0.02 * d)),
        wrists=pair((0.10, -0.93 + 0.33 * d, 0.10 + 0.72 * d)),
        elbows=pair((0.6, 0.2, -1.0 + 0.4 * d)),
    )


def throw(t: float, s: Style) -> Pose:
    """Throws overarm, from a stride."""
    a = sine(t, 0.5, s)
    return stand(
        pelvis=[0.06 * a, 0.35 * a, 0.0],
        spine=[0.08 * a, 0.45 * a, 0.0],
        neck=[0.0, -0.5 * a, 0.0],
        ankles=pair((0.10, -0.93, -0.30), (0.10, -0.93, 0.28)),
        toes=pair((0.3, 0.0, 1.0), (0.1, 0, 1.0)),
        wrists=pair(
            (0.42 - 0.20 * a, 0.48 - 0.10 * a, 0.10 + 0.42 * a),
            (0.25, -0.25 - 0.3 * a, 0.62 - 0.3 * a),
        ),
        elbows=pair((0.9, -0.5, -0.4)),
        palms=pair((-0.3, 0.0, 1.0), (-0.8, -0.5, 0.0)),
    )


def on_the_phone(t: float, s: Style) -> Pose:
    """Stands with a hand at the ear."""
    b = 0.02 * sine(t, 0.3, s)
    return idle(t, s)._replace(
        wrists=pair((0.00, 0.26 + b, 0.26), (0.12, -0.72, 0.25)),
        elbows=pair((0.55, -1.0, 0.15), (0.8, 0.0, -0.7)),
        palms=pair((-1.0, 0.2, -0.1), (-0.8, -0.4, 0.0)),
        neck=np.array([0.08, 0.15 * s.wiggle[0], 0.08]),
    )
