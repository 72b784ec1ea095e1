"""Masks of the parts of capsule bodies: all of a part, and what a camera sees of it.

The first is the part as if it were alone; the second is what no other part hides. Systems that
draw a person in layers need both.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from volsynth import skeleton
from volsynth.ops import tiles
from volsynth.ops.body import raster
from volsynth.ops.body.capsules import USUAL, Proportions, capsules
from volsynth.ops.body.raster import FAR, Raster


class PartLayers(NamedTuple):
    """Every part of a body by itself, in the order of `skeleton.PARTS`.

    Attributes:
      mask: whether the part covers the pixel, hidden or not.
      depth: z of the front of the part in pixels; `raster.FAR` where it does not cover.
    """

    mask: Bool[Array, "b h w p"]
    depth: Float[Array, "b h w p"]


def visible_masks(body: Raster) -> Bool[Array, "b h w p"]:
    """The pixels in which each part is in front; the body's halo belongs to none.

    Args:
      body: the raster of the bodies.
    """
    inside = body.distance < 0
    return (body.part[..., None] == jnp.arange(skeleton.NUM_PARTS)) & inside[..., None]


def part_layers(
    joints: Float[Array, "b j 3"],
    visible: Bool[Array, "b j"],
    shape: tiles.Shape,
    side: float,
    proportions: Proportions = USUAL,
) -> PartLayers:
    """The layers of the parts of some bodies: what each covers, whatever hides it.

    Args:
      joints: pixels.
      visible: which joints are known; capsules that lack one are left out.
      shape: pixel counts (H, W), multiples of `tiles.SIZE`.
      side: width of the image in the pixels of the joints.
      proportions: the proportions of the bodies.
    """
    body = capsules(joints, visible, proportions)
    near = raster.near_tiles(body, jnp.zeros(joints.shape[0]), shape, side)

    def stage(pixels, _):
        most, look = raster.tile_capsules(body, near, pixels)

        def add(k, depth):
            part, there, met = look(k)
            here = jnp.where(there & (met.distance < 0), met.depth, FAR)
            mine = part[:, :, None, None, None] == jnp.arange(skeleton.NUM_PARTS)
            return jnp.minimum(depth, jnp.where(mine, here[..., None], FAR))

        nothing = jnp.full((*pixels.x.shape, skeleton.NUM_PARTS), FAR)
        return jax.lax.fori_loop(0, most, add, nothing)

    fill = jnp.full(skeleton.NUM_PARTS, FAR)
    (depth,) = tiles.compute([stage], near.count, shape, side, [fill])
    return PartLayers(depth < FAR, depth)
