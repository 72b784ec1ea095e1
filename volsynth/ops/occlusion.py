"""The pixels where a person hides parts of itself: two parts or more project onto them.

At such a pixel the picture shows the nearer part, and only depth says which that is. Joints are as
in `volsynth.ops.pose_volumes`.
"""

import itertools

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from volsynth import skeleton
from volsynth.ops import pose_volumes

WIDTH = 0.13
"""Half the width of a part, as a share of the distance from shoulder to hip.

Narrower than the masks that move features, which must not miss a pixel of a part: on `posed_people`
those of 0.2 reach beyond the person with a third of their pixels and let arms that hang beside the
torso overlap it; with 0.13 it is a sixth, and 93 % of the person's pixels under one part alone show
that part.
"""

JUNCTION = 2.0
"""Radius around a joint where the parts that meet there always overlap, in half widths."""


def _junctions(first: skeleton.Part, second: skeleton.Part) -> tuple[int, ...]:
    """The joints at which two parts are grown together."""
    # Overlap around these joints is there in any pose, and is no occlusion.
    shared = set(first.joints) & set(second.joints)
    if {first.name, second.name} == {"head", "torso"}:
        # The two have no joint in common, but the neck lies between the torso's shoulders.
        shared.add(skeleton.INDEX["neck"])
    return tuple(sorted(shared))


_PAIRS = tuple(
    (i, j, _junctions(skeleton.PARTS[i], skeleton.PARTS[j]))
    for i, j in itertools.combinations(range(skeleton.NUM_PARTS), 2)
)


def self_occluded(
    joints: Float[Array, "b j 3"],
    visible: Bool[Array, "b j"],
    mask: Bool[Array, "b h w"] | Float[Array, "b h w"],
    width: float = WIDTH,
) -> Bool[Array, "b h w"]:
    """The person's pixels onto which two or more parts project.

    Parts that are grown together overlap at the joint between them in any pose. That is no
    occlusion: their overlap does not count within `JUNCTION` half widths of the joint.

    Args:
      joints: pixels of the image.
      visible: which joints are known; a part with an unknown one hides nothing.
      mask: the person, where it is above 0.5; square.
      width: half the width of a part, as a share of the distance from shoulder to hip.
    """
    return jnp.any(overlapping_parts(joints, visible, mask, width), axis=1)


def overlapping_parts(
    joints: Float[Array, "b j 3"],
    visible: Bool[Array, "b j"],
    mask: Bool[Array, "b h w"] | Float[Array, "b h w"],
    width: float = WIDTH,
) -> Bool[Array, "b p h w"]:
    """The parts that overlap another part at each of the person's pixels.

    They are in the order of `skeleton.PARTS`.

    Where a pixel is `self_occluded` these are two parts or more, elsewhere none. The arguments are
    those of `self_occluded`.
    """
    side = float(mask.shape[2])
    parts = pose_volumes.part_silhouettes(joints, visible, mask.shape[1:], side, width)
    half_width = (
        pose_volumes.mask_dilations(
            pose_volumes.person_scale(joints, visible), (*mask.shape[1:], 1), side, width
        )[0][:, None, None]
        # Lines of a pixel's width, dilated: half a pixel is there before the first dilation.
        + 0.5
    )
    x, y = (pose_volumes.voxel_centres(count, side) for count in (mask.shape[2], mask.shape[1]))

    def near(joint):
        x_distance = x[None, None, :] - joints[:, joint, 0, None, None]
        y_distance = y[None, :, None] - joints[:, joint, 1, None, None]
        return x_distance**2 + y_distance**2 <= (JUNCTION * half_width) ** 2

    joined = sorted({joint for _, _, junctions in _PAIRS for joint in junctions})
    at_joint = {joint: near(joint) for joint in joined}
    # Pair by pair, since which overlap counts depends on where the two parts are grown together.
    found = [jnp.zeros(mask.shape, bool)] * skeleton.NUM_PARTS
    for i, j, junctions in _PAIRS:
        overlap = parts[:, i] & parts[:, j]
        for joint in junctions:
            overlap &= ~at_joint[joint]
        found[i], found[j] = found[i] | overlap, found[j] | overlap
    return jnp.stack(found, axis=1) & (mask.astype(jnp.float32) > 0.5)[:, None]
