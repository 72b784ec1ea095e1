"""The warp as matrix products of weights between blocks of targets and blocks of sources.

The weights between a block of targets and a block of sources are a small dense matrix (ones and
zeros for the nearest); the warp is a product with it, its gradient the product with the transpose.
Most weights are zero, so this multiplies far more than needed, but in the operation that TPUs are
made for; they are slow at gathering and scattering rows.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Num

from volsynth.ops.warp import voxel_lists
from volsynth.ops.warp.voxel_lists import VoxelLists

BLOCK = 128
"""The number of voxels in a block of targets and in a block of sources."""


def hat_weights(
    positions: Float[Array, "*b n k"], centres: Float[Array, "*b m k"]
) -> Float[Array, "*b n m"]:
    """The matrix of linear interpolation: the weight of the voxel at each centre, by position.

    The weight is a product of hats, max(0, 1 - |distance|), one per axis. Sampling is the product
    `hat_weights(positions, centres) @ values`, and its gradient the product with the transpose.
    """
    weights = 1.0
    for axis in range(positions.shape[-1]):
        distance = positions[..., :, None, axis] - centres[..., None, :, axis]
        weights = weights * jnp.maximum(1 - jnp.abs(distance), 0)
    return weights


def nearest_weights(
    positions: Float[Array, "*b n k"], centres: Float[Array, "*b m k"]
) -> Float[Array, "*b n m"]:
    """The matrix that takes the nearest voxel, or of two as near the one with the higher index."""
    voxels = jnp.floor(positions + 0.5)
    equal = jnp.all(voxels[..., :, None, :] == centres[..., None, :, :], axis=-1)
    return equal.astype(positions.dtype)


WEIGHTS = {"linear": hat_weights, "nearest": nearest_weights}
"""The functions that make the weights, by the name of the interpolation."""


def forward(
    interpolation: str,
    volume: Float[Array, "b h w d c"],
    masks: Bool[Array, "b p h w d"],
    matrix: Float[Array, "b p 3 3"],
    offset: Float[Array, "b p 3"],
    targets: VoxelLists,
    lowest: Num[Array, "b n 1"],
) -> tuple[Float[Array, "b n c"], Int[Array, "b n c"]]:
    """Moves all parts and merges them; arguments and results are those of `gather.forward`."""
    shape = volume.shape[1:4]
    # Only voxels in the mask are sources, so the weights need no mask.
    sources = voxel_lists.list_sources(masks)
    rows = volume.reshape(volume.shape[0], -1, volume.shape[-1])
    merged = jnp.broadcast_to(lowest, rows.shape).astype(volume.dtype)
    winner = jnp.full(rows.shape, -1, jnp.int8)

    def part(carry, p):
        def target_block(i, carry):
            merged, winner = carry
            voxels, at = _target_block(targets, matrix, offset, p, i, shape)

            def source_block(j, total):
                taken, centres = _source_block(sources, p, j, shape)
                weights = WEIGHTS[interpolation](at, centres).astype(volume.dtype)
                return total + weights @ voxel_lists.take(rows, taken)

            total = jnp.zeros((*voxels.shape, volume.shape[-1]), volume.dtype)
            total = jax.lax.fori_loop(0, sources.blocks(p, BLOCK), source_block, total)
            return voxel_lists.put_larger(merged, winner, voxels, total, p)

        return jax.lax.fori_loop(0, targets.blocks(p, BLOCK), target_block, carry), None

    return jax.lax.scan(part, (merged, winner), jnp.arange(masks.shape[1]))[0]


def backward(
    interpolation: str,
    gradient: Float[Array, "b h w d c"],
    winner: Int[Array, "b n c"],
    masks: Bool[Array, "b p h w d"],
    matrix: Float[Array, "b p 3 3"],
    offset: Float[Array, "b p 3"],
    targets: VoxelLists,
) -> Float[Array, "b n c"]:
    """The gradient of the volume; arguments and result are those of `gather.backward`."""
    shape = masks.shape[2:]
    sources = voxel_lists.list_sources(masks)
    rows = gradient.reshape(winner.shape)

    # Sources outside, targets inside: each block of sources is summed up before it is written.
    def part(total, p):
        def source_block(j, total):
            taken, centres = _source_block(sources, p, j, shape)

            def target_block(i, block):
                voxels, at = _target_block(targets, matrix, offset, p, i, shape)
                # Of the parts at a voxel only the one that won the maximum has a gradient.
                won = voxel_lists.take(winner, voxels) == p
                weights = WEIGHTS[interpolation](at, centres).astype(gradient.dtype)
                given = jnp.where(won, voxel_lists.take(rows, voxels), 0)
                return block + jnp.swapaxes(weights, -1, -2) @ given

            block = jnp.zeros((*taken.shape, gradient.shape[-1]), gradient.dtype)
            block = jax.lax.fori_loop(0, targets.blocks(p, BLOCK), target_block, block)
            return voxel_lists.put(total, taken, voxel_lists.take(total, taken) + block)

        return jax.lax.fori_loop(0, sources.blocks(p, BLOCK), source_block, total), None

    return jax.lax.scan(part, jnp.zeros_like(rows), jnp.arange(masks.shape[1]))[0]


def _source_block(sources, p, j, shape):
    """Block j of part p's sources: flat indices [B, K] and centres [B, K, 3]."""
    voxels = sources.block(p, j, BLOCK)
    return voxels, jnp.stack(voxel_lists.unravel(voxels, shape), axis=-1).astype(jnp.float32)


def _target_block(targets, matrix, offset, p, i, shape):
    """Block i of part p's targets: flat indices [B, K] and the positions they sample, [B, K, 3]."""
    voxels = targets.block(p, i, BLOCK)
    at = voxel_lists.positions(matrix[:, p], offset[:, p], voxel_lists.unravel(voxels, shape))
    return voxels, jnp.stack(at, axis=-1)
