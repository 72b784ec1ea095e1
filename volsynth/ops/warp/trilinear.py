"""The N-linear sampler.

Contract. Positions are in voxels, in the order of the volume's axes; the centre of voxel (i, j, k)
is at (i, j, k). Between centres values are interpolated linearly along every axis; beyond the
border lies zero, and the interpolation towards it too is linear. The gradient with respect to the
volume is exact; that with respect to positions is the piecewise one of the interpolation.
"""

import itertools

import jax.numpy as jnp
from jaxtyping import Array, Float


def sample(volume: Float[Array, "*axes c"], positions: Float[Array, "n k"]) -> Float[Array, "n c"]:
    """Samples one volume of any number k of axes at n positions.

    Args:
      volume: k spatial axes, then channels.
      positions: in voxels, one coordinate per spatial axis.
    """
    shape = volume.shape[:-1]
    lower = jnp.floor(positions)
    fraction = positions - lower
    lower = lower.astype(jnp.int32)
    total = jnp.zeros((positions.shape[0], volume.shape[-1]), volume.dtype)
    for corner in itertools.product((0, 1), repeat=len(shape)):
        index = lower + jnp.array(corner)
        inside = jnp.all((index >= 0) & (index < jnp.array(shape)), axis=-1)
        weight = jnp.prod(jnp.where(jnp.array(corner) == 1, fraction, 1 - fraction), axis=-1)
        weight = jnp.where(inside, weight, 0).astype(volume.dtype)
        clipped = jnp.clip(index, 0, jnp.array(shape) - 1)
        total += weight[:, None] * volume[tuple(clipped[:, a] for a in range(len(shape)))]
    return total


def hat_weights(
    positions: Float[Array, "*b n k"], centres: Float[Array, "*b m k"]
) -> Float[Array, "*b n m"]:
    """The same interpolation as a matrix: the weight of the voxel at each centre at each position.

    The N-linear weight of a voxel is a product of hats, max(0, 1 - |distance|), one per axis; so
    sampling is `hat_weights(positions, centres) @ values`, and its gradient the transposed product.
    """
    weights = 1.0
    for axis in range(positions.shape[-1]):
        distance = positions[..., :, None, axis] - centres[..., None, :, axis]
        weights = weights * jnp.maximum(1 - jnp.abs(distance), 0)
    return weights


def nearest_weights(
    positions: Float[Array, "*b n k"], centres: Float[Array, "*b m k"]
) -> Float[Array, "*b n m"]:
    """The matrix that takes the nearest voxel; of two as near the one with the larger index."""
    voxels = jnp.floor(positions + 0.5)
    equal = jnp.all(voxels[..., :, None, :] == centres[..., None, :, :], axis=-1)
    return equal.astype(positions.dtype)


WEIGHTS = {"linear": hat_weights, "nearest": nearest_weights}
"""By the name of the interpolation."""
