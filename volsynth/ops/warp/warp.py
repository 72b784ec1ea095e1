"""The multi-part volumetric warp (seed 000, section 4.3.2).

Contract. Every part of a volume [H, W, D, C] is cut out by its mask, resampled trilinearly with its
own transform (zero outside of the mask and of the volume), and the parts are merged by their
maximum, per voxel and channel. A part contributes zero where it does not reach, and the maximum
includes these zeros. Transforms map target to source. Where several parts attain the maximum, the
first of them (the zeros before all) receives the gradient. Only the volume has a gradient: masks
and transforms come from poses, and poses carry none. With the interpolation "nearest" a position
has the features of the voxel that it lies in, and between two voxels those of the higher index.

Everything that moves is a mask and a transform: a part in 3D, a prism (`prisms`: a mask in the
image plane through all of the depth, with a `planar` transform), a part of an image (D = 1), and
the offcut, which stays where it is (`with_offcut`).

The parts are never copied. The voxels that can receive from a part are listed (`voxel_lists`), and
only those are computed; the number of blocks that are cut from the lists follows their length at run
time, so the result is exact for parts of any size and the cost goes with the voxels of the parts.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from volsynth.ops.pose_volumes import PartTransforms
from volsynth.ops.warp import gather, matmul, voxel_lists

FORMS = {"gather": gather, "matmul": matmul}
"""Ways to compute the same."""

INTERPOLATIONS = ("linear", "nearest")


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
      transforms: target to source, in pixels of a cube.
      side: the side of that cube in pixels, whatever the voxel counts.
      form: a name in `FORMS`; without one, the best for the platform the program runs on. Results
        are the same to rounding.
      interpolation: one of `INTERPOLATIONS`.

    Raises:
      ValueError: there is no such interpolation.
    """
    if interpolation not in INTERPOLATIONS:
        raise ValueError(f"unknown interpolation {interpolation!r}; one of {INTERPOLATIONS}.")
    matrix, offset = voxel_transforms(transforms, volume.shape[1:4], side)
    masks = masks & transforms.valid[:, :, None, None, None]
    matrix, offset = jax.lax.stop_gradient(matrix), jax.lax.stop_gradient(offset)
    return _warp(form, interpolation, volume, masks, matrix, offset)


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


def with_offcut(
    masks: Bool[Array, "b p h w d"], transforms: PartTransforms
) -> tuple[Bool[Array, "b q h w d"], PartTransforms]:
    """Adds the offcut as one more part: the voxels in no mask, not moved (seed 000, 4.3.2)."""
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
    """The masks' projections to the image plane, through all of the depth (seed 000, 4.6)."""
    return jnp.broadcast_to(jnp.any(masks, axis=-1, keepdims=True), masks.shape)


def planar(
    matrix: Float[Array, "b p 2 2"], offset: Float[Array, "b p 2"], valid: Bool[Array, "b p"]
) -> PartTransforms:
    """Affine transforms of the image plane, in (x, y) and pixels, for all of the depth alike."""
    matrix = jnp.pad(matrix, ((0, 0), (0, 0), (0, 1), (0, 1))).at[..., 2, 2].set(1)
    return PartTransforms(matrix, jnp.pad(offset, ((0, 0), (0, 0), (0, 1))), valid)


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
    # What was measured where: docs/performance.md.
    return jax.lax.platform_dependent(*arguments, tpu=forms["matmul"], default=forms["gather"])
