"""Chroma keying: a background of one known colour is taken out of an image, or put behind one."""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

REACH = 0.3
"""The difference from the background's colour below which a pixel counts as partly background.

It is that of the channel that differs most, and covers what compression does to the background.
"""

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
    # A share and not a threshold: no pixel jumps between the two for a small change of its colour.
    return NEUTRAL + coverage(image, background) * (image - NEUTRAL)


def coverage(
    image: Float[Array, "b h w 3"], background: Sequence[float]
) -> Float[Array, "b h w 1"]:
    """The share of every pixel that is not background, in [0, 1].

    Args:
      image: in [-1, 1].
      background: its background's colour.
    """
    background = jnp.asarray(background, image.dtype)
    difference = jnp.max(jnp.abs(image - background), axis=-1, keepdims=True)
    return jnp.minimum(difference / REACH, 1.0)


def cut_out(image: Float[Array, "b h w 3"], background: Sequence[float]) -> Float[Array, "b h w 4"]:
    """The image without its background: colours times coverage, then the coverage.

    Args:
      image: in [-1, 1].
      background: its background's colour.
    """
    kept = coverage(image, background)
    return jnp.concatenate([image * kept, kept], axis=-1)


def over(painted: Float[Array, "b h w 4"], background: Sequence[float]) -> Float[Array, "b h w 3"]:
    """The image of paint over a background of one colour.

    Args:
      painted: the paint's colour in [-1, 1], then its coverage from -1 (none) to 1 (opaque).
      background: the background's colour, in [-1, 1].
    """
    background = jnp.asarray(background, painted.dtype)
    coverage = (painted[..., 3:] + 1) / 2
    return background + coverage * (painted[..., :3] - background)
