"""Inputs of networks made from joints: heatmaps, masks of parts, the transform of every part.

Joints are pixels of the network's input image, (x, y, z), z away from the camera. The volume is a
cube of `side` pixels whatever its voxel counts (H, W, D): voxel (h, w, d) has its centre at
((w + .5) side / W, (h + .5) side / H, (d + .5) side / D). Poses carry no gradient.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from volsynth import skeleton
from volsynth.ops import geometry

MIN_SCALE, MAX_SCALE = 0.25, 4.0
"""The bounds of a part's scale; a scale beyond them comes from a bad pose, not from a person."""

MIN_BONE = 1e-3
"""The length, as a share of the image's side, below which a bone has no direction to fit."""

MIN_SINE = 0.05
"""The sine of a limb's bend (3 degrees) below which the limb's roll cannot be trusted."""


class PartTransforms(NamedTuple):
    """The transforms of all parts; they say where a point of the target image is in the source.

    Attributes:
      matrix: the linear parts, [B, P, 3, 3]: `source = matrix @ target + offset`, (x, y, z).
      offset: the translations, [B, P, 3], in pixels.
      valid: whether the part can be placed, [B, P]; a part that cannot is empty.
    """

    matrix: Float[Array, "b p 3 3"]
    offset: Float[Array, "b p 3"]
    valid: Bool[Array, "b p"]


def voxel_centres(count: int, side: float) -> Float[Array, " n"]:
    """The coordinates of the voxel centres along one axis, in pixels."""
    return (jnp.arange(count, dtype=jnp.float32) + 0.5) * (side / count)


def heatmaps(
    joints: Float[Array, "b j 3"],
    visible: Bool[Array, "b j"],
    shape: tuple[int, int, int],
    side: float,
    sigma: float,
    flat: bool = False,
) -> Float[Array, "b h w d j"]:
    """Heatmaps of the joints: a 3D Gaussian exp(-r^2 / (2 sigma^2)) for each, in [0, 1].

    The heatmap of an invisible joint is zero.

    Args:
      joints: pixels.
      visible: which joints are known.
      shape: voxel counts (H, W, D).
      side: side of the image and of the volume's cube, pixels.
      sigma: standard deviation, pixels.
      flat: whether the joints' depth is left out: 2D Gaussians, copied to all layers (section 4.6).
    """
    joints = jax.lax.stop_gradient(joints)
    height, width, depth = shape

    # A Gaussian is the product of its profiles along the axes, which takes few exponentials.
    def profile(coordinate, count):
        distance = coordinate[:, None, :] - voxel_centres(count, side)[None, :, None]
        return jnp.exp(-0.5 * (distance / sigma) ** 2)

    x_BWJ = profile(joints[..., 0], width)
    y_BHJ = profile(joints[..., 1], height) * visible[:, None, :]
    z_BDJ = profile(joints[..., 2], depth)
    if flat:
        z_BDJ = jnp.ones_like(z_BDJ)
    return y_BHJ[:, :, None, None] * x_BWJ[:, None, :, None] * z_BDJ[:, None, None]


def soft_argmax(logits: Float[Array, "b h w d j"], side: float) -> Float[Array, "b j 3"]:
    """The positions of joints in a volume of logits: centres of gravity of the joints' softmax.

    The read-out of a volume of heatmaps (Knoche 2019, section 6.2.5); computed in float32.

    Args:
      logits: logits of each joint at the voxels of a cube.
      side: side of the cube; the result has its unit.

    Returns:
      (x, y, z), between the outermost voxel centres.
    """
    shape = logits.shape[1:4]
    # A sum over all voxels needs more bits than half precision has.
    logits = logits.astype(jnp.float32)
    probability = jax.nn.softmax(logits.reshape(logits.shape[0], -1, logits.shape[-1]), axis=1)
    probability = probability.reshape(logits.shape)
    y, x, z = (
        jnp.sum(jnp.sum(probability, axis=others) * voxel_centres(count, side)[:, None], axis=1)
        for others, count in zip(((2, 3), (1, 3), (1, 2)), shape)
    )
    return jnp.stack([x, y, z], axis=-1)


def person_scale(joints: Float[Array, "b j 3"], visible: Bool[Array, "b j"]) -> Float[Array, " b"]:
    """The size of the person: the mean distance from hip to shoulder in 3D, in pixels.

    Where a side is not visible the other one counts alone; where neither is, the scale is 0.
    """
    shoulders, hips = np.array(skeleton.SHOULDERS), np.array(skeleton.HIPS)
    length = jnp.linalg.norm(joints[:, shoulders] - joints[:, hips], axis=-1)
    known = (visible[:, shoulders] & visible[:, hips]).astype(length.dtype)
    return jnp.sum(length * known, axis=-1) / jnp.maximum(jnp.sum(known, axis=-1), 1)


def mask_dilations(
    scale: Float[Array, " b"], shape: tuple[int, int, int], side: float, width: float
) -> tuple[Float[Array, " b"], Float[Array, " b"]]:
    """The numbers of dilations of a part's lines: in height and width, and in depth.

    Knoche 2019 (section 4.3.2) dilates by ones of 3x3x3 and then of 3x3x1, in numbers that depend
    on the person's scale and on D / W: the first number is that of all dilations, at
    least one, the second that of the 3x3x3 ones. The latter may be none: in a shallow volume one
    more layer in front and behind is as thick as a body, and parts then take each other's features.

    Args:
      scale: size of the person, in pixels (`person_scale`).
      shape: voxel counts (H, W, D).
      side: side of the volume's cube, in pixels.
      width: half the width of a part, as a share of `scale`.

    Returns:
      Two whole numbers, as floats.
    """
    radius = width * scale
    # A line of a voxel's width is half a voxel to either side before it is dilated.
    across = jnp.maximum(jnp.round(radius * shape[1] / side - 0.5), 1)
    return across, jnp.ceil(across * shape[2] / shape[1] - 0.5)


def part_masks(
    joints: Float[Array, "b j 3"],
    visible: Bool[Array, "b j"],
    shape: tuple[int, int, int],
    side: float,
    width: float,
) -> Bool[Array, "b p h w d"]:
    """Masks of the parts' voxels: lines between a part's joints, drawn and dilated (4.3.2).

    Drawing every voxel that a line touches and dilating n times by 3x3x3 marks exactly the voxels
    whose box, grown to half-sides of n + 1/2 voxels, the line enters; so that is what is computed,
    as an intersection of intervals of the line's parameter (one per axis).

    A part with an invisible joint is empty.
    """
    joints = jax.lax.stop_gradient(joints)
    counts_xyz = (shape[1], shape[0], shape[2])
    across, along_depth = mask_dilations(person_scale(joints, visible), shape, side, width)
    radii_xyz = (across + 0.5, across + 0.5, along_depth + 0.5)
    return _drawn_parts(joints, visible, counts_xyz, radii_xyz, side)


def part_silhouettes(
    joints: Float[Array, "b j 3"],
    visible: Bool[Array, "b j"],
    shape: tuple[int, int],
    side: float,
    width: float,
) -> Bool[Array, "b p h w"]:
    """Masks of the parts' pixels: `part_masks`, projected along an endless depth.

    Args:
      joints: pixels.
      visible: which joints are known; a part with an invisible joint is empty.
      shape: pixel counts (H, W).
      side: side of the image, in the pixels of the joints.
      width: half the width of a part, as a share of the distance from shoulder to hip.
    """
    joints = jax.lax.stop_gradient(joints)
    volume = (*shape, 1)
    across, along_depth = mask_dilations(person_scale(joints, visible), volume, side, width)
    radii_xyz = (across + 0.5, across + 0.5, along_depth + 0.5)
    # One layer of voxels as deep as the volume, which a line in its middle never leaves.
    middle = jnp.asarray(joints).at[..., 2].set(side / 2)
    return _drawn_parts(middle, visible, (shape[1], shape[0], 1), radii_xyz, side)[..., 0]


def _drawn_parts(joints, visible, counts_xyz, radii_xyz, side) -> Bool[Array, "b p h w d"]:
    """The voxels [B, P, H, W, D] whose box of half-sides `radii_xyz` a line of the part enters."""
    shape = (counts_xyz[1], counts_xyz[0], counts_xyz[2])
    masks = []
    for part in skeleton.PARTS:
        mask = jnp.zeros((joints.shape[0], *shape), bool)
        for i, first in enumerate(part.joints):
            for second in part.joints[i + 1 :]:
                mask |= _line_mask(joints[:, first], joints[:, second], counts_xyz, radii_xyz, side)
        known = jnp.all(visible[:, np.array(part.joints)], axis=-1)
        masks.append(mask & known[:, None, None, None])
    return jnp.stack(masks, axis=1)


def _line_mask(start, end, counts_xyz, radii_xyz, side):
    """The voxels [B, H, W, D] whose box of half-sides `radii_xyz` a line enters.

    Along each axis the line is within reach of a voxel for an interval of its parameter in [0, 1];
    it enters the box if the three intervals intersect.
    """
    low, high = 0.0, 1.0
    # Axis of each coordinate in [B, H, W, D].
    layouts = ((None, slice(None), None), (slice(None), None, None), (None, None, slice(None)))
    for axis, (count, radius, layout) in enumerate(zip(counts_xyz, radii_xyz, layouts)):
        step = side / count
        a = start[:, axis, None] / step
        delta = end[:, axis, None] / step - a
        # A line parallel to the slab is inside it for all parameters or for none; the tiny slope
        # sends the interval's ends to plus and minus infinity, or both to the same side.
        delta = jnp.where(jnp.abs(delta) < 1e-6, 1e-6, delta)
        centre = jnp.arange(count, dtype=a.dtype) + 0.5
        t0 = (centre - radius[:, None] - a) / delta
        t1 = (centre + radius[:, None] - a) / delta
        index = (slice(None), *layout)
        low = jnp.maximum(low, jnp.minimum(t0, t1)[index])
        high = jnp.minimum(high, jnp.maximum(t0, t1)[index])
    return low <= high


# Accelerators multiply float32 with 8 or 11 bits by default, which would move a joint by pixels.
@jax.default_matmul_precision("highest")
def part_transforms(
    source: Float[Array, "b j 3"],
    source_visible: Bool[Array, "b j"],
    target: Float[Array, "b j 3"],
    target_visible: Bool[Array, "b j"],
    side: float,
) -> PartTransforms:
    """The 7-parameter transforms of all parts, from target to source, as a sampler needs them.

    Limbs are fitted on their two joints and the third point of equation 4.1 of Knoche 2019; the
    head, whose joints are nearly collinear, takes its roll from the shoulders in the same way; the
    torso is fitted on its four joints. Where the third point is unknown or undefined in either pose
    (a straight limb), the part keeps its joints and turns by the smallest rotation.

    A part is not valid where a joint of it is invisible in either pose, where a bone has no length,
    or where the torso's four joints coincide or are collinear. All results are finite. Scales lie
    in [MIN_SCALE, MAX_SCALE].
    """
    source, target = jax.lax.stop_gradient(source), jax.lax.stop_gradient(target)
    known = source_visible & target_visible
    shortest = MIN_BONE * side
    # Parts of a kind as one array: part by part this would be most of what a step compiles.
    kinds = [points(source, target, known, shortest) for points in (_rolled_points, _solid_points)]
    source_points, target_points, valid = (
        jnp.concatenate(values, axis=1)[:, _IN_ORDER] for values in zip(*kinds)
    )
    scale, rotation, _ = geometry.similarity_fit(target_points, source_points)
    matrix = jnp.clip(scale, MIN_SCALE, MAX_SCALE)[..., None, None] * rotation
    # The translation is computed again, so that the points' centre stays where it is when the scale
    # was bounded.
    centre = jnp.einsum("bpij,bpj->bpi", matrix, jnp.mean(target_points, axis=2))
    offset = jnp.mean(source_points, axis=2) - centre
    return PartTransforms(matrix, offset, valid)


_ROLLED = tuple(part for part in skeleton.PARTS if part.roll)
_SOLID = tuple(part for part in skeleton.PARTS if not part.roll)
_IN_ORDER = np.array([(*_ROLLED, *_SOLID).index(part) for part in skeleton.PARTS])


def _solid_points(source, target, known, shortest):
    """Four points of each part that its joints define, as of `_rolled_points`.

    They do unless they lie on a line.
    """
    index = np.array([part.joints for part in _SOLID])
    source_points, target_points = source[:, index], target[:, index]
    solid = (_spread(source_points) > shortest) & (_spread(target_points) > shortest)
    return source_points, target_points, jnp.all(known[:, index], axis=-1) & solid


def _rolled_points(source, target, known, shortest):
    """Four points [B, P, 4, 3] of each part with a roll in both poses, and whether they are valid.

    Whether they define a transform is [B, P].
    """
    pivot = np.array([part.joints[1] for part in _ROLLED])
    # A limb has one point less than the head; its pivot counts twice, which changes no exact fit.
    index = np.array([(*part.joints, part.joints[1])[:3] for part in _ROLLED])
    source_bone, source_sine, source_third = _third_points(source)
    target_bone, target_sine, target_third = _third_points(target)
    source_length = jnp.linalg.norm(source_bone, axis=-1)
    target_length = jnp.linalg.norm(target_bone, axis=-1)
    # Without a roll that both poses agree on, the third point turns with the bone.
    rolls = (source_sine > MIN_SINE) & (target_sine > MIN_SINE)
    rolls &= jnp.all(known[:, np.array([(p.roll[0], p.roll[-1]) for p in _ROLLED])], axis=-1)
    # Else any point beside the target's bone will do, if the source's is that one turned along.
    orthogonal = _any_orthogonal(target_bone)
    turn = geometry.minimal_rotation(target_bone, source_bone)
    stretch = source_length / jnp.maximum(target_length, shortest)
    turned = stretch[..., None] * jnp.einsum("bpij,bpj->bpi", turn, orthogonal)
    target_third = jnp.where(rolls[..., None], target_third, orthogonal) + target[:, pivot]
    source_third = jnp.where(rolls[..., None], source_third, turned) + source[:, pivot]
    source_points = jnp.concatenate([source[:, index], source_third[:, :, None]], axis=2)
    target_points = jnp.concatenate([target[:, index], target_third[:, :, None]], axis=2)
    solid = (source_length > shortest) & (target_length > shortest)
    return source_points, target_points, jnp.all(known[:, index], axis=-1) & solid


def _third_points(joints):
    """Bones, sines of their bends and the third points of equation 4.1, seen from the pivots.

    Of all parts with a roll: [B, P, 3], [B, P] and [B, P, 3].
    """
    start, pivot = (np.array([part.joints[i] for part in _ROLLED]) for i in (0, 1))
    first = np.array([part.roll[0] for part in _ROLLED])
    # The direction of a single joint of a roll is from the pivot.
    last = np.array([part.roll[1] if len(part.roll) > 1 else part.joints[1] for part in _ROLLED])
    bone = joints[:, start] - joints[:, pivot]
    other = joints[:, first] - joints[:, last]
    normal = jnp.cross(bone, other)
    area = jnp.linalg.norm(normal, axis=-1)
    length = jnp.linalg.norm(bone, axis=-1)
    tiny = jnp.finfo(joints.dtype).tiny
    sine = area / jnp.maximum(length * jnp.linalg.norm(other, axis=-1), tiny)
    # The cross product grows with both bones; the third point is as far away as the bone is long.
    stretch = length / jnp.where(area > 0, area, 1)
    return bone, sine, normal * stretch[..., None]


def _any_orthogonal(bone):
    """A vector as long as `bone` and orthogonal to it."""
    # The axis along which the bone is shortest is surely not parallel to it.
    least = jnp.eye(3, dtype=bone.dtype)[jnp.argmin(jnp.abs(bone), axis=-1)]
    normal = jnp.cross(bone, least)
    length = jnp.linalg.norm(bone, axis=-1, keepdims=True)
    tiny = jnp.finfo(bone.dtype).tiny
    return normal * length / jnp.maximum(jnp.linalg.norm(normal, axis=-1, keepdims=True), tiny)


def _spread(points):
    """The distance [...] of points [..., N, 3] from lying on one line, in pixels.

    It is the second singular value.
    """
    centred = points - jnp.mean(points, axis=-2, keepdims=True)
    return jnp.linalg.svd(centred, compute_uv=False)[..., 1]
