"""Inverse kinematics of two bones, for all four limbs at once: from a pose to bones and joints."""

from typing import NamedTuple

import numpy as np

from data_prep.posed_people.body import anatomy, skinning
from data_prep.posed_people.body.arithmetic import cross
from data_prep.posed_people.body.skinning import REST, SIDES, frame_along

MIN_BEND, MAX_BEND = np.radians(6.0), np.radians(148.0)
"""The angles between which elbows and knees bend: never straight, so that they always have a
hinge."""

MIN_ROLL, MAX_ROLL = np.radians(-20.0), np.radians(165.0)
"""The angles (rad) between which palms turn: from 0, facing where the biceps does, through inward
to backward."""


class Pose(NamedTuple):
    """One posture of a person; directions are (outward, up, forward) for a limb, angles radians.

    Attributes:
      pelvis: [3] pitch (forwards), yaw (to the left) and roll (to the right) of the pelvis.
      spine: [3] the same angles of the chest against the pelvis.
      neck: [3] the same angles of the head against the chest.
      wrists: [2, 3] right and left, from the shoulder, in arm lengths, in the chest's frame.
      elbows: [2, 3] direction in which the elbow points, in the chest's frame.
      palms: [2, 3] direction the palm faces, in the chest's frame.
      grip: [2] bend of the wrist towards the palm.
      ankles: [2, 3] from the hip, in leg lengths, in the frame of the heading.
      knees: [2, 3] direction in which the knee points, in the frame of the heading.
      toes: [2, 3] direction of the foot, in the frame of the heading.
      shift: [3] position of the body, (left, up, forward) (m); the height is settled by the floor.
      yaw: offset of the heading, which turns the complete body.
    """

    pelvis: np.ndarray
    spine: np.ndarray
    neck: np.ndarray
    wrists: np.ndarray
    elbows: np.ndarray
    palms: np.ndarray
    grip: np.ndarray
    ankles: np.ndarray
    knees: np.ndarray
    toes: np.ndarray
    shift: np.ndarray
    yaw: float


class Skeleton(NamedTuple):
    """A posed skeleton in the frame of the body: x left, y up, z forward (m).

    Attributes:
      frames: [NUM_BONES, 3, 3] the axes of the bones in columns.
      origins: [NUM_BONES, 3] the origins of the bones.
      joints: [15, 3] the joints in the order of `volsynth.skeleton.JOINTS`.
    """

    frames: np.ndarray
    origins: np.ndarray
    joints: np.ndarray


def euler(pitch: float, yaw: float, roll: float) -> np.ndarray:
    """The rotation by roll to the right about z first, then pitch about x, then yaw about y."""
    (cp, cy, cr), (sp, sy, sr) = np.cos([pitch, yaw, roll]), np.sin([pitch, yaw, roll])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return about_y @ about_x @ about_z


def _unit(v: np.ndarray) -> np.ndarray:
    """Vectors of length one; a vector of length zero stays."""
    return v / np.maximum(np.sqrt(np.sum(v * v, -1, keepdims=True)), 1e-9)


def _swing(frames: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Frames [N, 3, 3] turned by the smallest rotation that brings -y onto a direction [N, 3]."""
    start = -frames[..., 1]
    axis, cosine = cross(start, direction), np.sum(start * direction, -1)[:, None, None]
    zero = np.zeros(len(axis))
    x, y, z = axis.T
    k = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(-1, 3, 3)
    # Rodrigues without an angle; opposite directions have no smallest rotation, hence the bound.
    return (np.eye(3) + k + k @ k / np.maximum(1.0 + cosine, 0.05)) @ frames


def _half(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The frame half way between two frames [..., 3, 3]."""
    total = a + b
    return frame_along(-total[..., 1], total[..., 2])


def _turn(frames: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Frames [N, 3, 3] turned by angles [N] about their own y axes."""
    c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
    x, y, z = frames[..., 0], frames[..., 1], frames[..., 2]
    return np.stack([c * x - s * z, y, s * x + c * z], -1)


def solve_limbs(
    root: np.ndarray, target: np.ndarray, hint: np.ndarray, upper: np.ndarray, lower: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Middle and tip joints [4, 3] of limbs that reach for targets.

    Elbow and knee bend by MIN_BEND to MAX_BEND, towards the hint; a target out of reach is neared.

    Args:
      root: [4, 3] shoulders and hips.
      target: [4, 3] where wrists and ankles should be.
      hint: [4, 3] directions in which elbows and knees point.
      upper: [4] lengths of the upper segments.
      lower: [4] lengths of the lower segments.
    """
    reach = target - root
    distance = np.sqrt(np.sum(reach * reach, -1))
    # The law of cosines: how far the tip is from the root at the least and the largest bend.
    furthest, nearest = (
        np.sqrt(upper**2 + lower**2 + 2 * upper * lower * np.cos(b)) for b in (MIN_BEND, MAX_BEND)
    )
    axis = reach / np.maximum(distance, 1e-9)[:, None]
    distance = np.clip(distance, nearest, furthest)
    side = _unit(hint - np.sum(hint * axis, -1, keepdims=True) * axis)
    # Where the middle joint is along the line to the tip, by the law of cosines again.
    x = (upper**2 - lower**2 + distance**2) / (2 * distance)
    height = np.sqrt(np.maximum(upper**2 - x**2, 0.0))
    middle = root + axis * x[:, None] + side * height[:, None]
    return middle, root + axis * distance[:, None]


def _hands(lower: np.ndarray, palms: np.ndarray, grip: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Forearms rolled half way and hands [2, 3, 3], palms turned to a hint as far as they go."""
    toward = np.einsum("nij,ni->nj", lower, palms)
    inward = np.arctan2(-SIDES[:2] * toward[:, 0], toward[:, 2])
    # The cut of the angle lies where no palm can face, so that a hand never jumps round.
    wrapped = (inward + np.radians(100)) % (2 * np.pi) - np.radians(100)
    roll = -SIDES[:2] * np.clip(wrapped, MIN_ROLL, MAX_ROLL)
    hand = _turn(lower, roll)
    c, s = np.cos(grip)[:, None], np.sin(grip)[:, None]
    y, z = c * hand[..., 1] - s * hand[..., 2], s * hand[..., 1] + c * hand[..., 2]
    return _turn(lower, 0.5 * roll), np.stack([hand[..., 0], y, z], -1)


def _feet(lower: np.ndarray, toes: np.ndarray) -> np.ndarray:
    """Frames [2, 3, 3] of feet that point along `toes`; the backs of the feet follow the shins."""
    z = _unit(toes)
    up = lower[..., 1] + 0.8 * lower[..., 2]
    y = _unit(up - np.sum(up * z, -1, keepdims=True) * z)
    return np.stack([cross(y, z), y, z], -1)


def _trunk(pose: Pose, scales: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frames and origins of the five trunk bones."""
    pelvis = euler(*pose.pelvis)
    chest = pelvis @ euler(*pose.spine)
    head = chest @ euler(*pose.neck)
    half_spine, half_neck = _half(pelvis, chest), _half(chest, head)
    origin = np.zeros(3)
    spine = origin + pelvis @ (scales[skinning.PELVIS] * (anatomy.SPINE - anatomy.PELVIS))
    neck = spine + chest @ (scales[skinning.CHEST] * (anatomy.NECK - anatomy.SPINE))
    skull = neck + half_neck @ (scales[skinning.NECK_HALF] * (anatomy.SKULL_BASE - anatomy.NECK))
    frames = np.stack([pelvis, half_spine, chest, half_neck, head])
    return frames, np.stack([origin, spine, spine, neck, skull])


def _limb_roots(
    pose: Pose, frames: np.ndarray, origins: np.ndarray, scales: np.ndarray
) -> np.ndarray:
    """Shoulders and hips [4, 3]; a shoulder rises and comes forward with its arm."""
    chest, pelvis = frames[skinning.CHEST], frames[skinning.PELVIS]
    reach = _unit(pose.wrists)
    # A raised arm lifts the shoulder blade; a fixed shoulder would look like a doll.
    rise = np.clip(reach[:, 1] + 0.15, 0.0, 1.0)
    # Outward, up and forward, in metres: at most 4.5 cm.
    give = np.stack([-0.4 * rise, rise, 0.55 * np.clip(reach[:, 2], -0.4, 1)], -1) * 0.045
    give[:, 0] -= 0.025 * np.clip(-reach[:, 0], 0, 1)
    offset = scales[skinning.CHEST] * (REST.root[:2] - anatomy.SPINE) + give * _sided()
    shoulders = origins[skinning.CHEST] + offset @ chest.T
    hips = (scales[skinning.PELVIS] * (REST.root[2:] - anatomy.PELVIS)) @ pelvis.T
    return np.concatenate([shoulders, origins[skinning.PELVIS] + hips])


def _sided() -> np.ndarray:
    """Signs [2, 3] that turn (outward, up, forward) into (left, up, forward)."""
    return np.stack([SIDES[:2], np.ones(2), np.ones(2)], -1)


def solve(pose: Pose, scales: np.ndarray) -> Skeleton:
    """Poses the skeleton of a person; the pelvis stays at 0.

    Args:
      pose: the pose.
      scales: [NUM_BONES, 3] the stretch of the person's bones.
    """
    # From the trunk outwards, since limbs hang on it.
    trunk_frames, trunk_origins = _trunk(pose, scales)
    chest = trunk_frames[skinning.CHEST]
    roots = _limb_roots(pose, trunk_frames, trunk_origins, scales)
    lengths = segment_lengths(scales)
    to_chest = np.stack([pose.wrists, pose.elbows, pose.palms]) * _sided() @ chest.T
    to_root = np.stack([pose.ankles, pose.knees, pose.toes]) * _sided()
    target = roots + np.concatenate([to_chest[0], to_root[0]]) * np.sum(lengths, 0)[:, None]
    hint = np.concatenate([to_chest[1], to_root[1]])
    # Both arms and both legs in one call: Python costs more here than arithmetic.
    middle, tip = solve_limbs(roots, target, hint, *lengths)
    # The elbow's point is away from the biceps, the knee's is towards the kneecap.
    front = hint * np.array([-1.0, -1.0, 1.0, 1.0])[:, None]
    # The direction of the other segment tells the hinge; the hint decides only where that is no
    # help.
    front = np.where(np.arange(4)[:, None] < 2, tip - middle, -(tip - middle)) + 1e-6 * front
    upper = frame_along(middle - roots, front)
    y = _unit(middle - tip)
    # Elbow and knee are hinges: both segments share the axis x.
    lower = np.stack([upper[..., 0], y, cross(upper[..., 0], y)], -1)
    attached = np.concatenate([chest @ REST.upper[:2], trunk_frames[0] @ REST.upper[2:]])
    swing = _swing(attached, _unit(middle - roots))
    # Half of the roll is in the forearm, whose two bones cross, and half in the wrist.
    rolled, hands = _hands(lower[:2], to_chest[2], pose.grip)
    ends = np.concatenate([hands, _feet(lower[2:], to_root[2])])
    rolled = np.concatenate([rolled, lower[2:]])
    chain = [_half(attached, swing), swing, _half(swing, upper), upper, _half(upper, lower), lower]
    frames = np.stack([*chain, rolled, ends], 1).reshape(-1, 3, 3)
    at = [roots] * 4 + [middle] * 3 + [tip]
    origins = np.stack(at, 1).reshape(-1, 3)
    frames = np.concatenate([trunk_frames, frames])
    origins = np.concatenate([trunk_origins, origins])
    return Skeleton(frames, origins, _joints(frames, origins, scales, middle, tip))


def segment_lengths(scales: np.ndarray) -> np.ndarray:
    """The lengths [2, 4] (m) of the upper and lower segments of the limbs."""
    bones = np.array([[skinning.limb_bone(i, b) for i in range(4)] for b in (3, 5)])
    template = np.stack([REST.middle - REST.root, REST.tip - REST.middle])
    return np.linalg.norm(template, axis=-1) * scales[bones, 1]


def _joints(
    frames: np.ndarray,
    origins: np.ndarray,
    scales: np.ndarray,
    middle: np.ndarray,
    tip: np.ndarray,
) -> np.ndarray:
    """The fifteen joints of records, from bones."""
    head, scale = frames[skinning.HEAD], scales[skinning.HEAD]
    skull = origins[skinning.HEAD]
    top = skull + head @ (scale * (anatomy.HEAD_TOP - anatomy.SKULL_BASE))
    centre = skull + head @ (scale * (anatomy.HEAD - anatomy.SKULL_BASE))
    roots = origins[[skinning.limb_bone(i, 0) for i in range(4)]]
    limbs = np.stack([roots, middle, tip], 1).reshape(12, 3)
    return np.concatenate([np.stack([top, centre, origins[skinning.NECK_HALF]]), limbs])
