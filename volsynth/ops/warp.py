"""The multi-part volumetric warp (seed 000, section 4.3.2).

Contract. Every part of a volume [H, W, D, C] is cut out by its mask, resampled trilinearly with its
own transform (zero outside of the mask and of the volume), and the parts are merged by their
maximum, per voxel and channel. A part contributes zero where it does not reach, and the maximum
includes these zeros. Transforms map target to source. Where several parts attain the maximum, the
first of them (the zeros before all) receives the gradient. Only the volume has a gradient: masks
and transforms come from poses, and poses carry none. 2D is the case D = 1.

The parts are never copied. For each, the voxels of its mask (sources) and those that can receive
from them (targets) are packed into lists, and the trilinear weights between a block of targets and
a block of sources are a small matrix: the warp is a product with it, its gradient the product with
the transpose. The number of blocks follows the lists, at run time, so the result is exact for parts
of any size and the cost goes with the voxels of the parts.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from volsynth.ops import sampling
from volsynth.ops.pose import PartTransforms

BLOCK = 128
"""Voxels in one block of a packed list."""


class _Packed(NamedTuple):
    """The voxels of every part, as lists of flat indices padded to whole blocks.

    Attributes:
      sources: [P, B, L], the voxels inside the mask; padded with the number of voxels, N.
      targets: [P, B, L], the voxels that can receive from them; padded with N.
      blocks: [P, 2], how many blocks of targets and of sources hold anything, the largest of the
        batch.
      zeros: [B, N], whether the maximum includes a zero: some part does not reach the voxel.
    """

    sources: Int[Array, "p b l"]
    targets: Int[Array, "p b l"]
    blocks: Int[Array, "p 2"]
    zeros: Bool[Array, "b n"]


def warp(
    volume: Float[Array, "b h w d c"],
    masks: Bool[Array, "b p h w d"],
    transforms: PartTransforms,
    side: float,
) -> Float[Array, "b h w d c"]:
    """Moves every masked part by its transform and merges by maximum. See the module's contract.

    Args:
      volume: features.
      masks: the voxels of every part in the source.
      transforms: target to source, in pixels of a cube.
      side: the side of that cube in pixels, whatever the voxel counts.
    """
    matrix, offset = voxel_transforms(transforms, volume.shape[1:4], side)
    masks = masks & transforms.valid[:, :, None, None, None]
    return _warp(volume, masks, jax.lax.stop_gradient(matrix), jax.lax.stop_gradient(offset))


def voxel_transforms(
    transforms: PartTransforms, shape: tuple[int, int, int], side: float
) -> tuple[Float[Array, "b p 3 3"], Float[Array, "b p 3"]]:
    """The transforms on voxel indices (h, w, d), where the centre of voxel 0 is at 0.

    For an anisotropic volume this is the rescaling of section 4.3.2: the third row is multiplied
    by D / W and the third column divided by it.
    """
    order = jnp.array((1, 0, 2))  # From (x, y, z) to (h, w, d).
    step = side / jnp.array(shape, transforms.matrix.dtype)
    matrix = transforms.matrix[:, :, order][:, :, :, order] * step / step[:, None]
    # p = (i + 1/2) step on both sides: i' = M i + M 1/2 + offset / step - 1/2.
    offset = transforms.offset[:, :, order] / step
    return matrix, offset + jnp.sum(matrix, axis=-1) / 2 - 0.5


@jax.custom_vjp
def _warp(volume, masks, matrix, offset):
    return _forward(volume, masks, matrix, offset)[0]


def _forward(volume, masks, matrix, offset):
    shape = volume.shape[1:4]
    packed = _pack(masks, matrix, offset)
    flat_BNC = volume.reshape(volume.shape[0], -1, volume.shape[-1])
    lowest = jnp.finfo(volume.dtype).min
    zeros_BN1 = jnp.where(packed.zeros[..., None], 0, lowest).astype(volume.dtype)
    merged = jnp.broadcast_to(zeros_BN1, flat_BNC.shape)
    winner = jnp.full(merged.shape, -1, jnp.int8)

    def part(carry, p):
        def target_block(i, carry):
            merged, winner = carry
            targets, positions = _target_block(packed, matrix, offset, p, i, shape)

            def source_block(j, total):
                sources, centres = _source_block(packed, p, j, shape)
                weights = sampling.hat_weights(positions, centres).astype(volume.dtype)
                return total + weights @ _take(flat_BNC, sources)

            total = jnp.zeros((*targets.shape, volume.shape[-1]), volume.dtype)
            total = jax.lax.fori_loop(0, packed.blocks[p, 1], source_block, total)
            before = _take(merged, targets)
            better = (total > before) | jnp.isnan(total)  # Like `jnp.maximum`: NaN stays visible.
            merged = _put(merged, targets, jnp.where(better, total, before))
            winner = _put(winner, targets, jnp.where(better, p, _take(winner, targets)))
            return merged, winner

        return jax.lax.fori_loop(0, packed.blocks[p, 0], target_block, carry), None

    (merged, winner), _ = jax.lax.scan(part, (merged, winner), jnp.arange(masks.shape[1]))
    return merged.reshape(volume.shape), (packed, matrix, offset, winner)


def _backward(residuals, gradient):
    packed, matrix, offset, winner = residuals
    shape = gradient.shape[1:4]
    flat_BNC = gradient.reshape(winner.shape)

    def part(total, p):
        def source_block(j, total):
            sources, centres = _source_block(packed, p, j, shape)

            def target_block(i, block):
                targets, positions = _target_block(packed, matrix, offset, p, i, shape)
                won = _take(winner, targets) == p
                weights = sampling.hat_weights(positions, centres).astype(gradient.dtype)
                given = jnp.where(won, _take(flat_BNC, targets), 0)
                return block + jnp.swapaxes(weights, -1, -2) @ given

            block = jnp.zeros((*sources.shape, gradient.shape[-1]), gradient.dtype)
            block = jax.lax.fori_loop(0, packed.blocks[p, 0], target_block, block)
            return _put(total, sources, _take(total, sources) + block)

        return jax.lax.fori_loop(0, packed.blocks[p, 1], source_block, total), None

    total, _ = jax.lax.scan(part, jnp.zeros_like(flat_BNC), jnp.arange(matrix.shape[1]))
    return total.reshape(gradient.shape), None, None, None


_warp.defvjp(_forward, _backward)


def _pack(masks, matrix, offset):
    batch, parts, *shape = masks.shape
    count = np.prod(shape)
    # A target can receive if a voxel of the mask lies within less than one voxel of the position it
    # samples; the mask grown by one voxel, looked up at the position's floor, covers all of those.
    grown = jnp.pad(masks, ((0, 0), (0, 0), (1, 1), (1, 1), (1, 1)))
    for axis in (2, 3, 4):
        size = grown.shape[axis]
        ends = [jax.lax.slice_in_dim(grown, i, size - 1 + i, axis=axis) for i in (0, 1)]
        grown = ends[0] | ends[1]
    # [B, P, H + 1, W + 1, D + 1]; entry i covers the voxels i - 1 and i.
    centres = _unravel(jnp.arange(count), shape)
    # Accelerators multiply float32 with 8 or 11 bits by default; positions need all of them.
    positions = jnp.einsum("bpij,nj->bpni", matrix, centres, precision="highest")
    positions += offset[:, :, None]
    corner = jnp.floor(positions).astype(jnp.int32) + 1
    limit = jnp.array(shape)
    inside = jnp.all((corner >= 0) & (corner <= limit), axis=-1)
    h, w, d = jnp.moveaxis(jnp.clip(corner, 0, limit), -1, 0)
    flat = (h * (shape[1] + 1) + w) * (shape[2] + 1) + d
    reached = jnp.take_along_axis(grown.reshape(batch, parts, -1), flat, axis=2) & inside
    sources, source_blocks = _compact(masks.reshape(batch, parts, -1))
    targets, target_blocks = _compact(reached)
    return _Packed(
        sources=jnp.moveaxis(sources, 1, 0),
        targets=jnp.moveaxis(targets, 1, 0),
        blocks=jnp.stack([target_blocks, source_blocks], axis=1),
        zeros=~jnp.all(reached, axis=1),
    )


def _compact(flags):
    """Indices of the set flags [B, P, N], padded with N to whole blocks; blocks per part."""
    count = flags.shape[-1]
    rank = jnp.cumsum(flags, axis=-1, dtype=jnp.int32)
    length = -(-count // BLOCK) * BLOCK
    slots = jnp.where(flags, rank - 1, length)
    order = jnp.arange(count, dtype=jnp.int32)
    empty = jnp.full((length,), count, jnp.int32)
    packed = jax.vmap(jax.vmap(lambda slots: empty.at[slots].set(order, mode="drop")))(slots)
    return packed, jnp.max(-(-rank[..., -1] // BLOCK), axis=0)


def _source_block(packed, p, j, shape):
    """One block of sources: flat indices [B, K] and centres [B, K, 3]."""
    sources = jax.lax.dynamic_slice_in_dim(packed.sources[p], j * BLOCK, BLOCK, axis=1)
    return sources, _unravel(sources, shape)


def _target_block(packed, matrix, offset, p, i, shape):
    """One block of targets: flat indices [B, K] and the positions they sample, [B, K, 3]."""
    targets = jax.lax.dynamic_slice_in_dim(packed.targets[p], i * BLOCK, BLOCK, axis=1)
    centres = _unravel(targets, shape)
    positions = jnp.einsum("bij,bkj->bki", matrix[:, p], centres, precision="highest")
    return targets, positions + offset[:, p, None]


def _unravel(flat, shape):
    """Voxel coordinates of flat indices; the padding index gets coordinates beyond the volume."""
    h, rest = jnp.divmod(flat, shape[1] * shape[2])
    w, d = jnp.divmod(rest, shape[2])
    return jnp.stack([h, w, d], axis=-1).astype(jnp.float32)


def _take(values_BNC, index_BK):
    """Rows of each example; zero for the padding index."""
    return jax.vmap(lambda values, index: values.at[index].get(mode="fill", fill_value=0))(
        values_BNC, index_BK
    )


def _put(values_BNC, index_BK, rows_BKC):
    """Replaces rows of each example; the padding index is dropped."""
    return jax.vmap(lambda values, index, rows: values.at[index].set(rows, mode="drop"))(
        values_BNC, index_BK, rows_BKC.astype(values_BNC.dtype)
    )
