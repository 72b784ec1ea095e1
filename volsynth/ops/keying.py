"""Chroma keying: a background of one known colour taken out of an image, and put behind another."""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

REACH = 0.3
"""Pixels nearer to the background, in the channel that differs most, count as partly background;
that covers what compression does to it."""

NEUTRAL = -1 / 3
"""The grey that takes the background's place: about the mean of people and their clothes."""


def remove(image: Float[Array, "b h w 3"], background: Sequence[float]) -> Float[Array, "b h w 3"]:
    """The image with a neutral grey for its background.

    A network that normalises its features over the image measures every colour by the largest
    difference in it. Against magenta that is the silhouette, 1.7 along the axis from magenta to
    green, where clothes vary by 0.17.

    Args:
      image: in [-1, 1].
      background: its background's colour.
    """
    background = jnp.asarray(background, image.dtype)
    difference = jnp.max(jnp.abs(image - background), axis=-1, keepdims=True)
    kept = jnp.minimum(difference / REACH, 1.0)
    return NEUTRAL + kept * (image - NEUTRAL)


def over(painted: Float[Array, "b h w 4"], background: Sequence[float]) -> Float[Array, "b h w 3"]:
    """Paint over a background: colour in [-1, 1], then coverage from -1 (none) to 1 (opaque)."""
    background = jnp.asarray(background, painted.dtype)
    coverage = (painted[..., 3:] + 1) / 2
    return background + coverage * (painted[..., :3] - background)
