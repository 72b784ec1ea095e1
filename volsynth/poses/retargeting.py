"""A pose of one body given to another: its size, the lengths of its limbs, where it stands.

Bodies have fifteen joints, (x, y, z) in any unit, x right and y down. Sizes are units per mm of an
average adult, so that bodies in different poses can be compared.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from volsynth.errors import UserError
from volsynth.skeleton import HIPS, INDEX, MIRROR, NUM_JOINTS

_PELVIS = NUM_JOINTS
_NUMBER = {**INDEX, "pelvis": _PELVIS}
_NAMES = tuple(_NUMBER)


def _both(parent, child, mm):
    names = ((parent.format(side), child.format(side)) for side in ("right", "left"))
    return ((_NUMBER[a], _NUMBER[b], mm) for a, b in names)


BONES = (
    *((_PELVIS, INDEX["neck"], 530.0), (INDEX["neck"], INDEX["head"], 195.0)),
    (INDEX["head"], INDEX["head_top"], 112.0),
    *_both("neck", "{}_shoulder", 175.0),
    *_both("{}_shoulder", "{}_elbow", 285.0),
    *_both("{}_elbow", "{}_wrist", 245.0),
    *_both("pelvis", "{}_hip", 92.0),
    *_both("{}_hip", "{}_knee", 426.0),
    *_both("{}_knee", "{}_ankle", 403.0),
)
"""Parent, child and length (mm, of an average adult), from the pelvis outwards; the pelvis, the
mean of the hips, has the number after the last joint."""

LEAST_KNOWN = 600.0
"""mm of bones that must be known for a size."""

FLAT_QUANTILE = 0.75
"""In a picture bones are as long as they are, or shorter; those that are foreshortened least tell
the size. By length, so many of the bones are taken to be foreshortened more."""

MOST_STRETCH = 1.6
"""What is further from the average proportions of two bodies is a bad pose of one of them."""

MOST_DISPROPORTION = 5.0
"""A bone that is so many times as long, beside the average adult's, as the others are is a mistake
in a file or of an estimator."""

BEYOND = {
    **dict.fromkeys(("head_top", "neck"), 70.0),
    **dict.fromkeys(("head", "right_ankle", "left_ankle"), 130.0),
    **dict.fromkeys(("right_hip", "left_hip"), 150.0),
}
"""How far a body reaches beyond these joints, mm; 90 beyond others."""

HAND = 0.75
"""From the wrist to the tips of the fingers, as a share of the way from elbow to wrist."""


class Body(NamedTuple):
    """A pose.

    Attributes:
      joints: in any unit; depth is zero throughout where it is not known.
      visible: which joints are known.
      flat: whether depth is not known.
    """

    joints: Float[np.ndarray, "15 3"]
    visible: Bool[np.ndarray, "15"]
    flat: bool


class TooLittleError(UserError):
    """Too few joints of a pose are known to tell how large the person is."""


def size(body: Body) -> float:
    """How large a body is: units of its joints per mm of an average adult.

    Raises:
      TooLittleError: too few joints are known.
      UserError: they coincide, or one is far from where it could be.
    """
    lengths, wanted = _lengths(body)
    known = np.isfinite(lengths)
    # The hips are too near to one another for the size to be measured on them.
    known &= wanted > 100
    bones = [(_NAMES[a], _NAMES[b]) for (a, b, _), is_known in zip(BONES, known) if is_known]
    lengths, wanted = lengths[known], wanted[known]
    if wanted.sum() < LEAST_KNOWN:
        raise TooLittleError(
            f"{body.visible.sum()} of {NUM_JOINTS} joints are known, and too few of them are "
            "neighbours to tell how large the person is. Give shoulders, hips and a leg at least."
        )
    ratios = lengths / wanted
    worst, typical = int(np.argmax(ratios)), np.quantile(ratios, FLAT_QUANTILE)
    if ratios[worst] > MOST_DISPROPORTION * typical > 0:
        first, second = bones[worst]
        raise UserError(
            f"from {first} to {second} it is {ratios[worst] / typical:.0f} times as far as the "
            "other limbs let expect: one of the two joints is wrong. Mend it, or give null."
        )
    if body.flat:
        order = np.argsort(ratios)
        share = np.cumsum(wanted[order]) / wanted.sum()
        found = ratios[order][np.searchsorted(share, FLAT_QUANTILE)]
    else:
        found = lengths.sum() / wanted.sum()
    if not found > 0:
        raise UserError("the joints of a pose lie all in one place.")
    return float(found)


def common_size(sizes: Sequence[float], flat: bool) -> float:
    """The size of one person, by those of several poses.

    Without depth a body looks smaller as it bends, so that the larger ones count.

    Args:
      sizes: of each pose, by `size`.
      flat: whether some of them have no depth.
    """
    return float(np.quantile(sizes, FLAT_QUANTILE if flat else 0.5))


def bones(body: Body) -> Float[np.ndarray, "15"]:
    """Lengths of `BONES`, right and left alike, in mm at the size of an average adult; those of
    the average adult where they are not known, and of a body without depth.

    Raises:
      UserError: the body's size cannot be told.
    """
    found, usual = _lengths(body)
    if body.flat:
        return usual
    found = _both_sides(found) / size(body)
    return np.where(np.isfinite(found), found, usual)


def completed(body: Body, other: Body) -> Float[np.ndarray, "15 3"]:
    """All joints of a body; those that are not known are as those of `other`, at the body's size,
    from the next joint that is known.

    Raises:
      UserError: the size of one of them cannot be told.
    """
    given = other.joints * (size(body) / size(other))
    own = body.visible & other.visible
    given = given + (body.joints[own] - given[own]).mean(axis=0)
    (like, _), (found, known) = _with_pelvis(Body(given, other.visible, False)), _with_pelvis(body)
    found = np.where(known[:, None], found, like)
    for parent, child, _ in BONES:
        if not known[child]:
            found[child] = found[parent] + like[child] - like[parent]
    return found[:NUM_JOINTS]


def retarget(target: Body, source: Body, target_size: float | None = None) -> Body:
    """The target's pose for the source's body, in the source's unit.

    The target is scaled to the source's size. Where both have depth, every bone keeps its direction
    and gets the source's length, the mean of the right and the left one.

    Args:
      target: the pose.
      source: whose body.
      target_size: where it is known better than by this pose alone; see `common_size`.

    Raises:
      UserError: the size of one of them cannot be told.
    """
    joints = target.joints * (size(source) / (target_size or size(target)))
    flat = target.flat or source.flat
    scaled = Body(joints, target.visible, flat)
    if flat or not target.visible[list(HIPS)].all():
        return scaled
    wanted = _both_sides(_lengths(source)[0])
    with_pelvis, known = _with_pelvis(scaled)
    moved = with_pelvis.copy()
    for (parent, child, _), length in zip(BONES, wanted):
        shift = moved[parent] - with_pelvis[parent]
        if known[parent] and known[child] and np.isfinite(length):
            bone = with_pelvis[child] - with_pelvis[parent]
            stretch = length / max(np.linalg.norm(bone), 1e-9)
            stretch = np.clip(stretch, 1 / MOST_STRETCH, MOST_STRETCH)
            moved[child] = moved[parent] + stretch * bone
        else:
            moved[child] = with_pelvis[child] + shift
    return Body(moved[:NUM_JOINTS], target.visible, flat)


def turned(body: Body, degrees: float) -> Body:
    """The body turned about the vertical axis through its origin: 90 turns one that faces the
    camera to its left.

    Raises:
      UserError: it has no depth.
    """
    if degrees and body.flat:
        raise UserError("a pose without depth cannot be turned; give one with joints_mm.")
    angle = np.radians(degrees)
    c, s = np.cos(angle), np.sin(angle)
    rotation = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
    return body._replace(joints=body.joints @ rotation.T)


def box(bodies: list[Body], size: float) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2"]]:
    """Low and high corner (x, y) of what bodies of a size cover, with hands and feet."""
    points = []
    for joints, visible, _ in bodies:
        for name, at in INDEX.items():
            if visible[at]:
                beyond = BEYOND.get(name, 90.0) * size
                points += [joints[at, :2] - beyond, joints[at, :2] + beyond]
        for side in ("right", "left"):
            elbow, wrist = INDEX[f"{side}_elbow"], INDEX[f"{side}_wrist"]
            if visible[elbow] and visible[wrist]:
                points.append(joints[wrist, :2] + HAND * (joints[wrist, :2] - joints[elbow, :2]))
    return np.min(points, axis=0), np.max(points, axis=0)


def stand(
    bodies: list[Body], source: Body, size: float, frame: tuple[int, int]
) -> Float[np.ndarray, "2"]:
    """By how much (x, y) bodies must be moved to stand where the source does.

    Their lowest joint comes to the height of the source's, and their middle to its middle; then
    they are moved into the frame, or to its middle along an axis along which they do not fit.

    Args:
      bodies: all in the source's unit; those of a motion are moved alike.
      source: in pixels of the frame.
      size: of all of them.
      frame: its height and width, pixels.
    """
    seen = np.concatenate([body.joints[body.visible] for body in bodies])
    own = source.joints[source.visible]
    shift = np.array([_middle(own) - _middle(seen), own[:, 1].max() - seen[:, 1].max()])
    low, high = box(bodies, size)
    for axis, room in enumerate(reversed(frame)):
        if high[axis] - low[axis] > room:
            shift[axis] = (room - low[axis] - high[axis]) / 2
        else:
            shift[axis] += max(-(low[axis] + shift[axis]), 0)
            shift[axis] -= max(high[axis] + shift[axis] - room, 0)
    return shift


def _middle(joints):
    return (joints[:, 0].min() + joints[:, 0].max()) / 2


def _with_pelvis(body):
    hips = list(HIPS)
    joints = np.concatenate([body.joints, body.joints[hips].mean(axis=0, keepdims=True)])
    return joints, np.append(body.visible, body.visible[hips].all())


def _lengths(body):
    """Of all bones, NaN where one is not known, and of the average adult."""
    joints, known = _with_pelvis(body)
    parents, children, wanted = (np.array(column) for column in zip(*BONES))
    axes = slice(2 if body.flat else 3)
    found = np.linalg.norm((joints[children] - joints[parents])[:, axes], axis=-1)
    return np.where(known[parents] & known[children], found, np.nan), wanted


def _both_sides(lengths):
    """The mean of the right and the left one, or the one that is known."""
    mirror = [*MIRROR, _PELVIS]
    numbers = {(parent, child): at for at, (parent, child, _) in enumerate(BONES)}
    other = lengths[[numbers[mirror[parent], mirror[child]] for parent, child, _ in BONES]]
    own = np.where(np.isfinite(lengths), lengths, other)
    return (own + np.where(np.isfinite(other), other, own)) / 2
