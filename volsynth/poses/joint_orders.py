"""Orders of joints that data sets and pose estimators use, and how each becomes our fifteen.

Right and left are the person's own, in every order here. The joints of Human3.6M are named after
what they are rather than after the file they come in, where published lists disagree.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from volsynth import skeleton
from volsynth.errors import UserError, did_you_mean

VOLSYNTH_15 = "volsynth_15"
"""The name of the order of `skeleton.JOINTS`, the fifteen joints that every system shares."""

HEAD_TOP_BEYOND_HEAD = 0.65
"""The distance of the top of the head from the head's centre, as a share of the way from the neck
to the centre: 130 mm of 200 mm in an adult. Only for orders that have no top of the head."""


class Order(NamedTuple):
    """An order of joints.

    Attributes:
      joints: the order's names of its joints; those that are ours are called as in
        `skeleton.JOINTS`.
      sources: for each of our joints, ways to get it from the order's, the best first. Each way
        names joints whose mean is the joint, and counts if all of them are known. Without a way,
        the joint is not known.
      head_top: whether the top of the head is put on the line from neck to head, beyond the head.
    """

    joints: tuple[str, ...]
    sources: Mapping[str, tuple[tuple[str, ...], ...]]
    head_top: bool = False


def _order(joints: str, **others) -> Order:
    """An order whose joints are ours where they have our names, and by `others` otherwise."""
    names = tuple(joints.split())
    assert len(set(names)) == len(names)
    ways = {joint: ((joint,),) for joint in skeleton.JOINTS if joint in names} | others
    return Order(names, ways, "head_top" not in ways)


# Seen from the side only one ear is there; seen from the front long hair may hide both.
_HEAD = (("right_ear", "left_ear"), ("right_ear",), ("left_ear",), ("nose",))

# The thumbs and toes of the motion capture skeleton are no joints of ours, but keep the places of
# the others.
_HUMAN36M = _order(
    "pelvis right_hip right_knee right_ankle right_toe_base right_toe "
    "left_hip left_knee left_ankle left_toe_base left_toe "
    "spine_base spine neck head head_top "
    "left_clavicle left_shoulder left_elbow left_wrist left_thumb_base left_thumb "
    "left_hand left_hand_end "
    "right_clavicle right_shoulder right_elbow right_wrist right_thumb_base right_thumb "
    "right_hand right_hand_end"
)

HUMAN36M_17 = (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)
"""Indices of the 17 of the 32 joints of Human3.6M that move on their own, in the order of 17 that
is common for it."""

_MPI_INF_3DHP = _order(
    "spine3 spine4 spine2 spine pelvis neck head head_top "
    "left_clavicle left_shoulder left_elbow left_wrist left_hand "
    "right_clavicle right_shoulder right_elbow right_wrist right_hand "
    "left_hip left_knee left_ankle left_foot left_toe "
    "right_hip right_knee right_ankle right_foot right_toe"
)

MPI_INF_3DHP_17 = (7, 5, 14, 15, 16, 9, 10, 11, 23, 24, 25, 18, 19, 20, 4, 3, 6)
"""Indices of the 17 of the 28 joints of MPI-INF-3DHP that its test set and its scores use, in that
order."""


def _subset(order: Order, indices: tuple[int, ...]) -> Order:
    return _order(" ".join(order.joints[i] for i in indices))


ORDERS: Mapping[str, Order] = {
    VOLSYNTH_15: _order(" ".join(skeleton.JOINTS)),
    "openpose_18": _order(
        "nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist "
        "right_hip right_knee right_ankle left_hip left_knee left_ankle "
        "right_eye left_eye right_ear left_ear",
        head=_HEAD,
    ),
    "openpose_25": _order(
        "nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist "
        "pelvis right_hip right_knee right_ankle left_hip left_knee left_ankle "
        "right_eye left_eye right_ear left_ear "
        "left_big_toe left_small_toe left_heel right_big_toe right_small_toe right_heel",
        head=_HEAD,
    ),
    # COCO has no neck; OpenPose's is the mean of the shoulders, too.
    "coco_17": _order(
        "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder "
        "left_elbow right_elbow left_wrist right_wrist left_hip right_hip "
        "left_knee right_knee left_ankle right_ankle",
        head=_HEAD,
        neck=(("right_shoulder", "left_shoulder"),),
    ),
    "human36m_32": _HUMAN36M,
    "human36m_17": _subset(_HUMAN36M, HUMAN36M_17),
    "mpi_inf_3dhp_28": _MPI_INF_3DHP,
    "mpi_inf_3dhp_17": _subset(_MPI_INF_3DHP, MPI_INF_3DHP_17),
}
"""All orders by their names."""


def find_order(name: str) -> Order:
    """The order of this name.

    Raises:
      UserError: there is none.
    """
    if name not in ORDERS:
        raise UserError(f"there is no order of joints {name!r}; {did_you_mean(name, ORDERS)}")
    return ORDERS[name]


def to_skeleton(
    joints: Float[Any, "*b j c"], visible: Bool[Any, "*b j"], order: str
) -> tuple[Float[np.ndarray, "*b 15 c"], Bool[np.ndarray, "*b 15"]]:
    """Makes our fifteen joints of those of another order.

    If an order has no top of the head, it is put on the line from the neck to the head's centre,
    which is right in space and, but for perspective, in a picture, too.

    Args:
      joints: coordinates in pixels or mm.
      visible: which joints are known.
      order: name of their order.

    Returns:
      joints of the same unit and dtype, zero where not known; which are known.

    Raises:
      UserError: no such order, or another number of joints than it has.
    """
    found = find_order(order)
    joints, visible = np.asarray(joints), np.asarray(visible, bool)
    if joints.shape[-2:-1] != (len(found.joints),) or visible.shape != joints.shape[:-1]:
        raise UserError(
            f"the order {order} has {len(found.joints)} joints, got joints {joints.shape} and "
            f"visible {visible.shape}."
        )
    # Zeros: a joint that is not known has no place, and NaN would spread through networks.
    shape = (*joints.shape[:-2], skeleton.NUM_JOINTS)
    result, known = np.zeros((*shape, joints.shape[-1]), joints.dtype), np.zeros(shape, bool)
    for joint, ways in found.sources.items():
        # The best way is written last, over the others.
        for way in reversed(ways):
            members = [found.joints.index(name) for name in way]
            there = visible[..., members].all(axis=-1)
            mean = joints[..., members, :].mean(axis=-2)
            at = skeleton.INDEX[joint]
            result[..., at, :] = np.where(there[..., None], mean, result[..., at, :])
            known[..., at] |= there
    if found.head_top:
        _add_head_top(result, known)
    return result, known


def _add_head_top(joints, known):
    """Puts the top of the head beyond the head, in place, where neck and head are known."""
    top, head, neck = (skeleton.INDEX[name] for name in ("head_top", "head", "neck"))
    there = known[..., head] & known[..., neck]
    beyond = HEAD_TOP_BEYOND_HEAD * (joints[..., head, :] - joints[..., neck, :])
    joints[..., top, :] = np.where(there[..., None], joints[..., head, :] + beyond, 0)
    known[..., top] = there
