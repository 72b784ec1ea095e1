"""The bones of the template, and linear-blend skinning.

A limb hangs on eight bones: between two segments sits a bone turned half way, and a segment that
twists about its own axis has one that twists half way. A vertex blends only neighbours of that
chain, so that no blend spans more than about half a joint's angle. Plain blending of two bones
would pinch a bent elbow flat and wring a turned shoulder like a candy wrapper.
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse

from data_prep.posed_people.body import anatomy, arithmetic

PELVIS, SPINE_HALF, CHEST, NECK_HALF, HEAD = range(5)
"""The numbers of the bones of the trunk."""

HALF_ROOT, SWING, HALF_TWIST, UPPER, HALF_JOINT, LOWER, LOWER_TWIST, END = range(8)
"""The numbers of the bones of a limb, from its root to hand or foot."""

RIGHT_ARM, LEFT_ARM, RIGHT_LEG, LEFT_LEG = range(4)
"""The numbers of the limbs."""

NUM_BONES = 5 + 4 * 8
"""The number of all bones: five of the trunk, eight of each limb."""

SIDES = np.array([-1.0, 1.0, -1.0, 1.0])
"""The sign of x on the side of each limb."""


def limb_bone(limb: int, bone: int) -> int:
    """The number, among all bones, of one of the eight bones of a limb."""
    return 5 + 8 * limb + bone


class Rest(NamedTuple):
    """The skeleton of the template; limbs are right arm, left arm, right leg, left leg.

    Attributes:
      root: [4, 3] the shoulders and hips (m).
      middle: [4, 3] the elbows and knees (m).
      tip: [4, 3] the wrists and ankles (m).
      upper: [4, 3, 3] frames of the upper segments, axes in columns: x is the hinge, y points up
        the limb, z is the side of the biceps or the kneecap.
      lower: [4, 3, 3] frames of the lower segments.
      end: [4, 3, 3] frames of hands and feet.
    """

    root: np.ndarray
    middle: np.ndarray
    tip: np.ndarray
    upper: np.ndarray
    lower: np.ndarray
    end: np.ndarray


def _mirrored(*left: np.ndarray) -> np.ndarray:
    """Right and left of each joint of the left side."""
    flip = np.array([-1.0, 1.0, 1.0])
    return np.stack([p * f for p in left for f in (flip, np.ones(3))])


def frame_along(direction: np.ndarray, z_hint: np.ndarray) -> np.ndarray:
    """Right-handed frames [..., 3, 3] with y = -direction, and z nearest to a hint."""
    y = -direction / np.linalg.norm(direction, axis=-1, keepdims=True)
    z = z_hint - np.sum(z_hint * y, -1, keepdims=True) * y
    # The hint may point along the direction, and leave nothing to normalise.
    z = z / np.maximum(np.linalg.norm(z, axis=-1, keepdims=True), 1e-9)
    return np.stack([arithmetic.cross(y, z), y, z], -1)


def _rest() -> Rest:
    """The skeleton of the template, from its anatomy."""
    root = _mirrored(anatomy.SHOULDER, anatomy.HIP)
    middle = _mirrored(anatomy.ELBOW, anatomy.KNEE)
    tip = _mirrored(anatomy.WRIST, anatomy.ANKLE)
    forward = np.broadcast_to([0.0, 0.0, 1.0], (4, 3))
    upper = frame_along(middle - root, forward)
    lower = frame_along(tip - middle, forward)
    end = lower.copy()
    # Feet stand flat on the floor, whatever the direction of the shin.
    end[2:] = np.eye(3)
    return Rest(root, middle, tip, upper, lower, end)


REST = _rest()
"""The skeleton of the template."""


def _rest_bones() -> tuple[np.ndarray, np.ndarray]:
    """Frames and origins of all bones of the template."""
    frames = np.tile(np.eye(3), (NUM_BONES, 1, 1))
    origins = np.zeros((NUM_BONES, 3))
    origins[:5] = [anatomy.PELVIS, anatomy.SPINE, anatomy.SPINE, anatomy.NECK, anatomy.SKULL_BASE]
    for limb in range(4):
        bones = slice(limb_bone(limb, 0), limb_bone(limb, 8))
        segments = [REST.upper] * 5 + [REST.lower] * 2 + [REST.end]
        points = [REST.root] * 4 + [REST.middle] * 3 + [REST.tip]
        frames[bones] = [f[limb] for f in segments]
        origins[bones] = [p[limb] for p in points]
    return frames, origins


REST_FRAMES, REST_ORIGINS = _rest_bones()
"""The axes (in columns) and the origins (m) of all bones of the template: [NUM_BONES, 3, 3] and
[NUM_BONES, 3]."""


def _ramp(t: np.ndarray) -> np.ndarray:
    """Weights [N, 3] that pass from the first to the third as t goes from 0 to 1."""
    t = np.clip(t, 0.0, 1.0)
    first, third = np.maximum(1 - 2 * t, 0), np.maximum(2 * t - 1, 0)
    return np.stack([first, 1 - first - third, third], -1)


def trunk_weights(points: np.ndarray) -> np.ndarray:
    """Weights [N, 5] of pelvis, half spine, chest, half neck and head, by the height of points."""
    y = points[:, 1]
    # The spine bends between waist and ribs, the neck over its own length (m).
    low = _ramp((y - 1.00) / 0.24)
    high = _ramp((y - 1.475) / 0.10)
    return np.stack([low[:, 0], low[:, 1], low[:, 2] * high[:, 0], high[:, 1], high[:, 2]], -1)


def along_limb(points: np.ndarray, limb: int) -> np.ndarray:
    """The positions [N] of points [N, 3] along a limb.

    They are 0 at its root, 1 at the elbow or knee, and 2 at the wrist or ankle.
    """
    root, middle, tip = REST.root[limb], REST.middle[limb], REST.tip[limb]
    upper, lower = middle - root, tip - middle
    first = (points - root) @ upper / (upper @ upper)
    second = (points - middle) @ lower / (lower @ lower)
    # Each segment counts from 0 to 1; beyond the middle joint the second one goes on.
    return np.where(first < 1.0, first, 1.0 + np.maximum(second, 0.0))


def limb_weights(s: np.ndarray, limb: int) -> np.ndarray:
    """Weights [N, 7] of the bones SWING to END for positions `s` along a limb."""
    arm = limb < 2
    # The upper segment twists over most of its length, not at the shoulder.
    twist = _ramp((s - 0.15) / 0.70)
    bend = _ramp((s - (0.80 if arm else 0.87)) / (0.40 if arm else 0.26))
    # The forearm rolls along its length, not at the elbow.
    roll = np.clip((s - 1.25) / 0.45, 0, 1)
    end = np.clip((s - (1.82 if arm else 1.95)) / (0.22 if arm else 0.10), 0, 1)
    lower = bend[:, 2]
    return np.stack(
        [
            twist[:, 0] * bend[:, 0],
            twist[:, 1] * bend[:, 0],
            twist[:, 2] * bend[:, 0],
            bend[:, 1],
            lower * (1 - roll) * (1 - end),
            lower * roll * (1 - end),
            lower * end,
        ],
        -1,
    )


def blend_weights(points: np.ndarray, limb: int, member: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Weights [N, NUM_BONES] of vertices between the trunk and a limb.

    Args:
      points: [N, 3] template positions (m).
      limb: the number of the limb.
      member: [N] 0 on the trunk to 1 on the limb.
      s: [N] positions along the limb.
    """
    weights = np.zeros((len(points), NUM_BONES))
    across = _ramp(member)
    weights[:, :5] = trunk_weights(points) * across[:, :1]
    weights[:, limb_bone(limb, HALF_ROOT)] = across[:, 1]
    weights[:, limb_bone(limb, SWING) : limb_bone(limb, END) + 1] = (
        limb_weights(s, limb) * across[:, 2:]
    )
    return weights


def bone_matrices(frames: np.ndarray, origins: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """The maps of all bones from the template to the posed body.

    Args:
      frames: [NUM_BONES, 3, 3] posed frames, axes in columns.
      origins: [NUM_BONES, 3] posed origins (m).
      scales: [NUM_BONES, 3] stretch along the bone's own axes.

    Returns:
      [NUM_BONES, 3, 4] affine maps of template points.
    """
    # Stretched in the frame of the bone, so that a longer arm is longer in every pose.
    linear = (frames * scales[:, None, :]) @ np.swapaxes(REST_FRAMES, 1, 2)
    # The map takes the origin of the bone in the template to its posed origin.
    shift = origins - np.einsum("bij,bj->bi", linear, REST_ORIGINS)
    return np.concatenate([linear, shift[:, :, None]], -1)


def skin(points: np.ndarray, weights: scipy.sparse.csr_array, matrices: np.ndarray) -> np.ndarray:
    """Posed positions [V, 3] of template points [V, 3] under sparse weights [V, NUM_BONES].

    Sparse, because a vertex hangs on few bones, and because the sum then has one order: see
    `arithmetic.transform`.
    """
    # float32 is exact to far less than a millimetre at the size of a person.
    m = (weights @ matrices.reshape(NUM_BONES, 12).astype(np.float32)).reshape(-1, 3, 4)
    return np.einsum("vij,vj->vi", m[:, :, :3], points) + m[:, :, 3]
