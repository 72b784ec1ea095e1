"""Lists of the voxels that a part occupies, and of those it can reach under its transform.

Contract. For every part and example a list of flat voxel indices, without repetition, padded with
N, the number of voxels. A source is a voxel inside the part's mask; a target is a voxel whose
sampled position has one of its eight neighbours inside the mask, so all other voxels receive zero.
Time goes with the voxels that are listed: tiles of the volume are tested first, and only those that
hold a source, or whose image under the transform comes near one, are looked through. One pass over
the masks, as bytes, is all that goes with the size of the volume times the number of parts.

Lists of targets have room for a share of the volume. A part that needs more is given all voxels
instead, which is as exact: those out of its reach receive zero. Sources have room for all.
"""

import functools
import itertools
import math
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Num

BLOCK = 128
"""The number of voxels that divides the room of each list; a divisor of it is read at a time."""

ROOM = 1 / 8
"""The share of the volume that a list of targets has room for; limbs take 1 %, a torso 2 %."""

TILE = 4
"""The number of voxels along a side of a tile."""

TILES = 32
"""The number of tiles of every part that are looked through at once."""

SLACK = 0.01
"""The margin around a tile's image, in voxels; it is more than rounding moves a position."""

# One array for each axis: arrays whose last axis is 3 long would be slow (docs/performance.md).
Coordinates = tuple[Array, Array, Array]
"""Coordinates (h, w, d) of voxels or positions, each an array of any shape."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class VoxelLists:
    """The listed voxels of every part.

    Attributes:
      voxels: flat indices of the voxels, [B, P, L]; N where a list has ended.
      longest: length of each part's longest list in the batch, [P]; it may be more than there is
        room for.
      count: N, the number of voxels of the volume.
    """

    voxels: Int[Array, "b p l"]
    longest: Int[Array, " p"]
    count: int = field(metadata={"static": True})

    def blocks(self, part: Int[Array, ""], size: int) -> Int[Array, ""]:
        """The number of blocks of a part's lists that hold anything."""
        length = jnp.where(self._overflows(part), self.count, self.longest[part])
        return -(-length // size)

    def block(self, part: Int[Array, ""], i: Int[Array, ""], size: int) -> Int[Array, "b k"]:
        """Block i of a part's lists, or of all voxels for a part that had not enough room."""
        start, batch = i * size, self.voxels.shape[0]
        listed = jax.lax.dynamic_slice(self.voxels, (0, part, start), (batch, 1, size))[:, 0]
        every = jnp.minimum(start + jnp.arange(size, dtype=jnp.int32), self.count)
        return jnp.where(self._overflows(part), every, listed)

    def _overflows(self, part):
        # The longest of the batch decides, as all examples go through the same number of blocks.
        return self.longest[part] > self.voxels.shape[2]


def list_sources(masks: Bool[Array, "b p h w d"]) -> VoxelLists:
    """Lists of the voxels of every mask."""
    batch, parts, *shape = masks.shape
    tiling = _Tiling(shape)
    flat_masks = masks.reshape(batch, parts, -1)

    def in_mask(_, flat):
        return jnp.take_along_axis(flat_masks, flat, axis=2, mode="fill", fill_value=False)

    return _list_voxels(_filled_tiles(masks, tiling), in_mask, tiling, room=1)[0]


def list_targets(
    masks: Bool[Array, "b p h w d"],
    matrix: Float[Array, "b p 3 3"],
    offset: Float[Array, "b p 3"],
) -> tuple[VoxelLists, Int[Array, "b n"]]:
    """Lists of the voxels that can receive from every mask.

    Args:
      masks: the voxels of every part in the source.
      matrix: linear parts of the transforms from target to source, in voxels.
      offset: translations of the transforms, in voxels.

    Returns:
      The lists, and for every voxel the number of parts that reach it.
    """
    tiling = _Tiling(masks.shape[2:])
    shape = tiling.shape
    corners = tuple(n + 1 for n in shape)
    # Without the barrier XLA computes all of this again in every turn of the loop that reads it.
    grown = jax.lax.optimization_barrier(_grown(masks))

    def in_reach(voxels, _):
        # Corner i of the grid lies between the voxels i - 1 and i, hence the 1.
        at = (jnp.floor(p).astype(jnp.int32) + 1 for p in positions(matrix, offset, voxels))
        at = ravel(tuple(at), corners)
        return jnp.take_along_axis(grown, at, axis=2, mode="fill", fill_value=False)

    reaching = _reaching_tiles(_filled_tiles(masks, tiling), matrix, offset, tiling)
    return _list_voxels(reaching, in_reach, tiling, ROOM)


def positions(
    matrix: Float[Array, "*b 3 3"], offset: Float[Array, "*b 3"], voxels: Coordinates
) -> Coordinates:
    """The positions in the source of the voxels [*b, n] of the target, in voxels.

    Written out rather than as a product of matrices: that would be slower on CPUs, and accelerators
    multiply with 8 or 11 bits by default.
    """
    return tuple(
        sum(matrix[..., i, j, None] * v for j, v in enumerate(voxels)) + offset[..., i, None]
        for i in range(3)
    )


def unravel(flat: Int[Array, "*n"], shape: tuple[int, ...]) -> Coordinates:
    """The coordinates of flat indices; for the padding of a list they are beyond the volume."""
    rest, d = jnp.divmod(flat, shape[2])
    return *jnp.divmod(rest, shape[1]), d


def ravel(voxels: Coordinates, shape: tuple[int, ...]) -> Int[Array, "*n"]:
    """The flat indices of voxels; N for those beyond the volume."""
    h, w, d = voxels
    return jnp.where(inside(voxels, shape), (h * shape[1] + w) * shape[2] + d, math.prod(shape))


def inside(voxels: Coordinates, shape: tuple[int, ...]) -> Bool[Array, "*n"]:
    """Whether voxels are in the volume."""
    return functools.reduce(jnp.logical_and, ((v >= 0) & (v < n) for v, n in zip(voxels, shape)))


def take(values: Num[Array, "b n c"], index: Int[Array, "b k"]) -> Num[Array, "b k c"]:
    """Takes rows of each example; the padding of a list gives zeros."""
    return jax.vmap(lambda values, index: values.at[index].get(mode="fill", fill_value=0))(
        values, index
    )


def put(
    values: Num[Array, "b n c"], index: Int[Array, "b k"], rows: Num[Array, "b k c"]
) -> Num[Array, "b n c"]:
    """Replaces rows of each example; the padding of a list is dropped."""
    return jax.vmap(lambda values, index, rows: values.at[index].set(rows, mode="drop"))(
        values, index, rows.astype(values.dtype)
    )


def put_larger(
    values: Num[Array, "b n c"],
    winner: Int[Array, "b n c"],
    index: Int[Array, "b k"],
    rows: Num[Array, "b k c"],
    part: Int[Array, ""],
) -> tuple[Num[Array, "b n c"], Int[Array, "b n c"]]:
    """Replaces the values that are smaller than those given, and notes the part in `winner`."""
    before = take(values, index)
    larger = (rows > before) | jnp.isnan(rows)  # Like `jnp.maximum`: NaN stays visible.
    won = jnp.where(larger, part, take(winner, index))
    return put(values, index, jnp.where(larger, rows, before)), put(winner, index, won)


class _Tiling:
    """The division of a volume into tiles; the last ones may reach beyond it."""

    def __init__(self, shape) -> None:
        self.shape = tuple(shape)
        self.sides = tuple(min(TILE, count) for count in self.shape)
        self.counts = tuple(-(-n // side) for n, side in zip(self.shape, self.sides))


def _grown(masks):
    """Flags [B, P, (H + 1) (W + 1) (D + 1)]: whether the mask holds any of the eight voxels around
    a corner of the grid; along each axis, entry i lies between the voxels i - 1 and i."""
    # With a zero before every row, a shift of the flat array runs over from a row's end into zeros.
    grown = jnp.pad(masks, ((0, 0), (0, 0), (1, 0), (1, 0), (1, 0)))
    _, _, _, width, depth = grown.shape
    grown = grown.reshape(*masks.shape[:2], -1)
    # Of the flat array, which is ten times as fast as of one with five axes.
    for step in (1, depth, width * depth):
        grown |= jnp.pad(grown[..., step:], ((0, 0), (0, 0), (0, step)))
    return grown


def _filled_tiles(masks, tiling):
    """The tiles [B, P, *counts] that hold a voxel of the mask."""
    beyond = [(0, n * s - m) for n, s, m in zip(tiling.counts, tiling.sides, tiling.shape)]
    masks = jnp.pad(masks, [(0, 0), (0, 0), *beyond])
    for axis, (count, side) in enumerate(zip(tiling.counts, tiling.sides), start=2):
        split = masks.reshape(*masks.shape[:axis], count, side, *masks.shape[axis + 1 :])
        layers = (jax.lax.index_in_dim(split, i, axis + 1, keepdims=False) for i in range(side))
        masks = functools.reduce(jnp.logical_or, layers)
    return masks


def _reaching_tiles(filled, matrix, offset, tiling):
    """The tiles [B, P, *counts] of the target that may receive from a filled one.

    The image of a tile under the transform lies in a box; running sums tell whether the tiles that
    the box touches hold anything.
    """
    halves = [(side - 1) / 2 for side in tiling.sides]
    index = jnp.indices(tiling.counts).reshape(3, -1)
    centres = (i * side + half for i, side, half in zip(index, tiling.sides, halves))
    centres = positions(matrix, offset, tuple(centres))
    overlaps, low, high = True, [], []
    for i, (centre, side, count) in enumerate(zip(centres, tiling.sides, tiling.shape)):
        extent = sum(jnp.abs(matrix[:, :, i, j]) * half for j, half in enumerate(halves)) + SLACK
        # A position takes from the voxels at its floor and one further on.
        first = jnp.floor(centre - extent[..., None])
        final = jnp.floor(centre + extent[..., None]) + 1
        overlaps &= (final >= 0) & (first < count)
        low.append(jnp.clip(first, 0, count - 1).astype(jnp.int32) // side)
        high.append(jnp.clip(final, 0, count - 1).astype(jnp.int32) // side + 1)
    # With a zero before every axis, for boxes that begin at the volume's border.
    sums = jnp.pad(filled.astype(jnp.int32), [(0, 0), (0, 0), (1, 0), (1, 0), (1, 0)])
    for axis in (2, 3, 4):
        sums = jnp.cumsum(sums, axis=axis)
    flat = sums.reshape(*sums.shape[:2], -1)
    # The sum over a box from the running sums at its eight corners.
    total = 0
    for upper in itertools.product((0, 1), repeat=3):
        at = ravel(tuple((low, high)[u][i] for i, u in enumerate(upper)), sums.shape[2:])
        total += (-1) ** (3 - sum(upper)) * jnp.take_along_axis(flat, at, axis=2)
    return (overlaps & (total > 0)).reshape(filled.shape)


def _list_voxels(flags, keep, tiling, room):
    """Lists the voxels of the flagged tiles [B, P, *counts] for which `keep` is true.

    `keep` is asked about coordinates, each [B, P, K], and flat indices, N beyond the volume.
    Returns the lists, and for every voxel how many parts list it, [B, N].
    """
    batch, parts = flags.shape[:2]
    count = math.prod(tiling.shape)
    length = math.ceil(count * room / BLOCK) * BLOCK
    order, used = _list_tiles(flags.reshape(batch, parts, -1))
    inner = jnp.indices(tiling.sides).reshape(3, -1)
    at_indices = jax.vmap(jax.vmap(lambda row, at, value: row.at[at].set(value, mode="drop")))
    added = jax.vmap(lambda row, at, value: row.at[at].add(value, mode="drop"))

    def some_tiles(i, carry):
        listed, ends, parts_of = carry
        index = jax.lax.dynamic_slice_in_dim(order, i * TILES, TILES, axis=2)
        # The padding of the tiles' list lies beyond the volume, and so do its voxels.
        first = (i * side for i, side in zip(unravel(index, tiling.counts), tiling.sides))
        voxels = tuple((f[..., None] + i).reshape(batch, parts, -1) for f, i in zip(first, inner))
        flat = ravel(voxels, tiling.shape)
        kept = keep(voxels, flat) & (flat < count)
        rank = ends[..., None] + jnp.cumsum(kept, axis=-1, dtype=jnp.int32)
        # What there is no room for is dropped; `blocks` will know.
        listed = at_indices(listed, jnp.where(kept, rank - 1, length), flat)
        parts_of = added(parts_of, flat.reshape(batch, -1), kept.reshape(batch, -1))
        return listed, rank[..., -1], parts_of

    start = (
        jnp.full((batch, parts, length), count, jnp.int32),
        jnp.zeros((batch, parts), jnp.int32),
        jnp.zeros((batch, count), jnp.int32),
    )
    # As many turns as the part with most tiles needs, which is known at run time only.
    turns = -(-jnp.max(used) // TILES)
    listed, ends, parts_of = jax.lax.fori_loop(0, turns, some_tiles, start)
    return VoxelLists(listed, jnp.max(ends, axis=0), count), parts_of


def _list_tiles(flags):
    """Indices of the set flags [B, P, T], padded with T to a multiple of TILES; how many [B, P]."""
    count = flags.shape[-1]
    rank = jnp.cumsum(flags, axis=-1, dtype=jnp.int32)
    length = -(-count // TILES) * TILES
    # Whatever is not flagged goes to a slot beyond the end, and is dropped.
    slots = jnp.where(flags, rank - 1, length)
    empty = jnp.full((length,), count, jnp.int32)
    order = jnp.arange(count, dtype=jnp.int32)
    fill = jax.vmap(jax.vmap(lambda slots: empty.at[slots].set(order, mode="drop")))
    return fill(slots), rank[..., -1]
