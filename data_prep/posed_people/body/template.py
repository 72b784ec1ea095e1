"""The template mesh of every person: one skin for trunk and limbs, head, hands and feet."""

import functools
from typing import NamedTuple

import numpy as np

from data_prep.posed_people.body import anatomy, arithmetic, skinning, surface

BODY, HEAD, HAND, FOOT, SKIRT, HAIR = range(6)
"""The pieces of a mesh: what kind of surface a triangle belongs to."""

ARM_BLEND, LEG_BLEND = 0.075, 0.11
"""The width (m) over which the trunk's skin becomes that of an arm, and of a leg."""


class Mesh(NamedTuple):
    """A body, or a part of one, in template coordinates.

    Attributes:
      points: [V, 3] float32 positions (m).
      normals: [V, 3] float32 outward unit normals.
      member: [V] float32, 0 on the trunk (or head) to 1 on a limb; the seam is at 0.5.
      along: [V] float32, position along the limb (see `skinning.along_limb`).
      weights: [V, NUM_BONES] float32, how much each bone moves a vertex.
      triangles: [T, 3] int32, counter-clockwise from outside.
      piece: [T] int8, one of the pieces above.
      limb: [T] int8, the number of the nearest limb.
    """

    points: np.ndarray
    normals: np.ndarray
    member: np.ndarray
    along: np.ndarray
    weights: np.ndarray
    triangles: np.ndarray
    piece: np.ndarray
    limb: np.ndarray


def normals_of(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Area-weighted unit normals [V, 3] of a mesh."""
    corners = points[triangles]
    face = arithmetic.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(points)
    for corner in range(3):
        np.add.at(normals, triangles[:, corner], face)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def make_mesh(
    points: np.ndarray,
    triangles: np.ndarray,
    member: np.ndarray,
    along: np.ndarray,
    weights: np.ndarray,
    piece: int,
    limb_of_vertex: np.ndarray,
) -> Mesh:
    """Makes a mesh, with its normals, of arrays of any dtype.

    Args:
      points: [V, 3] positions (m).
      triangles: [T, 3] corners.
      member: [V] 0 on the trunk to 1 on a limb.
      along: [V] positions along the limb.
      weights: [V, NUM_BONES] skinning weights.
      piece: the kind of surface, the same for all triangles.
      limb_of_vertex: [V] the number of the nearest limb.
    """
    float32 = functools.partial(np.asarray, dtype=np.float32)
    return Mesh(
        float32(points),
        float32(normals_of(np.asarray(points, float), triangles)),
        float32(member),
        float32(along),
        float32(weights),
        np.asarray(triangles, np.int32),
        np.full(len(triangles), piece, np.int8),
        np.asarray(limb_of_vertex, np.int8)[triangles[:, 0]],
    )


def join(meshes: list[Mesh]) -> Mesh:
    """Joins several meshes to one."""
    # Corners are numbers of vertices, which are shifted when meshes are put together.
    starts = np.cumsum([0] + [len(m.points) for m in meshes[:-1]])
    triangles = [m.triangles + np.int32(s) for m, s in zip(meshes, starts)]
    fields = {
        name: np.concatenate([getattr(m, name) for m in meshes])
        for name in Mesh._fields
        if name != "triangles"
    }
    return Mesh(**fields, triangles=np.concatenate(triangles))


def _body() -> Mesh:
    """The skin of trunk, neck, arms and legs."""
    low, high = np.array([-0.690, 0.02, -0.22]), np.array([0.690, 1.69, 0.22])
    # The cells are larger here than for head, hands and feet, whose details are smaller.
    points, triangles = surface.extract(anatomy.body_distance, low, high, 0.023)
    trunk = np.minimum(anatomy.torso_distance(points), anatomy.neck_distance(points))
    arm, leg = anatomy.arm_distance(points), anatomy.leg_distance(points)
    # The nearer of the two: arms and legs never touch in the template.
    is_arm = arm < leg
    # Half way between trunk and limb both distances are equal, and the seam is there.
    member = np.where(is_arm, (trunk - arm) / ARM_BLEND, (trunk - leg) / LEG_BLEND) + 0.5
    member = np.clip(member, 0.0, 1.0)
    limb = np.where(is_arm, 0, 2) + (points[:, 0] > 0)
    along, weights = np.zeros(len(points)), np.zeros((len(points), skinning.NUM_BONES))
    for i in range(4):
        mine = limb == i
        along[mine] = skinning.along_limb(points[mine], i)
        weights[mine] = skinning.blend_weights(points[mine], i, member[mine], along[mine])
    return make_mesh(points, triangles, member, along, weights, BODY, limb)


def _head() -> Mesh:
    """The head, which moves as one piece."""
    low, high = np.array([-0.1235, 1.48, -0.14]), np.array([0.1235, 1.80, 0.16])
    points, triangles = surface.extract(anatomy.head_distance, low, high, 0.013)
    zero = np.zeros(len(points))
    weights = np.zeros((len(points), skinning.NUM_BONES))
    weights[:, skinning.HEAD] = 1.0
    return make_mesh(points, triangles, zero, zero, weights, HEAD, zero)


def _extremity(limb: int) -> Mesh:
    """The hand or foot of a limb."""
    if limb < 2:
        box = np.array([-0.08, -0.20, -0.06]), np.array([0.10, 0.06, 0.07])
        points, triangles = surface.extract(anatomy.hand_distance, *box, 0.0112)
    else:
        box = np.array([-0.085, -0.12, -0.12]), np.array([0.085, 0.10, 0.23])
        points, triangles = surface.extract(anatomy.foot_distance, *box, 0.0175)
    left = 1 if limb < 2 else 3
    frame = skinning.REST.end[left]
    points = points @ frame.T + skinning.REST.tip[left]
    if limb in (0, 2):
        # A mirror image turns triangles inside out, so that their corners are reversed.
        points, triangles = points * [-1.0, 1.0, 1.0], triangles[:, ::-1]
    along = skinning.along_limb(points, limb)
    one = np.ones(len(points))
    weights = skinning.blend_weights(
        # Hands bend at the wrist only; feet are rigid, beyond the end of the blend.
        points,
        limb,
        one,
        np.maximum(along, 1.8) if limb < 2 else 2.1 * one,
    )
    along = np.maximum(along, 1.8)
    return make_mesh(points, triangles, one, along, weights, HAND if limb < 2 else FOOT, one * limb)


@functools.cache
def template() -> Mesh:
    """The mesh of a body without clothes and hair.

    It is the same for everyone, and made once per process.
    """
    return join([_body(), _head(), *(_extremity(limb) for limb in range(4))])
