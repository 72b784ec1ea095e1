"""Channels: what a network is shown of a reprojection, and of a source's body."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from volsynth import skeleton
from volsynth.ops import keying
from volsynth.ops.body.raster import NOBODY, Raster
from volsynth.ops.reprojection.reprojection import Reprojection

NARROW = 0.04
"""The softness of the body's outline, as a share of the person's scale."""

HALO, WIDE = 0.15, 0.08
"""Distance from the body, and softness, of the outline of what may hang on it, as such shares."""


def channels(found: Reprojection, side: float) -> Float[Array, "b h w c"]:
    """Everything that is found for a target, as channels about as large as colours.

    For each candidate the colour, the coverage, what is seen and whether it is the same part; mean
    colour and composed picture; the body's outline, narrow and wide; depth, normals and parts; and
    what hangs beside the body, where that was asked for.

    Args:
      found: the reprojection.
      side: width of the image in the pixels of the poses.
    """
    target, scale = found.target, jnp.maximum(found.scale, 1e-3)[:, None, None]
    narrow = jax.nn.sigmoid(-target.distance / (NARROW * scale))
    wide = _wide(target, scale)
    shown = []
    for candidate in found.candidates:
        shown += [*_over_neutral(candidate.rgba), candidate.rgba[3], candidate.seen, candidate.own]
    shown += [plane * wide + (1 - wide) * keying.NEUTRAL for plane in found.mean]
    shown += [*_over_neutral(found.picture), narrow, wide, _depth(target, scale, side) * wide]
    shown += [axis * narrow for axis in (*target.normal, *found.normal)]
    if found.hem:
        shown += [*_over_neutral(found.hem), found.hem[3]]
    shown += _parts(target, wide)
    return jnp.stack(shown, axis=-1)


def body_channels(body: Raster, scale: Float[Array, " b"], side: float) -> Float[Array, "b h w c"]:
    """The channels of a body alone: outline, depth, and the part that every pixel shows.

    Args:
      body: the raster of the body.
      scale: the person's scale, in pixels of the poses.
      side: width of the image in these pixels.
    """
    scale = jnp.maximum(scale, 1e-3)[:, None, None]
    wide = _wide(body, scale)
    return jnp.stack([wide, _depth(body, scale, side) * wide, *_parts(body, wide)], axis=-1)


def _parts(body: Raster, share):
    return [(body.part == part) * share for part in range(skeleton.NUM_PARTS)]


def _wide(body: Raster, scale):
    return jax.nn.sigmoid((HALO * scale - body.distance) / (WIDE * scale))


def _depth(body: Raster, scale, side):
    # Poses have their mean depth at half of the side.
    return jnp.where(body.part != NOBODY, (body.depth - side / 2) / scale, 0)


def _over_neutral(rgba):
    *colour, alpha = rgba
    return [plane + (1 - alpha) * keying.NEUTRAL for plane in colour]
