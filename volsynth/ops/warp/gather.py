"""The warp by gathering rows: for each listed target eight rows of features, weighted and summed.

For the nearest voxel it is one row. The gradient scatters the same weights back into the voxels
that were gathered. Work goes with the number of targets; on CPUs this is the fastest form that was
measured (docs/performance.md).
"""

import itertools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Num

from volsynth.ops.warp import voxel_lists
from volsynth.ops.warp.voxel_lists import VoxelLists

BLOCK = voxel_lists.BLOCK
"""The number of targets that are moved at once."""


def forward(
    interpolation: str,
    volume: Float[Array, "b h w d c"],
    masks: Bool[Array, "b p h w d"],
    matrix: Float[Array, "b p 3 3"],
    offset: Float[Array, "b p 3"],
    targets: VoxelLists,
    lowest: Num[Array, "b n 1"],
) -> tuple[Float[Array, "b n c"], Int[Array, "b n c"]]:
    """Moves all parts and merges them by their maximum.

    Args:
      interpolation: one of `warp.INTERPOLATIONS`.
      volume: features.
      masks: the voxels of every part in the source.
      matrix: linear parts of the transforms from target to source, in voxels.
      offset: translations of the transforms, in voxels.
      targets: lists of the voxels that can receive from each part.
      lowest: values that the maximum begins with, for each of the N voxels.

    Returns:
      Merged features, and as int8 the number of the part that each is of; -1 for none.
    """
    rows = volume.reshape(volume.shape[0], -1, volume.shape[-1])
    merged = jnp.broadcast_to(lowest, rows.shape).astype(volume.dtype)
    winner = jnp.full(rows.shape, -1, jnp.int8)

    # One part after the other: moved copies of all of them would take P times the memory.
    def part(carry, p):
        mask = masks[:, p].reshape(masks.shape[0], -1)

        def block(i, carry):
            merged, winner = carry
            voxels, index, weights = _neighbours(
                interpolation, targets, mask, matrix, offset, p, i, masks.shape[2:]
            )
            near = voxel_lists.take(rows, index.reshape(index.shape[0], -1))
            # Weights and sums are float32, so that half precision rounds a value only once.
            near = near.reshape(*index.shape, -1).astype(jnp.float32)
            total = jnp.sum(near * weights[..., None], axis=2).astype(volume.dtype)
            return voxel_lists.put_larger(merged, winner, voxels, total, p)

        # The number of blocks is known at run time only: as many as the longest list needs.
        return jax.lax.fori_loop(0, targets.blocks(p, BLOCK), block, carry), None

    parts = jnp.arange(masks.shape[1])
    return jax.lax.scan(part, (merged, winner), parts)[0]


def backward(
    interpolation: str,
    gradient: Float[Array, "b h w d c"],
    winner: Int[Array, "b n c"],
    masks: Bool[Array, "b p h w d"],
    matrix: Float[Array, "b p 3 3"],
    offset: Float[Array, "b p 3"],
    targets: VoxelLists,
) -> Float[Array, "b n c"]:
    """The gradient of the volume, from that of the merged features.

    Args:
      interpolation, masks, matrix, offset, targets: see `forward`.
      gradient: gradient of the merged features.
      winner: the second result of `forward`.
    """
    rows = gradient.reshape(winner.shape)
    # Voxels outside of the mask have the index N, which is dropped.
    add = jax.vmap(lambda total, index, rows: total.at[index].add(rows, mode="drop"))

    def part(total, p):
        mask = masks[:, p].reshape(masks.shape[0], -1)

        def block(i, total):
            voxels, index, weights = _neighbours(
                interpolation, targets, mask, matrix, offset, p, i, masks.shape[2:]
            )
            # Of the parts at a voxel only the one that won the maximum has a gradient.
            won = voxel_lists.take(winner, voxels) == p
            given = jnp.where(won, voxel_lists.take(rows, voxels), 0).astype(jnp.float32)
            given = given[:, :, None] * weights[..., None]
            flat = (index.shape[0], -1)
            return add(total, index.reshape(flat), given.reshape(*flat, given.shape[-1]))

        return jax.lax.fori_loop(0, targets.blocks(p, BLOCK), block, total), None

    # Many targets may take from one voxel: the sum is kept in float32.
    total = jnp.zeros(rows.shape, jnp.float32)
    return jax.lax.scan(part, total, jnp.arange(masks.shape[1]))[0].astype(gradient.dtype)


def _neighbours(interpolation, targets, mask, matrix, offset, p, i, shape):
    """Block i of part p's targets, [B, K], with the voxels that each takes from, and their weights.

    There are eight of them, [B, K, 8], or the nearest one, [B, K, 1]; those outside of the mask are
    N, and have the weight 0.
    """
    count = math.prod(shape)
    voxels = targets.block(p, i, BLOCK)
    at = voxel_lists.positions(matrix[:, p], offset[:, p], voxel_lists.unravel(voxels, shape))
    if interpolation == "nearest":
        # Not jnp.round: it takes halves to even numbers, where the contract has the higher index.
        low, along = [jnp.floor(a + 0.5) for a in at], [(1.0,)] * 3
    else:
        low = [jnp.floor(a) for a in at]
        along = [(1 - (a - b), a - b) for a, b in zip(at, low)]
    index, weights = [], []
    for corner in itertools.product(range(len(along[0])), repeat=3):
        near = tuple(b.astype(jnp.int32) + c for b, c in zip(low, corner))
        flat = voxel_lists.ravel(near, shape)
        taken = jnp.take_along_axis(mask, flat, axis=1, mode="fill", fill_value=False)
        weight = math.prod(along[axis][c] for axis, c in enumerate(corner))
        index.append(jnp.where(taken, flat, count))
        weights.append(jnp.where(taken, weight, 0))
    return voxels, jnp.stack(index, axis=-1), jnp.stack(weights, axis=-1)
