"""Tiles: the squares of images in which something is to be computed, and the loops over them.

Most of an image is far from the person in it. Functions of pixels are computed in those tiles that
have any work, a few tiles of every example at a time; the number of turns follows their number at
run time. So the cost goes with the marked tiles of the example that has most. Rows and columns of
images are multiples of `SIZE`.

The loops have no gradient: what they compute depends on pictures and poses, which carry none.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

SIZE = 16
"""The number of pixels along a side of a tile."""

AT_ONCE = 16
"""The least number of tiles of every example that are computed in a turn of the loop."""

TURNS = 8
"""The number of turns of the loop for all tiles of an image of many tiles: with fewer ones more is
computed in vain, with more of them there is too little in a turn for several processors."""

Count = Any
"""A number of pixels: an int, or in exported programs a symbol that stands for any."""

Shape = tuple[Count, Count]
"""Height and width of an image in pixels."""


class Pixels(NamedTuple):
    """The pixels of some tiles of every example.

    Attributes:
      x: coordinates of their centres, in pixels of the cube that poses are in.
      y: as `x`.
      tile: index of each tile, in the order of `centres`.
    """

    x: Float[Array, "b t 16 16"]
    y: Float[Array, "b t 16 16"]
    tile: Int[Array, "b t"]


Stage = Callable[[Pixels, tuple], Any]
"""A function (pixels, values of the stages before) -> a pytree of arrays [B, T, 16, 16, ...]."""


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
    stages: Sequence[Stage],
    work: Int[Array, "b n"],
    shape: Shape,
    side: float,
    fills: Sequence[Any],
) -> tuple[Any, ...]:
    """The values of functions of pixels in some tiles, as images.

    Each stage has a loop of its own, after which its values are in memory: within one loop
    compilers may compute what a stage gives anew for every value that the next one makes of it.

    Args:
      stages: the functions, each of which is given the values of all those before.
      work: how much there is to do in every tile, in the order of `centres`; 0 to leave it out.
        Tiles with as much to do come in one turn.
      shape: pixel counts (H, W) of the images, multiples of `SIZE`.
      side: width of the image in the pixels that poses are in.
      fills: for each stage the pytree with the values of a pixel in tiles that are left out, [...].

    Returns:
      For each stage the pytree of images [B, H, W, ...].

    Raises:
      ValueError: the image cannot be divided into tiles.
    """
    if shape[0] % SIZE or shape[1] % SIZE:
        raise ValueError(f"images of {shape[0]} x {shape[1]}: both must be multiples of {SIZE}.")
    count = work.shape[1]
    # Those with most work first; a place in the list for each tile.
    order = jnp.argsort(-work, axis=1, stable=True).astype(jnp.int32)
    place = jnp.argsort(order, axis=1).astype(jnp.int32)
    # A symbol stands for the count in an exported program.
    at_once = max(AT_ONCE, -(-count // TURNS)) if isinstance(count, int) else AT_ONCE
    room = -(-count // at_once) * at_once
    order = jnp.pad(order, ((0, 0), (0, room - count)), mode="edge")
    turns = -(-jnp.max(jnp.sum(work > 0, axis=1, dtype=jnp.int32)) // at_once)
    listed = ()
    for stage, fill in zip(stages, fills):

        def block(tile, before, stage=stage, fill=fill):
            works = jnp.take_along_axis(work, tile, axis=1) > 0
            values = stage(_pixels(tile, shape, side), before)
            return jax.tree.map(lambda new, fill: _where(works, new, fill), values, fill)

        listed = (*listed, _listed(block, order, at_once, turns, listed, fill))
    return jax.tree.map(lambda values: _image(values, place, shape), listed)


def _pixels(tile, shape, side):
    """The pixels of tiles."""
    row, column = jnp.divmod(tile, shape[1] // SIZE)
    step = side / shape[1]
    inner = (jnp.arange(SIZE, dtype=jnp.float32) + 0.5) * step
    corner_y, corner_x = (
        (SIZE * step) * at.astype(jnp.float32)[..., None, None] for at in (row, column)
    )
    grid = (*tile.shape, SIZE, SIZE)
    x = jnp.broadcast_to(corner_x + inner, grid)
    return Pixels(x, jnp.broadcast_to(corner_y + inner[:, None], grid), tile)


def _listed(block, order, at_once, turns, before, fill):
    """The values [B, R, 16, 16, ...] of a stage in the order of the list, block by block."""

    def turn(i, listed):
        def taken(values):
            return jax.lax.dynamic_slice_in_dim(values, i * at_once, at_once, axis=1)

        values = block(taken(order), jax.tree.map(taken, before))
        return jax.tree.map(
            lambda whole, new: jax.lax.dynamic_update_slice_in_dim(whole, new, i * at_once, 1),
            listed,
            values,
        )

    def room_for(value):
        value = jnp.asarray(value)
        return jnp.broadcast_to(value, (*order.shape, SIZE, SIZE, *value.shape))

    return jax.lax.fori_loop(0, turns, turn, jax.tree.map(room_for, fill))


def _where(there, values, fill):
    """Values [B, T, ...] of tiles, or the fill [...] of a pixel."""
    return jnp.where(there.reshape(*there.shape, *[1] * (values.ndim - 2)), values, fill)


def _image(listed, place, shape):
    """The image [B, H, W, ...] of tiles [B, R, 16, 16, ...]: row by row, each row tile by tile."""
    batch, room, _, _, *rest = listed.shape
    rows = place.reshape(batch, -1, 1, shape[1] // SIZE) * SIZE + jnp.arange(SIZE)[:, None]
    strips = listed.reshape(batch, room * SIZE, SIZE, *rest)
    found = jax.vmap(lambda strips, rows: strips.at[rows].get(mode="promise_in_bounds"))(
        strips, rows.reshape(batch, -1)
    )
    return found.reshape(batch, *shape, *rest)
