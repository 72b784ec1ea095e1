"""The multi-part volumetric warp (Knoche 2019, section 4.3.2).

Contract. Every part of a volume [H, W, D, C] is cut out by its mask, resampled trilinearly with its
own transform (zero outside of the mask and of the volume), and the parts are merged by their
maximum, per voxel and channel. A part contributes zero where it does not reach, and the maximum
includes these zeros. Transforms map target to source. Where several parts attain the maximum, the
first of them (the zeros before all) receives the gradient. Only the volume has a gradient: masks
and transforms come from poses, and poses carry none. With the interpolation "nearest" a position
has the features of the voxel that it lies in, and between two voxels those of the higher index.

Whatever moves is given by a mask and a transform: a part in 3D, a prism (`prisms`: a mask in the
image plane through all of the depth, with a `planar` transform), a part of an image (D = 1), and
the offcut, which stays where it is (`with_offcut`).

The parts are never copied. The voxels that can receive from a part are listed (`voxel_lists`), and
only those are computed. The number of blocks that are cut from the lists follows their length at
run time, so the result is exact for parts of any size, and the cost goes with the voxels of the
parts.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from volsynth.ops.pose_volumes import PartTransforms
from volsynth.ops.warp import gather, matmul, voxel_lists

FORMS = {"gather": gather, "matmul": matmul}
"""Modules that compute the warp, each in its own way, with the same results to rounding."""

INTERPOLATIONS = ("linear", "nearest")
"""Names of the interpolations; see the module's contract."""


def warp(
    volume: Float[Array, "b h w d c"],
    masks: Bool[Array, "b p h w d"],
    transforms: PartTransforms,
    side: float,
    form: str | None = None,
    interpolation: str = "linear",
) -> Float[Array, "b h w d c"]:
    """Moves every masked part by its transform and merges by maximum. See the module's contract.

    Args:
      volume: features.
      masks: the voxels of every part in the source.
      transforms: transforms of the parts from target to source, in pixels of a cube.
      side: the side of that cube in pixels, whatever the voxel counts.
      form: a name in `FORMS`; None is the fastest for the platform that the program runs on.
      interpolation: one of `INTERPOLATIONS`.

    Raises:
      ValueError: there is no such interpolation.
    """
    if interpolation not in INTERPOLATIONS:
        raise ValueError(f"unknown interpolation {interpolation!r}; one of {INTERPOLATIONS}.")
    matrix, offset = voxel_transforms(transforms, volume.shape[1:4], side)
    masks = masks & transforms.valid[:, :, None, None, None]
    # Poses carry no gradient; said here, so that none is computed for the transforms.
    matrix, offset = jax.lax.stop_gradient(matrix), jax.lax.stop_gradient(offset)
    return _warp(form, interpolation, volume, masks, matrix, offset)


def voxel_transforms(
    transforms: PartTransforms, shape: tuple[int, int, int], side: float
) -> tuple[Float[Array, "b p 3 3"], Float[Array, "b p 3"]]:
    """Transforms of voxel indices (h, w, d), for which the centre of voxel 0 is at 0.

    For an anisotropic volume this is the rescaling of section 4.3.2: the third row is multiplied
    by D / W and the third column divided by it.
    """
    # Arrays have rows first, poses x first.
    order = jnp.array((1, 0, 2))  # From (x, y, z) to (h, w, d).
    step = side / jnp.array(shape, transforms.matrix.dtype)
    matrix = transforms.matrix[:, :, order][:, :, :, order] * step / step[:, None]
    # p = (i + 1/2) step on both sides: i' = M i + M 1/2 + offset / step - 1/2.
    offset = transforms.offset[:, :, order] / step
    return matrix, offset + jnp.sum(matrix, axis=-1) / 2 - 0.5


def with_offcut(
    masks: Bool[Array, "b p h w d"], transforms: PartTransforms
) -> tuple[Bool[Array, "b q h w d"], PartTransforms]:
    """Adds the offcut as one more part that is not moved: the voxels in no mask (4.3.2)."""
    # A part that cannot be placed is empty, so its voxels are left to the offcut.
    masks = masks & transforms.valid[:, :, None, None, None]
    rest = ~jnp.any(masks, axis=1, keepdims=True)
    batch, dtype = masks.shape[0], transforms.matrix.dtype
    still = PartTransforms(
        matrix=jnp.broadcast_to(jnp.eye(3, dtype=dtype), (batch, 1, 3, 3)),
        offset=jnp.zeros((batch, 1, 3), dtype),
        valid=jnp.ones((batch, 1), bool),
    )
    joined = jax.tree.map(lambda a, b: jnp.concatenate([a, b], axis=1), transforms, still)
    return jnp.concatenate([masks, rest], axis=1), joined


def prisms(masks: Bool[Array, "b p h w d"]) -> Bool[Array, "b p h w d"]:
    """Masks projected to the image plane and extended through all of the depth (4.6)."""
    return jnp.broadcast_to(jnp.any(masks, axis=-1, keepdims=True), masks.shape)


def planar(
    matrix: Float[Array, "b p 2 2"], offset: Float[Array, "b p 2"], valid: Bool[Array, "b p"]
) -> PartTransforms:
    """Affine transforms of the image plane as transforms that leave the depth as it is.

    Args:
      matrix: linear parts, of (x, y).
      offset: translations, in pixels.
      valid: whether a part can be placed.
    """
    matrix = jnp.pad(matrix, ((0, 0), (0, 0), (0, 1), (0, 1))).at[..., 2, 2].set(1)
    return PartTransforms(matrix, jnp.pad(offset, ((0, 0), (0, 0), (0, 1))), valid)


# A gradient of its own: that of a maximum over parts would keep a moved copy of each part, and it
# is not exact once compiled (docs/performance.md).
@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _warp(form, interpolation, volume, masks, matrix, offset):
    return _forward(form, interpolation, volume, masks, matrix, offset)[0]


def _forward(form, interpolation, volume, masks, matrix, offset):
    targets, parts_of = voxel_lists.list_targets(masks, matrix, offset)
    # Where some part does not reach, the maximum includes a zero.
    lowest = jnp.where(parts_of < masks.shape[1], 0, jnp.finfo(volume.dtype).min)[..., None]
    arguments = (masks, matrix, offset, targets)
    merged, winner = _run(form, "forward", interpolation, volume, *arguments, lowest)
    return merged.reshape(volume.shape), (*arguments, winner)


def _backward(form, interpolation, residuals, gradient):
    *arguments, winner = residuals
    total = _run(form, "backward", interpolation, gradient, winner, *arguments)
    return total.reshape(gradient.shape), None, None, None


_warp.defvjp(_forward, _backward)


def _run(form, step, interpolation, *arguments):
    forms = {
        name: functools.partial(getattr(module, step), interpolation)
        for name, module in FORMS.items()
    }
    if form is not None:
        return forms[form](*arguments)
    # TPUs are slow at scattering rows, and fast at products (docs/performance.md).
    return jax.lax.platform_dependent(*arguments, tpu=forms["matmul"], default=forms["gather"])
