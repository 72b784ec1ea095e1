"""Naive forms in JAX to measure ours against: the warp as printed, and XLA's own convolution."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from volsynth.ops.pose_volumes import PartTransforms
from volsynth.ops.warp import warp


def multi_part_warp(
    volume: Float[Array, "b h w d c"],
    masks: Bool[Array, "b p h w d"],
    transforms: PartTransforms,
    side: float,
) -> Float[Array, "b h w d c"]:
    """Computes `warp.warp` as Knoche 2019 describes it; its gradients are autodiff's."""
    parts = moved_parts(volume, masks, transforms, side)
    # The gradient of `jnp.max` compares with parts that are computed again, and rounding makes it
    # miss some; a choice made once is exact.
    winner = jnp.argmax(parts, axis=1, keepdims=True)
    index = jnp.arange(parts.shape[1]).reshape(1, -1, 1, 1, 1, 1)
    return jnp.sum(jnp.where(index == winner, parts, 0), axis=1)


def moved_parts(
    volume: Float[Array, "b h w d c"],
    masks: Bool[Array, "b p h w d"],
    transforms: PartTransforms,
    side: float,
) -> Float[Array, "b p h w d c"]:
    """Moves a masked copy of the volume for every part, by gathering eight neighbours per voxel."""
    shape = volume.shape[1:4]
    matrix, offset = warp.voxel_transforms(transforms, shape, side)
    masks = masks & transforms.valid[:, :, None, None, None]
    grid = jnp.stack(jnp.meshgrid(*map(jnp.arange, shape), indexing="ij"), axis=-1)
    centres = grid.reshape(-1, 3).astype(jnp.float32)

    def one_part(volume, mask, matrix, offset):
        positions = jnp.einsum("ij,nj->ni", matrix, centres, precision="highest") + offset
        return _sample(jnp.where(mask[..., None], volume, 0), positions).reshape(volume.shape)

    return jax.vmap(jax.vmap(one_part, (None, 0, 0, 0)))(volume, masks, matrix, offset)


def scanned_warp(
    volume: Float[Array, "b h w d c"],
    masks: Bool[Array, "b p h w d"],
    transforms: PartTransforms,
    side: float,
) -> Float[Array, "b h w d c"]:
    """Computes `warp.warp` part after part with a running maximum: one moved copy at a time.

    The gradient does not move the parts again: it scatters what each part won, in dense form.
    """
    shape = volume.shape[1:4]
    matrix, offset = warp.voxel_transforms(transforms, shape, side)
    masks = masks & transforms.valid[:, :, None, None, None]
    grid = jnp.stack(jnp.meshgrid(*map(jnp.arange, shape), indexing="ij"), axis=-1)
    centres = grid.reshape(-1, 3).astype(jnp.float32)
    parts = jnp.arange(masks.shape[1])

    def place(p):
        moved = jnp.einsum("bij,nj->bni", matrix[:, p], centres, precision="highest")
        return moved + offset[:, p, None]

    def move(volume, p):
        masked = jnp.where(masks[:, p, ..., None], volume, 0)
        return jax.vmap(_sample)(masked, place(p)).reshape(volume.shape)

    @jax.custom_vjp
    def merge(volume):
        return forward(volume)[0]

    def forward(volume):
        def part(carry, p):
            merged, winner = carry
            moved = move(volume, p)
            return (
                jnp.maximum(merged, moved),
                # int8: the winners are all that is kept for the gradient, one for each value.
                jnp.where(moved > merged, p, winner).astype(jnp.int8),
            ), None

        winner = jnp.zeros(volume.shape, jnp.int8)
        return jax.lax.scan(part, (move(volume, 0), winner), parts[1:])[0]

    def backward(winner, gradient):
        def part(total, p):
            given = jnp.where(winner == p, gradient, 0)
            # Moving is linear in the volume, so that its transpose needs no forward pass.
            return total + jax.linear_transpose(lambda v: move(v, p), given)(given)[0], None

        return (jax.lax.scan(part, jnp.zeros_like(gradient), parts)[0],)

    merge.defvjp(forward, backward)
    return merge(volume)


def _sample(volume, positions):
    """Trilinear samples of a volume [H, W, D, C] at positions [N, 3], zero outside."""
    limit = jnp.array(volume.shape[:3])
    low = jnp.floor(positions)
    total = 0.0
    for corner in jnp.stack(jnp.meshgrid(*[jnp.arange(2)] * 3, indexing="ij"), -1).reshape(-1, 3):
        at = low.astype(jnp.int32) + corner
        weight = jnp.prod(1 - jnp.abs(positions - at), axis=-1)
        inside = jnp.all((at >= 0) & (at < limit), axis=-1)
        # Clipped, as an index outside would wrap around; its weight is zero.
        h, w, d = jnp.moveaxis(jnp.clip(at, 0, limit - 1), -1, 0)
        total += jnp.where(inside, weight, 0)[:, None] * volume[h, w, d]
    return total


def conv3d(
    x: Float[Array, "b h w d c"], kernel: Float[Array, "i j k c o"]
) -> Float[Array, "b h w d o"]:
    """Computes XLA's own 3D convolution with zeros around the volume ("SAME")."""
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1, 1), "SAME", dimension_numbers=("NHWDC", "HWDIO", "NHWDC")
    )
