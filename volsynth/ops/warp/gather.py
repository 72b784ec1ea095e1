"""The warp over lists of targets: eight rows of features gathered for each, weighted and summed;
one row for the nearest.

The gradient scatters the same weights back, into the voxels that were gathered. Work goes with the
number of targets; on CPUs and GPUs this is the fastest form (docs/performance.md).
"""

import itertools
import math

import jax
import jax.numpy as jnp

from volsynth.ops.warp import voxel_lists

BLOCK = voxel_lists.BLOCK
"""Targets that are moved at once."""


def forward(interpolation, volume, masks, matrix, offset, targets, lowest):
    """Merges all parts.

    Args:
      interpolation: "linear" or "nearest".
      volume: [B, H, W, D, C].
      masks: [B, P, H, W, D], matrix and offset: of target to source, in voxels.
      targets: `VoxelLists` of them.
      lowest: [B, N, 1], what the maximum begins with.

    Returns:
      Merged features [B, N, C], and which part they are of, int8; -1 for none.
    """
    rows = volume.reshape(volume.shape[0], -1, volume.shape[-1])
    merged = jnp.broadcast_to(lowest, rows.shape).astype(volume.dtype)
    winner = jnp.full(rows.shape, -1, jnp.int8)

    def part(carry, p):
        mask = masks[:, p].reshape(masks.shape[0], -1)

        def block(i, carry):
            merged, winner = carry
            voxels, index, weights = _neighbours(
                interpolation, targets, mask, matrix, offset, p, i, masks.shape[2:]
            )
            near = voxel_lists.take(rows, index.reshape(index.shape[0], -1))
            near = near.reshape(*index.shape, -1).astype(jnp.float32)
            total = jnp.sum(near * weights[..., None], axis=2).astype(volume.dtype)
            return voxel_lists.put_larger(merged, winner, voxels, total, p)

        return jax.lax.fori_loop(0, targets.blocks(p, BLOCK), block, carry), None

    parts = jnp.arange(masks.shape[1])
    return jax.lax.scan(part, (merged, winner), parts)[0]


def backward(interpolation, gradient, winner, masks, matrix, offset, targets):
    """The gradient of the volume, [B, N, C], from that of the merged features."""
    rows = gradient.reshape(winner.shape)
    add = jax.vmap(lambda total, index, rows: total.at[index].add(rows, mode="drop"))

    def part(total, p):
        mask = masks[:, p].reshape(masks.shape[0], -1)

        def block(i, total):
            voxels, index, weights = _neighbours(
                interpolation, targets, mask, matrix, offset, p, i, masks.shape[2:]
            )
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
    """Block i of part p's targets [B, K], the eight voxels each takes from [B, K, 8] (or the one,
    [B, K, 1]; N where they are outside of the mask) and their weights."""
    count = math.prod(shape)
    voxels = targets.block(p, i, BLOCK)
    at = voxel_lists.positions(matrix[:, p], offset[:, p], voxel_lists.unravel(voxels, shape))
    if interpolation == "nearest":
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
