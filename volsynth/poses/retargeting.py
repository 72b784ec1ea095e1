"""Gives a pose of one body to another: its size, the lengths of its limbs, where it stands.

Bodies have fifteen joints, (x, y, z) in any unit, x right, y down and z away from the camera. The
size of a body is the number of its units per mm of an average adult, so that bodies in different
poses can be compared.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from volsynth.errors import UserError
from volsynth.skeleton import HIPS, INDEX, MIRROR, NUM_JOINTS

_PELVIS = NUM_JOINTS
_KNEES = [INDEX["right_knee"], INDEX["left_knee"]]
_ANKLES = [INDEX["right_ankle"], INDEX["left_ankle"]]
_NUMBER = {**INDEX, "pelvis": _PELVIS}
_NAMES = tuple(_NUMBER)


def _both(parent, child, mm):
    """The bones of a name on the right and on the left."""
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
"""Bones from the pelvis outwards: parent, child and length in mm of an average adult. The pelvis,
the mean of the hips, has the index after the last joint."""

LEAST_KNOWN = 600.0
"""The total length of bones, in mm of an average adult, that must be known to tell a size."""

FLAT_QUANTILE = 0.75
"""The share of the bones, by length, that are taken to look shorter than the one that tells the
size of a body without depth. In a picture bones are foreshortened or as long as they are, never
longer."""

MOST_STRETCH = 1.6
"""The largest factor by which a bone is made longer or shorter; proportions that differ more are
those of a bad pose."""

MOST_DISPROPORTION = 5.0
"""The largest ratio of a bone's length to the others', each beside the average adult's; longer
bones are mistakes in a file or of an estimator."""

BEYOND = {
    **dict.fromkeys(("head_top", "neck"), 70.0),
    **dict.fromkeys(("head", "right_ankle", "left_ankle"), 130.0),
    **dict.fromkeys(("right_hip", "left_hip"), 150.0),
}
"""The distances that a body reaches beyond its joints, in mm of an average adult: hair, flesh and
feet. `OTHERWISE_BEYOND` is for joints that are not named."""

OTHERWISE_BEYOND = 90.0
"""The distance that a body reaches beyond joints not in `BEYOND`, in mm of an average adult."""

HAND = 0.75
"""The distance from wrist to finger tips, as a share of that from elbow to wrist."""


class Body(NamedTuple):
    """A pose as a body of fifteen joints.

    Attributes:
      joints: (x, y, z) in any unit; depth is zero throughout if it is not known.
      visible: which joints are known.
      flat: whether depth is not known.
    """

    joints: Float[np.ndarray, "15 3"]
    visible: Bool[np.ndarray, "15"]
    flat: bool


class TooLittleError(UserError):
    """Too few joints of a pose are known to tell how large the person is."""


def body_size(body: Body) -> float:
    """Measures a body: units of its joints per mm of an average adult.

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
    # Against the typical ratio, not an absolute one: the unit of the joints is not known.
    worst, typical = int(np.argmax(ratios)), np.quantile(ratios, FLAT_QUANTILE)
    if ratios[worst] > MOST_DISPROPORTION * typical > 0:
        first, second = bones[worst]
        raise UserError(
            f"from {first} to {second} it is {ratios[worst] / typical:.0f} times as far as the "
            "other limbs let expect: one of the two joints is wrong. Mend it, or give null."
        )
    if body.flat:
        # A quantile of ratios weighted by length: the error of a joint's place matters less on long
        # bones.
        order = np.argsort(ratios)
        share = np.cumsum(wanted[order]) / wanted.sum()
        found = ratios[order][np.searchsorted(share, FLAT_QUANTILE)]
    else:
        # In space no bone is foreshortened, and sums even out errors of single joints.
        found = lengths.sum() / wanted.sum()
    if not found > 0:
        raise UserError("the joints of a pose lie all in one place.")
    return float(found)


def common_size(sizes: Sequence[float], flat: bool) -> float:
    """The size of one person whose size was measured in several poses.

    Without depth a body looks smaller as it bends, so that the larger sizes count; with depth it is
    the median.

    Args:
      sizes: size of each pose, by `body_size`.
      flat: whether some of the poses have no depth.
    """
    return float(np.quantile(sizes, FLAT_QUANTILE if flat else 0.5))


def bone_lengths(body: Body) -> Float[np.ndarray, "15"]:
    """The lengths of `BONES` in a body of the size of an average adult, in mm.

    Right and left bones get the same length. Bones that are not known, and all bones of a body
    without depth, have the lengths of the average adult.

    Raises:
      UserError: the body's size cannot be told.
    """
    found, usual = _lengths(body)
    if body.flat:
        return usual
    found = _both_sides(found) / body_size(body)
    return np.where(np.isfinite(found), found, usual)


def complete_body(body: Body, other: Body) -> Float[np.ndarray, "15 3"]:
    """All joints of a body; those that are not known are taken from another body.

    The other body is scaled to this one's size, and each missing joint is put as far from its
    parent as there.

    Raises:
      UserError: the size of one of them cannot be told.
    """
    given = other.joints * (body_size(body) / body_size(other))
    # The two are aligned by the mean of the joints that both have.
    own = body.visible & other.visible
    given = given + (body.joints[own] - given[own]).mean(axis=0)
    (like, _), (found, known) = _with_pelvis(Body(given, other.visible, False)), _with_pelvis(body)
    found = np.where(known[:, None], found, like)
    # From the pelvis outwards, so that a missing joint's parent has its place already.
    for parent, child, _ in BONES:
        if not known[child]:
            found[child] = found[parent] + like[child] - like[parent]
    return found[:NUM_JOINTS]


def retarget(target: Body, source: Body, target_size: float | None = None) -> Body:
    """Gives the target's pose to the source's body, in the source's unit.

    The target is scaled to the source's size. Where both have depth, every bone keeps its direction
    and gets the source's length, the mean of the right and the left one.

    Args:
      target: the pose.
      source: the body that gets the pose.
      target_size: size of the target if it is known better than by this pose alone, as by
        `common_size`; None to measure it.

    Raises:
      UserError: the size of one of them cannot be told.
    """
    joints = target.joints * (body_size(source) / (target_size or body_size(target)))
    flat = target.flat or source.flat
    scaled = Body(joints, target.visible, flat)
    # Lengths in a picture are foreshortened, and chains of bones begin at the pelvis.
    if flat or not target.visible[list(HIPS)].all():
        return scaled
    wanted = _both_sides(_lengths(source)[0])
    with_pelvis, known = _with_pelvis(scaled)
    moved = with_pelvis.copy()
    for (parent, child, _), length in zip(BONES, wanted):
        shift = moved[parent] - with_pelvis[parent]
        if known[parent] and known[child] and np.isfinite(length):
            bone = with_pelvis[child] - with_pelvis[parent]
            # Joints may coincide in a bad pose; the limits keep it from becoming worse.
            stretch = length / max(np.linalg.norm(bone), 1e-9)
            stretch = np.clip(stretch, 1 / MOST_STRETCH, MOST_STRETCH)
            moved[child] = moved[parent] + stretch * bone
        else:
            # What hangs from a bone of unknown length moves along with it.
            moved[child] = with_pelvis[child] + shift
    return Body(moved[:NUM_JOINTS], target.visible, flat)


def end_legs(target: Body, source: Body) -> Body:
    """Leaves out what of the target's legs is known of neither leg of the source."""
    visible = target.visible.copy()
    has_knee = source.visible[_KNEES].any()
    visible[_KNEES] &= has_knee
    visible[_ANKLES] &= has_knee and source.visible[_ANKLES].any()
    return target._replace(visible=visible)


def turn_body(body: Body, degrees: float) -> Body:
    """Turns a body about the vertical axis through the origin.

    Args:
      body: the body.
      degrees: angle; 90 turns a body that faces the camera to its left.

    Raises:
      UserError: it has no depth.
    """
    if degrees and body.flat:
        raise UserError("a pose without depth cannot be turned; give one with joints_mm.")
    # y points down; a positive angle is one about the upward axis, minus y.
    angle = np.radians(degrees)
    c, s = np.cos(angle), np.sin(angle)
    rotation = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
    return body._replace(joints=body.joints @ rotation.T)


def bounding_box(
    bodies: Sequence[Body], size: float
) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2"]]:
    """Low and high corner (x, y) of the box around bodies of a size, with hands, feet and hair."""
    points = []
    for joints, visible, _ in bodies:
        for name, at in INDEX.items():
            if visible[at]:
                beyond = BEYOND.get(name, OTHERWISE_BEYOND) * size
                points += [joints[at, :2] - beyond, joints[at, :2] + beyond]
        for side in ("right", "left"):
            elbow, wrist = INDEX[f"{side}_elbow"], INDEX[f"{side}_wrist"]
            # There is no joint of the hand; it is taken to go on where the lower arm points.
            if visible[elbow] and visible[wrist]:
                points.append(joints[wrist, :2] + HAND * (joints[wrist, :2] - joints[elbow, :2]))
    return np.min(points, axis=0), np.max(points, axis=0)


def standing_offset(
    bodies: Sequence[Body], source: Body, size: float, frame: tuple[int, int]
) -> Float[np.ndarray, "2"]:
    """The offset (x, y) by which bodies must be moved to stand where the source does.

    The lowest joint of the bodies comes to the height of the source's lowest one, and their middle
    to its middle; then they are moved into the frame, or to its middle along an axis along which
    they do not fit. Bodies without ankles do not stand: their hips come to the height of its hips.

    Args:
      bodies: bodies in the source's unit; all are moved alike, as those of a motion must be.
      source: the body that shows where to stand, in pixels of the frame.
      size: size of all of the bodies.
      frame: height and width of the frame, pixels.
    """
    seen = np.concatenate([body.joints[body.visible] for body in bodies])
    own = source.joints[source.visible]
    down = own[:, 1].max() - seen[:, 1].max()
    if not any(body.visible[_ANKLES].any() for body in bodies):
        heights = _hips_height([source]), _hips_height(bodies)
        # Without hips either, there is nothing but the lowest joint.
        down = down if None in heights else heights[0] - heights[1]
    shift = np.array([_middle(own) - _middle(seen), down])
    low, high = bounding_box(bodies, size)
    # Axes are x, y, and the frame is height, width.
    return np.array([*map(_into, low, high, shift, reversed(frame))])


def cut_off_offset(
    bodies: Sequence[Body], source: Body, size: float, frame: tuple[int, int]
) -> Float[np.ndarray, "2"]:
    """The offset (x, y) by which bodies must be moved to end where the frame ends.

    The lower one of the joints at which their legs end comes to the frame's lower edge, in all
    bodies at it or below it. Their middle comes to the source's middle, and then into the frame.

    Args:
      bodies: bodies in the source's unit, as `end_legs` leaves them; all are moved alike.
      source: the body that shows where the middle is, in pixels of the frame.
      size: size of all of the bodies.
      frame: height and width of the frame, pixels.
    """
    seen = np.concatenate([body.joints[body.visible] for body in bodies])
    across = _middle(source.joints[source.visible]) - _middle(seen)
    low, high = bounding_box(bodies, size)
    height, width = frame
    return np.array([_into(low[0], high[0], across, width), height - min(map(_end, bodies))])


def _into(low, high, shift, room):
    """A shift changed so that it brings an interval into [0, room], or to its middle."""
    if high - low > room:
        return (room - low - high) / 2
    shift += max(-(low + shift), 0)
    return shift - max(high + shift - room, 0)


def _hips_height(bodies):
    """The mean y of the hips of bodies; None if none is known."""
    hips = list(HIPS)
    known = np.concatenate([body.joints[hips, 1][body.visible[hips]] for body in bodies])
    return known.mean() if len(known) else None


def _end(body):
    """The height of the lower one of the joints at which the legs of a body end."""
    for ends in (_ANKLES, _KNEES, list(HIPS)):
        if body.visible[ends].any():
            return body.joints[ends, 1][body.visible[ends]].max()
    return body.joints[body.visible, 1].max()


def _middle(joints):
    """The middle of the joints' extent along x."""
    return (joints[:, 0].min() + joints[:, 0].max()) / 2


def _with_pelvis(body):
    """Joints and visibility, with the pelvis behind the last joint."""
    hips = list(HIPS)
    joints = np.concatenate([body.joints, body.joints[hips].mean(axis=0, keepdims=True)])
    return joints, np.append(body.visible, body.visible[hips].all())


def _lengths(body):
    """The lengths of all bones, NaN where one is not known, and those of the average adult."""
    joints, known = _with_pelvis(body)
    parents, children, wanted = (np.array(column) for column in zip(*BONES))
    # A flat body may still hold depth: that of a pose which was given to a person without any.
    axes = slice(2 if body.flat else 3)
    found = np.linalg.norm((joints[children] - joints[parents])[:, axes], axis=-1)
    return np.where(known[parents] & known[children], found, np.nan), wanted


def _both_sides(lengths):
    """Lengths of bones with right and left replaced by their mean, or by the one that is known."""
    mirror = [*MIRROR, _PELVIS]
    numbers = {(parent, child): at for at, (parent, child, _) in enumerate(BONES)}
    # Bones of the middle are their own counterparts.
    other = lengths[[numbers[mirror[parent], mirror[child]] for parent, child, _ in BONES]]
    own = np.where(np.isfinite(lengths), lengths, other)
    return (own + np.where(np.isfinite(other), other, own)) / 2
