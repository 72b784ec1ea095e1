"""The building blocks of motions: the standing pose, mirroring, periodic functions of time."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from data_prep.posed_people.body.kinematics import Pose


class Style(NamedTuple):
    """The differences of one sequence from others of its action; every value is constant over time.

    Attributes:
      tempo: factor on the speed of the action, near 1.
      size: factor on the extent of movements, near 1.
      phase: offset (rad) of all periodic movements.
      side: +1 or -1: which side leads.
      lean: extra pitch of the trunk (rad).
      wiggle: [4] further numbers in [-1, 1].
    """

    tempo: float
    size: float
    phase: float
    side: int
    lean: float
    wiggle: np.ndarray


def draw_style(rng: np.random.Generator) -> Style:
    """Draws a random style."""
    return Style(
        tempo=float(rng.uniform(0.8, 1.2)),
        size=float(rng.uniform(0.8, 1.12)),
        phase=float(rng.uniform(0, 2 * np.pi)),
        side=int(rng.choice([-1, 1])),
        lean=float(rng.uniform(-0.03, 0.07)),
        wiggle=rng.uniform(-1, 1, 4),
    )


def sine(t: float, hertz: float, style: Style, shift: float = 0.0) -> float:
    """A sine of time in [-1, 1], with the tempo and phase of a style.

    Args:
      t: seconds.
      hertz: frequency at tempo 1.
      style: the style.
      shift: phase that is added (rad).
    """
    return float(np.sin(2 * np.pi * hertz * style.tempo * t + style.phase + shift))


def pair(right: ArrayLike, left: ArrayLike | None = None) -> np.ndarray:
    """Values [2, 3] of the right and the left limb; with one value, of both."""
    return np.array([right, right if left is None else left], float)


def stand(**changes: ArrayLike) -> Pose:
    """An upright pose, feet below the hips, arms hanging; `changes` replaces fields of it."""
    pose = Pose(
        pelvis=np.zeros(3),
        spine=np.array([0.02, 0.0, 0.0]),
        neck=np.zeros(3),
        # Short of one: arms and legs are never straight, see `kinematics.MIN_BEND`.
        wrists=pair((0.13, -0.965, 0.06)),
        elbows=pair((0.35, 0.0, -1.0)),
        palms=pair((-1.0, 0.0, -0.15)),
        grip=np.full(2, 0.15),
        ankles=pair((0.03, -0.985, -0.015)),
        knees=pair((0.12, 0.0, 1.0)),
        toes=pair((0.20, 0.0, 1.0)),
        shift=np.zeros(3),
        yaw=0.0,
    )
    return pose._replace(
        **{k: np.asarray(v, float) if k != "yaw" else v for k, v in changes.items()}
    )


def mirrored(pose: Pose) -> Pose:
    """The pose with the person's left and right exchanged."""
    # Pitch is the same in a mirror, yaw and roll change their sign.
    flip = np.array([1.0, -1.0, -1.0])
    swapped = {
        name: getattr(pose, name)[::-1]
        for name in ("wrists", "elbows", "palms", "grip", "ankles", "knees", "toes")
    }
    return pose._replace(
        **swapped,
        pelvis=pose.pelvis * flip,
        spine=pose.spine * flip,
        neck=pose.neck * flip,
        shift=pose.shift * np.array([-1.0, 1.0, 1.0]),
        yaw=-pose.yaw,
    )


def with_idle_motion(pose: Pose, t: float, style: Style) -> Pose:
    """Adds to a pose what nobody can suppress: breathing, swaying, looking around."""
    w = style.wiggle
    # Frequencies without a common period, so that sequences do not repeat themselves.
    look = 0.28 * w[0] + 0.16 * np.sin(0.9 * style.tempo * t + 3 * w[1])
    nod = 0.06 * w[2] + 0.05 * np.sin(1.3 * t + 5 * w[3])
    breath = 0.012 * np.sin(1.7 * t + style.phase)
    sway = 0.02 * np.sin(1.1 * t + 4 * w[2])
    return pose._replace(
        neck=pose.neck + np.array([nod, look, 0.05 * w[3]]),
        spine=pose.spine + np.array([breath + style.lean, 0.05 * w[1], sway]),
    )
