"""Capsules around the bones of a pose: a body, where a pose is all that is known of a person.

A capsule is a segment with a radius: a cylinder with two half balls. Fifteen of them stand for a
person, each of them owned by one of the ten parts of `skeleton`. Joints are pixels of the network's
input image as in `pose_volumes`; they carry no gradient.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from volsynth import skeleton
from volsynth.ops import pose_volumes

_TINY = 1e-3
"""The length in pixels below which a bone has no direction."""


class Proportions(NamedTuple):
    """The proportions of a body, of which every person has the same.

    Radii, and the three lengths of the foot, are shares of the person's scale, which is the
    distance from shoulder to hip. The other values are shares of the line that they lie on.

    Attributes:
      skull: radius of the skull.
      skull_from: lower end of the skull's segment, on the line from neck to head_top.
      skull_to: upper end of the skull's segment on that line.
      neck: radius of the neck.
      neck_to: upper end of the neck's segment on that line; it begins at the joint.
      flank: radius of the two outer capsules of the torso.
      trunk: radius of the torso's middle capsule.
      collar: height at which the torso begins, on the line from the shoulders' middle to the hips'.
      chest_width: where the flanks begin, on the line from the shoulders' middle to a shoulder.
      pelvis_width: where the flanks end, on the line from the hips' middle to a hip.
      upper_arm: radius of an upper arm.
      lower_arm: radius of a lower arm with its hand.
      hand: length of the hand beyond the wrist, as a share of the lower arm.
      upper_leg: radius of an upper leg.
      lower_leg: radius of a lower leg.
      foot: radius of a foot.
      foot_below: distance of the foot's line from the ankle, along the shin.
      heel: length of the foot's line behind the ankle.
      toes: length of the foot's line before the ankle.
    """

    skull: float = 0.205
    skull_from: float = 0.745
    skull_to: float = 0.527
    neck: float = 0.169
    neck_to: float = 0.6
    flank: float = 0.24
    trunk: float = 0.283
    collar: float = 0.087
    chest_width: float = 0.321
    pelvis_width: float = 0.531
    upper_arm: float = 0.105
    lower_arm: float = 0.096
    hand: float = 0.386
    upper_leg: float = 0.148
    lower_leg: float = 0.121
    foot: float = 0.0935
    foot_below: float = 0.081
    heel: float = 0.041
    toes: float = 0.232


USUAL = Proportions()
"""The proportions of people, clothes included, fitted to the labels of `posed_people`.

They are what `volsynth data body --fit` finds on 256 pictures of the training split
(`diagnostics.body_fit`)."""

SLENDER = Proportions(
    skull=0.157,
    skull_from=0.71,
    skull_to=0.55,
    neck=0.102,
    neck_to=0.6,
    flank=0.17,
    trunk=0.178,
    collar=0.1,
    chest_width=0.42,
    pelvis_width=0.75,
    upper_arm=0.089,
    lower_arm=0.068,
    hand=0.45,
    upper_leg=0.132,
    lower_leg=0.093,
    foot=0.072,
    foot_below=0.1,
    heel=0.06,
    toes=0.25,
)
"""The proportions of bodies that are thinner than people, for `ops.reprojection`.

Networks learn better from them than from bodies that match people best, with the figures in
docs/reprojection.md."""


class Capsules(NamedTuple):
    """The capsules of some bodies, in the order of `PARTS`.

    Attributes:
      start: first ends of the segments, (x, y, z) in pixels.
      end: their other ends.
      radius: radii, in pixels.
      known: whether all joints that a capsule is made of are known.
    """

    start: Float[Array, "b n 3"]
    end: Float[Array, "b n 3"]
    radius: Float[Array, "b n"]
    known: Bool[Array, "b n"]


_TRUNK = ("right_shoulder", "left_shoulder", "right_hip", "left_hip")
_SIDES = ("right", "left")
_OWNERS = (
    *("head", "head", "torso", "torso", "torso"),
    *(f"{side}_{part}" for side in _SIDES for part in ("upper_arm", "lower_arm")),
    *(f"{side}_{part}" for side in _SIDES for part in ("upper_leg", "lower_leg", "lower_leg")),
)

PARTS = tuple(skeleton.PART_NAMES.index(name) for name in _OWNERS)
"""The index of the part in `skeleton.PARTS` that owns each capsule."""

NUM_CAPSULES = len(PARTS)


def capsules(
    joints: Float[Array, "b j 3"],
    visible: Bool[Array, "b j"],
    proportions: Proportions = USUAL,
) -> Capsules:
    """The capsules of some persons. Those that lack a joint are not known, and hold any values.

    Args:
      joints: pixels.
      visible: which joints are known.
      proportions: the proportions of the bodies.
    """
    joints = jax.lax.stop_gradient(joints)
    scale = pose_volumes.person_scale(joints, visible)[:, None]
    at = {name: joints[:, i] for name, i in skeleton.INDEX.items()}
    seen = {name: visible[:, i] for name, i in skeleton.INDEX.items()}
    found = [*_head(at, seen, proportions), *_torso(at, seen, proportions)]
    for side in _SIDES:
        found += _arm(side, at, seen, proportions)
    for side in _SIDES:
        found += _leg(side, at, seen, scale, proportions)
    start, end, radius, known = zip(*found)
    return Capsules(
        jnp.stack(start, axis=1),
        jnp.stack(end, axis=1),
        jnp.stack(radius) * scale,
        jnp.stack(known, axis=1),
    )


def _head(at, seen, p):
    neck, up = at["neck"], at["head_top"] - at["neck"]
    known = seen["neck"] & seen["head_top"]
    yield neck + p.skull_from * up, neck + p.skull_to * up, p.skull, known
    yield neck, neck + p.neck_to * up, p.neck, known


def _torso(at, seen, p):
    right_shoulder, left_shoulder, right_hip, left_hip = (at[name] for name in _TRUNK)
    shoulders, hips = (right_shoulder + left_shoulder) / 2, (right_hip + left_hip) / 2
    top = shoulders + p.collar * (hips - shoulders)
    known = seen[_TRUNK[0]] & seen[_TRUNK[1]] & seen[_TRUNK[2]] & seen[_TRUNK[3]]
    for shoulder, hip in ((right_shoulder, right_hip), (left_shoulder, left_hip)):
        chest = top + p.chest_width * (shoulder - shoulders)
        yield chest, hips + p.pelvis_width * (hip - hips), p.flank, known
    yield top, hips, p.trunk, known


def _arm(side, at, seen, p):
    shoulder, elbow, wrist = (f"{side}_{joint}" for joint in ("shoulder", "elbow", "wrist"))
    yield at[shoulder], at[elbow], p.upper_arm, seen[shoulder] & seen[elbow]
    tips = at[wrist] + p.hand * (at[wrist] - at[elbow])
    yield at[elbow], tips, p.lower_arm, seen[elbow] & seen[wrist]


def _leg(side, at, seen, scale, p):
    names = [f"{side}_{joint}" for joint in ("hip", "knee", "ankle")]
    hip, knee, ankle = (at[name] for name in names)
    yield hip, knee, p.upper_leg, seen[names[0]] & seen[names[1]]
    known = seen[names[1]] & seen[names[2]]
    yield knee, ankle, p.lower_leg, known
    # No joint says where the toes are; feet point to where the knee is bent.
    shin = _unit(ankle - knee)
    ahead = knee - (hip + ankle) / 2
    ahead = _unit(ahead - jnp.sum(ahead * shin, axis=-1, keepdims=True) * shin)
    sole = ankle + p.foot_below * scale * shin
    heel, toes = sole - p.heel * scale * ahead, sole + p.toes * scale * ahead
    yield heel, toes, p.foot, known & seen[names[0]]


def _unit(vector):
    length = jnp.linalg.norm(vector, axis=-1, keepdims=True)
    return vector / jnp.maximum(length, _TINY)
