"""What ours is measured against in JAX: the warp as it is printed, and XLA's own convolution."""

import jax
import jax.numpy as jnp

from volsynth.ops import warp


def multi_part_warp(volume, masks, transforms, side):
    """`warp.warp` as the thesis describes it; gradients are autodiff's."""
    parts = moved_parts(volume, masks, transforms, side)
    # The gradient of `jnp.max` compares with parts that are computed again, and rounding makes it
    # miss some; a choice made once is exact.
    winner = jnp.argmax(parts, axis=1, keepdims=True)
    index = jnp.arange(parts.shape[1]).reshape(1, -1, 1, 1, 1, 1)
    return jnp.sum(jnp.where(index == winner, parts, 0), axis=1)


def moved_parts(volume, masks, transforms, side):
    """A masked copy of the volume for every part, each resampled by gathering eight neighbours;
    [B, P, H, W, D, C]."""
    shape = volume.shape[1:4]
    matrix, offset = warp.voxel_transforms(transforms, shape, side)
    masks = masks & transforms.valid[:, :, None, None, None]
    grid = jnp.stack(jnp.meshgrid(*map(jnp.arange, shape), indexing="ij"), axis=-1)
    centres = grid.reshape(-1, 3).astype(jnp.float32)

    def one_part(volume, mask, matrix, offset):
        positions = jnp.einsum("ij,nj->ni", matrix, centres, precision="highest") + offset
        return _sample(jnp.where(mask[..., None], volume, 0), positions).reshape(volume.shape)

    return jax.vmap(jax.vmap(one_part, (None, 0, 0, 0)))(volume, masks, matrix, offset)


def _sample(volume, positions):
    """Trilinear, zero outside; volume [H, W, D, C] at positions [N, 3]."""
    limit = jnp.array(volume.shape[:3])
    low = jnp.floor(positions)
    total = 0.0
    for corner in jnp.stack(jnp.meshgrid(*[jnp.arange(2)] * 3, indexing="ij"), -1).reshape(-1, 3):
        at = low.astype(jnp.int32) + corner
        weight = jnp.prod(1 - jnp.abs(positions - at), axis=-1)
        inside = jnp.all((at >= 0) & (at < limit), axis=-1)
        h, w, d = jnp.moveaxis(jnp.clip(at, 0, limit - 1), -1, 0)
        total += jnp.where(inside, weight, 0)[:, None] * volume[h, w, d]
    return total


def conv3d(x, kernel):
    """XLA's own 3D convolution, "SAME"."""
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1, 1), "SAME", dimension_numbers=("NHWDC", "HWDIO", "NHWDC")
    )
