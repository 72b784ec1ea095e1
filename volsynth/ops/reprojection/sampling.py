"""Sampling of images at any points: bilinear, and of the pixel that a point lies in.

Points are in pixels of the image that is sampled; the centre of the pixel in row i and column j is
at (j + 0.5, i + 0.5).
"""

import itertools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

Planes = tuple[Float[Array, "b *n"], ...]
"""Values of several channels, an array for each: arrays whose last axis is short are slow to make,
and to take apart."""


def bilinear(
    images: Float[Array, "b h w c"], x: Float[Array, "b *n"], y: Float[Array, "b *n"]
) -> Planes:
    """Bilinear interpolation among the four nearest pixels; pixels outside of the image are zero.

    Args:
      images: the images.
      x: coordinates of the points.
      y: as `x`.

    Returns:
      The values of every channel.
    """
    height, width = images.shape[1:3]
    # The corner above and to the left, by pixel centres.
    left, above = jnp.floor(x - 0.5), jnp.floor(y - 0.5)
    right_share, lower_share = x - 0.5 - left, y - 0.5 - above
    total = 0.0
    for down, right in itertools.product((0, 1), repeat=2):
        column, row = left + right, above + down
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        share = (right_share if right else 1 - right_share) * (
            lower_share if down else 1 - lower_share
        )
        values = _rows(images, column, row)
        total += jnp.where(inside, share, 0)[..., None] * values
    return tuple(total[..., i] for i in range(images.shape[3]))


def nearest(
    images: Num[Array, "b h w c"], x: Float[Array, "b *n"], y: Float[Array, "b *n"]
) -> Num[Array, "b *n c"]:
    """The values of the pixels that points lie in; outside those of the nearest pixel.

    Args:
      images: the images.
      x: coordinates of the points.
      y: as `x`.
    """
    return _rows(images, jnp.floor(x), jnp.floor(y))


def _rows(images, column, row):
    """The pixels in some columns and rows, which may lie outside and are clipped then."""
    batch, height, width, channels = images.shape
    column = jnp.clip(column, 0, width - 1).astype(jnp.int32)
    row = jnp.clip(row, 0, height - 1).astype(jnp.int32)
    flat = images.reshape(batch, height * width, channels)
    index = jax.lax.optimization_barrier((row * width + column).reshape(batch, -1, 1))
    return jnp.take_along_axis(flat, index, axis=1).reshape(*row.shape, channels)
