"""Composition without learning: a picture of moved pixels, and the colours it falls back on.

The person is what the source shows of itself; else what it shows in a mirror; else what shows
through, which has at least the right part's colours; else the mean colour of the part.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volsynth import skeleton
from volsynth.ops.body import raster
from volsynth.ops.body.raster import Raster
from volsynth.ops.reprojection.candidates import Candidate, Source, View
from volsynth.ops.reprojection.sampling import Planes

MIRROR_WEIGHT = 0.3
"""Weight of what only the mirrored source shows, where 1 is that of what the source shows."""

THROUGH_WEIGHT = 0.1
"""Weight of the pixels of the right part where another point of it is wanted."""

MEAN_WEIGHT = 1e-3
"""Weight of the part's mean colour, which counts where there is nothing else."""

EDGE = 0.05
"""The distance beside the body up to which pixels count for the mean colour of a part."""

OUTLINE = 0.02
"""The softness of the outline of the body in a picture without learning."""

MIRROR_SHARE = 0.05
"""The share of its counterpart's pixels of which a region needs as many for its own mean."""


def part_means(sources: Sequence[Source]) -> Float[Array, "b p 3"]:
    """The mean colour of every part in pictures of one person, in [-1, 1].

    A part that the sources hardly show has the colour of its counterpart on the other side; where
    neither is to be seen the colour is 0.
    """
    total = sum(map(_part_sums, sources))
    weight = total[..., 3:]
    mean = total[..., :3] / jnp.maximum(weight, 1e-3)
    return with_counterparts(mean, weight, np.array(skeleton.PART_MIRROR))


def with_counterparts(
    mean: Float[Array, "b r c"], weight: Float[Array, "b r 1"], mirror: np.ndarray
) -> Float[Array, "b r c"]:
    """Means of regions of a person, with those of their counterparts where they are hardly seen.

    Args:
      mean: of each region.
      weight: how much of each is seen.
      mirror: the index of each region's counterpart on the other side, [R].
    """
    share = weight / jnp.maximum(weight + MIRROR_SHARE * weight[:, mirror], 1e-6)
    return share * mean + (1 - share) * mean[:, mirror]


def _part_sums(source) -> Float[Array, "b p 4"]:
    """The sums of premultiplied colour and coverage over the pixels of every part."""
    body = source.body
    near = body.distance < EDGE * source.scale[:, None, None]
    parts = jnp.arange(skeleton.NUM_PARTS)[:, None, None]
    # A product of matrices, which takes a seventh of the time of ten masked sums.
    there = ((body.part[:, None] == parts) & near[:, None]).astype(jnp.float32)
    rgba = jnp.stack(source.rgba, axis=1)
    return jnp.einsum("bphw,bchw->bpc", there, rgba, precision=jax.lax.Precision.HIGHEST)


def mean_colour(means: Float[Array, "b p 3"]) -> raster.Attach:
    """The function that attaches their mean colours to a target's parts, for `raster.cast`.

    Args:
      means: `part_means`.
    """

    def attach(pick, depth, x, y):
        del depth, y
        colour = pick(means)
        return tuple(jnp.broadcast_to(colour[..., i], x.shape) for i in range(3))

    return attach


def compose(
    target: Raster,
    scale: Float[Array, " b"],
    candidates: Sequence[tuple[View, Candidate]],
    mean: Planes,
) -> Planes:
    """The picture without learning: premultiplied colour and coverage of every pixel, four planes.

    Args:
      target: raster of the target.
      scale: the target's scale, pixels.
      candidates: the candidates with the views that they are of.
      mean: the mean colour of the part at every pixel.
    """
    total, beside = [0.0] * 4, 0.0
    for view, candidate in candidates:
        weight = candidate.seen**2 + THROUGH_WEIGHT * candidate.own
        weight = weight * (MIRROR_WEIGHT if view.mirrored else 1.0)
        total = [t + weight * plane for t, plane in zip(total, candidate.rgba)]
        if not view.mirrored:
            beside = jnp.maximum(beside, candidate.own * candidate.rgba[3])
    # Within the capsules all is covered; beside them what the same part of the source covers.
    scale = scale[(slice(None), *[None] * (target.part.ndim - 1))]
    inside = jax.nn.sigmoid(-target.distance / (OUTLINE * jnp.maximum(scale, 1e-3)))
    alpha = jnp.maximum(inside, beside)
    share = alpha / (total[3] + MEAN_WEIGHT)
    return (*(share * (t + MEAN_WEIGHT * m) for t, m in zip(total, mean)), alpha)
