"""Hems: what hangs on the parts of a person beside the capsules, as skirts, coats and long hair do.

Capsules have no clothes. Beside them, a source's picture shows at which distance from which part
there still is something, and of which colour: the rings around each part, of which means are taken
here. A ring says what may hang there in any pose, where a single moved pixel may show what stood
beside the part by chance.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volsynth import skeleton
from volsynth.ops.body import raster
from volsynth.ops.body.raster import Raster
from volsynth.ops.reprojection import composition
from volsynth.ops.reprojection.candidates import Source
from volsynth.ops.reprojection.sampling import Planes

EDGES = (0.0, 0.04, 0.09, 0.16, raster.REACH)
"""The distances from the outline between which the rings lie, as shares of the person's scale."""

RINGS = len(EDGES) - 1
"""The number of rings around each part."""


def ring_means(sources: Sequence[Source]) -> Float[Array, "b r 4"]:
    """The mean premultiplied colour and coverage of every ring around every part.

    A ring of which the sources show hardly anything has the means of the ring around its mirror
    part; where neither is to be seen they are 0.

    Args:
      sources: pictures of one person.

    Returns:
      Those of ring n of part p are in row p * `RINGS` + n.
    """
    sums = sum(_sums(source) for source in sources)
    total, count = sums[..., :4], sums[..., 4:]
    mean = total / jnp.maximum(count, 1)
    rows = np.arange(skeleton.NUM_PARTS * RINGS).reshape(-1, RINGS)
    mirror = rows[np.array(skeleton.PART_MIRROR)].reshape(-1)
    return composition.with_counterparts(mean, count, mirror)


def _sums(source) -> Float[Array, "b r 5"]:
    """The sums over the pixels of every ring, and their number."""
    rows = jnp.arange(skeleton.NUM_PARTS * RINGS)[:, None, None]
    there = (_row(source.body, source.scale)[:, None] == rows).astype(jnp.float32)
    values = jnp.stack([*source.rgba, jnp.ones_like(source.rgba[0])], axis=1)
    # Accelerators multiply matrices with 8 or 11 bits by default.
    return jnp.einsum("brhw,bchw->brc", there, values, precision=jax.lax.Precision.HIGHEST)


def _row(body: Raster, scale):
    """The row of the ring that a pixel lies in; -1 where it lies in none."""
    scale = scale[(slice(None), *[None] * (body.part.ndim - 1))]
    ring = sum((body.distance >= edge * scale).astype(jnp.int32) for edge in EDGES[1:-1])
    beside = (body.distance >= 0) & (body.part != raster.NOBODY)
    return jnp.where(beside, body.part * RINGS + ring, -1)


def around(means: Float[Array, "b r 4"], target: Raster, scale: Float[Array, " b"]) -> Planes:
    """What hangs on a target's parts at every pixel, four planes; 0 within the capsules.

    Args:
      means: `ring_means`.
      target: raster of the target at some pixels.
      scale: the target's scale.
    """
    row = _row(target, scale)
    flat = jnp.maximum(row, 0).reshape(row.shape[0], -1)
    there = (row >= 0).astype(jnp.float32)
    return tuple(
        jnp.take_along_axis(means[..., i], flat, axis=1).reshape(row.shape) * there
        for i in range(4)
    )
