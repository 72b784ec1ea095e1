"""Sampling of images at any points: bilinear, and of the pixel that a point lies in.

Points are in pixels of the image that is sampled; the centre of the pixel in row i and column j is
at (j + 0.5, i + 0.5).
"""

import itertools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

Planes = tuple[Float[Array, "b *n"], ...]
"""Values of several channels, an array for each: arrays whose last axis is short are slow to make,
and to take apart."""

Picture = tuple[Float[Array, "b h w"], ...]
"""The planes of images that are sampled."""


def planes(images: Float[Array, "b h w c"]) -> Picture:
    """The channels of images, as an array for each."""
    return tuple(images[..., channel] for channel in range(images.shape[-1]))


def bilinear(images: Picture, x: Float[Array, "b *n"], y: Float[Array, "b *n"]) -> Planes:
    """Bilinear interpolation among the four nearest pixels; pixels outside of the image are zero.

    Args:
      images: the channels of the images.
      x: coordinates of the points.
      y: as `x`.

    Returns:
      The values of every channel.
    """
    height, width = images[0].shape[1:]
    # The corner above and to the left, by pixel centres.
    left, above = jnp.floor(x - 0.5), jnp.floor(y - 0.5)
    right_share, lower_share = x - 0.5 - left, y - 0.5 - above
    total = [jnp.zeros(())] * len(images)
    for down, right in itertools.product((0, 1), repeat=2):
        column, row = left + right, above + down
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        share = (right_share if right else 1 - right_share) * (
            lower_share if down else 1 - lower_share
        )
        share = jnp.where(inside, share, 0)
        # Channel by channel: side by side the weights would be computed anew for each.
        index = _index(column, row, height, width)
        total = [t + share * _taken(image, index) for t, image in zip(total, images)]
    return tuple(total)


def nearest(
    images: Sequence[Num[Array, "b h w"]], x: Float[Array, "b *n"], y: Float[Array, "b *n"]
) -> tuple[Num[Array, "b *n"], ...]:
    """The values of the pixels that points lie in; outside those of the nearest pixel.

    Args:
      images: the images, of the same size.
      x: coordinates of the points.
      y: as `x`.
    """
    index = _index(jnp.floor(x), jnp.floor(y), *images[0].shape[1:])
    return tuple(_taken(image, index) for image in images)


def _index(column, row, height, width):
    """The numbers of the pixels in some columns and rows, which are clipped where outside."""
    column = jnp.clip(column, 0, width - 1).astype(jnp.int32)
    row = jnp.clip(row, 0, height - 1).astype(jnp.int32)
    return jax.lax.optimization_barrier(row * width + column)


def _taken(image, index):
    """The pixels [B, *N] of an image [B, H, W] that have these numbers."""
    flat = image.reshape(image.shape[0], -1)
    found = jnp.take_along_axis(flat, index.reshape(index.shape[0], -1), axis=1)
    return found.reshape(index.shape)
