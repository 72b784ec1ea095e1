"""Tiles: the squares of images in which something is to be computed, and the loop over them.

Most of an image is far from the person in it. A function of pixels is computed in those tiles that
are marked, a few tiles of every example at a time; the number of turns follows their number at run
time. So its cost goes with the marked tiles of the example that has most, and no array is as large
as the image but the results. Rows and columns of images are multiples of `SIZE`.

The loop has no gradient: what it computes depends on pictures and poses, which carry none.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

SIZE = 16
"""The number of pixels along a side of a tile."""

AT_ONCE = 16
"""The number of tiles of every example that are computed in a turn of the loop."""


Count = Any
"""A number of pixels: an int, or in exported programs a symbol that stands for any."""

Shape = tuple[Count, Count]
"""Height and width of an image in pixels."""


class Pixels(NamedTuple):
    """The pixels of some tiles of every example.

    Attributes:
      x: coordinates of their centres, in pixels of the cube that poses are in.
      y: as `x`.
    """

    x: Float[Array, "b t 16 16"]
    y: Float[Array, "b t 16 16"]


def centres(shape: Shape, side: float) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """The centres (x, y) of all tiles of an image, row by row.

    Args:
      shape: pixel counts (H, W) of the image.
      side: width of the image in the pixels that poses are in.
    """
    rows, columns = shape[0] // SIZE, shape[1] // SIZE
    step = SIZE * side / shape[1]
    y, x = jnp.meshgrid(
        (jnp.arange(rows, dtype=jnp.float32) + 0.5) * step,
        (jnp.arange(columns, dtype=jnp.float32) + 0.5) * step,
        indexing="ij",
    )
    return x.reshape(-1), y.reshape(-1)


def compute(
    function: Callable[[Pixels], Any],
    marked: Bool[Array, "b n"],
    shape: Shape,
    side: float,
    fill: Any,
) -> Any:
    """The values of a function of pixels in the marked tiles, as images.

    Args:
      function: pixels -> a pytree of arrays [B, T, 16, 16, ...].
      marked: the tiles in which to compute it, in the order of `centres`.
      shape: pixel counts (H, W) of the images, multiples of `SIZE`.
      side: width of the image in the pixels that poses are in.
      fill: the same pytree with the value of a pixel in the other tiles, [...].

    Returns:
      The pytree of images [B, H, W, ...].

    Raises:
      ValueError: the image cannot be divided into tiles.
    """
    if shape[0] % SIZE or shape[1] % SIZE:
        raise ValueError(f"images of {shape[0]} x {shape[1]}: both must be multiples of {SIZE}.")
    batch, count = marked.shape
    columns = shape[1] // SIZE
    # The marked ones first, in their order; a place in the list for each tile.
    order = jnp.argsort(~marked, axis=1, stable=True).astype(jnp.int32)
    place = jnp.argsort(order, axis=1).astype(jnp.int32)
    room = -(-count // AT_ONCE) * AT_ONCE
    order = jnp.pad(order, ((0, 0), (0, room - count)), mode="edge")
    step = side / shape[1]
    inner = (jnp.arange(SIZE, dtype=jnp.float32) + 0.5) * step

    def turn(i, listed):
        tile = jax.lax.dynamic_slice_in_dim(order, i * AT_ONCE, AT_ONCE, axis=1)
        row, column = jnp.divmod(tile, columns)
        corner_y, corner_x = (
            (SIZE * step) * at.astype(jnp.float32)[..., None, None] for at in (row, column)
        )
        grid = (batch, AT_ONCE, SIZE, SIZE)
        pixels = Pixels(
            jnp.broadcast_to(corner_x + inner, grid),
            jnp.broadcast_to(corner_y + inner[:, None], grid),
        )
        # In the order of the list: that is one block, where tiles of the image are many.
        return jax.tree.map(
            lambda whole, new: jax.lax.dynamic_update_slice_in_dim(whole, new, i * AT_ONCE, 1),
            listed,
            function(pixels),
        )

    def room_for(value):
        value = jnp.asarray(value)
        return jnp.zeros((batch, room, SIZE, SIZE, *value.shape), value.dtype)

    turns = -(-jnp.max(jnp.sum(marked, axis=1, dtype=jnp.int32)) // AT_ONCE)
    listed = jax.lax.fori_loop(0, turns, turn, jax.tree.map(room_for, fill))

    def image(listed, fill):
        found = jax.vmap(lambda tiles, index: tiles[index])(listed, place)
        there = marked.reshape(*marked.shape, *[1] * (found.ndim - 2))
        return _untiled(jnp.where(there, found, fill), shape)

    return jax.tree.map(image, listed, fill)


def _untiled(image, shape):
    """[B, N, 16, 16, ...] -> [B, H, W, ...]."""
    batch, _, _, _, *rest = image.shape
    rows, columns = shape[0] // SIZE, shape[1] // SIZE
    grid = image.reshape(batch, rows, columns, SIZE, SIZE, *rest)
    return jnp.swapaxes(grid, 2, 3).reshape(batch, *shape, *rest)
