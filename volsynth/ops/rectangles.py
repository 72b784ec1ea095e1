"""Rectangles and affine fits of the ten body parts, in the image plane alone.

Siarohin et al., *Deformable GANs for Pose-based Human Image Generation* (2018), for the joints of
`skeleton`; Knoche 2019 describes it in section 3.2.1. Joints are pixels of the network's input
image as in `pose_volumes`; of their coordinates only x and y are used. Poses carry no gradient.

The parts are in the order of `skeleton.PARTS`:

* the torso is the whole image, so that the background comes along;
* the head is an axis-aligned square around the mean of its visible joints;
* a limb is a rectangle along its bone, made longer at both ends.

The paper cuts the parts out of the source (equation 3.1 of Knoche 2019) and so does this. The
implementation of its authors draws the rectangles around the joints of the target. It lengthens
lower limbs by 0.5 for masks and by 0.3 for fits, which is no difference: rectangles that both are
lengthened by the same share are mapped to one another by the same affine transform.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from volsynth import skeleton
from volsynth.ops.pose_volumes import MIN_BONE, voxel_centres
from volsynth.ops.warp import warp

HEAD = 0.4
"""Half the side of the head's square, as a share of `trunk_length`."""

WIDTH = 0.2
"""Half the width of a limb's rectangle, as a share of `trunk_length`."""

BEFORE = 0.1
"""The share of its length by which a limb is extended at the end nearer to the trunk."""

BEYOND_UPPER, BEYOND_LOWER = 0.1, 0.5
"""The shares by which upper and lower limbs are extended at the end away from the trunk.

They are shares of the length with the other end extended. Hands and feet are beyond the last joint,
so lower limbs are extended by more.
"""

MIN_DETERMINANT = 1e-4
"""The factor of areas below which a fit has folded its part to a line."""

_HEAD, _TORSO = (
    np.array(skeleton.PARTS[skeleton.PART_NAMES.index(name)].joints) for name in ("head", "torso")
)
_LIMBS = [part for part in skeleton.PARTS if len(part.joints) == 2]
_BEYOND = np.array([BEYOND_LOWER if "lower" in part.name else BEYOND_UPPER for part in _LIMBS])
# [8, 2]: for each limb the joint nearer to the trunk, and the other one.
_ENDS = np.array([part.joints[:: -1 if "lower" in part.name else 1] for part in _LIMBS])
_MIRRORED_ENDS = np.array(skeleton.MIRROR)[_ENDS]


def trunk_length(joints: Float[Array, "b j 3"], visible: Bool[Array, "b j"]) -> Float[Array, " b"]:
    """The root mean square of the distances from hip to shoulder in the image, in pixels.

    Where a side is not visible the other one counts alone; where neither is, the length is 0.
    """
    shoulders, hips = np.array(skeleton.SHOULDERS), np.array(skeleton.HIPS)
    joints = jax.lax.stop_gradient(joints)
    squared = jnp.sum((joints[:, shoulders, :2] - joints[:, hips, :2]) ** 2, axis=-1)
    known = visible[:, shoulders] & visible[:, hips]
    total = jnp.sum(jnp.where(known, squared, 0), axis=-1)
    return jnp.sqrt(total / jnp.maximum(jnp.sum(known, axis=-1), 1))


def rectangle_masks(
    joints: Float[Array, "b j 3"],
    visible: Bool[Array, "b j"],
    shape: tuple[int, int],
    side: float,
) -> Bool[Array, "b p h w"]:
    """Masks of the parts at any resolution: the pixels whose centre lies in the part's rectangle.

    A limb with a joint that is not visible is taken from the other side of the body; where that is
    not visible either, where a limb has no length or the trunk none, the part is empty.

    Args:
      joints: joints of the source, in pixels.
      visible: which joints are known.
      shape: (H, W) of the masks.
      side: side of the square that the masks cover, in pixels.
    """
    trunk = trunk_length(joints, visible)[:, None]
    xy = _planar(joints, visible)
    x, y = voxel_centres(shape[1], side), voxel_centres(shape[0], side)[:, None]
    head = _head_mask(xy, visible, trunk, x, y)
    limbs = _limb_masks(xy, visible, trunk, x, y, side)
    # The torso is the whole image, so that the background comes along.
    return jnp.concatenate([head[:, None], jnp.ones_like(head)[:, None], limbs], axis=1)


def _head_mask(xy, visible, trunk, x, y):
    """The pixels [B, H, W] of the head's square."""
    centre, any_head = _head_centre(xy, visible)
    reach = HEAD * trunk[:, :, None]
    head = jnp.abs(x - centre[:, 0, None, None]) < reach
    head &= jnp.abs(y - centre[:, 1, None, None]) < reach
    return head & any_head[:, None, None]


def _limb_masks(xy, visible, trunk, x, y, side):
    """The pixels [B, 8, H, W] of the limbs' rectangles."""
    ends, known = _limb_ends(xy, visible, mirrored=True)
    start, end = _extended(ends)
    bone = end - start
    length = jnp.linalg.norm(bone, axis=-1)
    known &= length > MIN_BONE * side
    # Bounded from below: a limb without length gives an empty mask, and no NaN.
    unit = bone / jnp.maximum(length, MIN_BONE * side)[..., None]
    dx, dy = (v - start[..., i, None, None] for i, v in enumerate((x, y)))
    ux, uy = (unit[..., i, None, None] for i in range(2))
    along, across = dx * ux + dy * uy, dx * uy - dy * ux
    limbs = (along >= 0) & (along <= length[..., None, None])
    limbs &= jnp.abs(across) < WIDTH * trunk[..., None, None]
    return limbs & known[..., None, None]


# Accelerators multiply float32 with 8 or 11 bits by default, which would move a joint by pixels.
@jax.default_matmul_precision("highest")
def affine_fits(
    source: Float[Array, "b j 3"],
    source_visible: Bool[Array, "b j"],
    target: Float[Array, "b j 3"],
    target_visible: Bool[Array, "b j"],
    side: float,
) -> tuple[Float[Array, "b p 2 2"], Float[Array, "b p 2"], Bool[Array, "b p"]]:
    """The least-squares affine transforms of all parts, from target to source, in pixels.

    The torso is fitted on its four joints, the head on those of its joints that are visible in both
    poses and on the shoulders, a limb on the corners of its rectangles.

    A part is not valid where it is not visible in the target, or not in the source; a limb that is
    missing in the source alone is taken from the other side of the body. It is not valid either
    where its points lie on a line in one of the poses, or the fit folds it to a line. All results
    are finite; of parts that are not valid they are the identity.

    Returns:
      matrix and offset: `source = matrix @ target + offset`, (x, y), and valid: the arguments of
      `warp.planar`.
    """
    source_xy, target_xy = _planar(source, source_visible), _planar(target, target_visible)
    both = source_visible & target_visible
    shoulders = np.array(skeleton.SHOULDERS)

    points = np.concatenate([_HEAD, shoulders])
    # Without any joint of the head two points are left, which lie on a line.
    known = jnp.all(both[:, shoulders], axis=-1)
    head = _fit(target_xy[:, points], source_xy[:, points], both[:, points], known, side)
    known = jnp.all(both[:, _TORSO], axis=-1)
    torso = _fit(target_xy[:, _TORSO], source_xy[:, _TORSO], both[:, _TORSO], known, side)

    corners, found = [], []
    # A limb that is missing is taken from the other side of the body in the source only.
    for joints, xy, visible, mirrored in (
        (target, target_xy, target_visible, False),
        (source, source_xy, source_visible, True),
    ):
        ends, known = _limb_ends(xy, visible, mirrored)
        trunk = trunk_length(joints, visible)[:, None]
        corners.append(_corners(ends, WIDTH * trunk, MIN_BONE * side))
        found.append(known)
    limbs = _fit(*corners, jnp.ones(corners[0].shape[:-1], bool), found[0] & found[1], side)
    parts = [jax.tree.map(lambda v: v[:, None], part) for part in (head, torso)]
    return jax.tree.map(lambda *v: jnp.concatenate(v, axis=1), *parts, limbs)


def move(
    features: Float[Array, "b h w c"],
    source: Float[Array, "b j 3"],
    source_visible: Bool[Array, "b j"],
    target: Float[Array, "b j 3"],
    target_visible: Bool[Array, "b j"],
    side: float,
    interpolation: str = "linear",
) -> Float[Array, "b h w c"]:
    """Cuts the parts of the source out of image features and moves them to where the target is.

    An image is a volume of depth 1: see the contract of `warp`.

    Args:
      features: at any resolution.
      source, source_visible, target, target_visible: both poses, in pixels of the image.
      side: side of the image, in pixels.
      interpolation: one of `warp.INTERPOLATIONS`.
    """
    masks = rectangle_masks(source, source_visible, features.shape[1:3], side)[..., None]
    fits = affine_fits(source, source_visible, target, target_visible, side)
    volume = features[:, :, :, None]
    moved = warp.warp(volume, masks, warp.planar(*fits), side, interpolation=interpolation)
    return moved[:, :, :, 0]


def _planar(joints, visible):
    """The places (x, y) of joints, zero where they are not visible: no sum or NaN has them."""
    joints = jax.lax.stop_gradient(joints[..., :2])
    return jnp.where(visible[..., None], joints, 0)


def _head_centre(xy, visible):
    """The mean of the head's visible joints, [B, 2], and whether there is any, [B]."""
    known = visible[:, _HEAD]
    count = jnp.sum(known, axis=-1)
    total = jnp.sum(xy[:, _HEAD], axis=1)  # Those not visible are zero.
    return total / jnp.maximum(count, 1)[:, None], count > 0


def _limb_ends(xy, visible, mirrored):
    """The limbs' ends, [B, 8, 2, 2] (limb, end, xy), and whether they are known, [B, 8].

    With `mirrored` a limb that is not known is taken from the other side of the body.
    """
    ends, known = xy[:, _ENDS], jnp.all(visible[:, _ENDS], axis=-1)
    if not mirrored:
        return ends, known
    other, other_known = xy[:, _MIRRORED_ENDS], jnp.all(visible[:, _MIRRORED_ENDS], axis=-1)
    return jnp.where(known[..., None, None], ends, other), known | other_known


def _extended(ends):
    """Both ends of each limb, [B, 8, 2], moved outward: the first one, and then the second one."""
    start, end = ends[:, :, 0], ends[:, :, 1]
    start = start + BEFORE * (start - end)
    return start, end + jnp.asarray(_BEYOND, ends.dtype)[:, None] * (end - start)


def _corners(ends, half_width, shortest):
    """The corners of the limbs' rectangles, [B, 8, 4, 2]."""
    start, end = _extended(ends)
    bone = end - start
    length = jnp.maximum(jnp.linalg.norm(bone, axis=-1), shortest)
    across = jnp.stack([-bone[..., 1], bone[..., 0]], axis=-1) * (half_width / length)[..., None]
    return jnp.stack([start + across, start - across, end - across, end + across], axis=-2)


def _fit(points, wanted, weights, known, side):
    """The affine least-squares fit of point sets [*b, n, 2], with weights 0 or 1.

    Returns the matrix, the offset, and whether the fit is valid.
    """
    weights = weights[..., None].astype(points.dtype)
    count = jnp.maximum(jnp.sum(weights, axis=-2), 1)
    mean, wanted_mean = (jnp.sum(weights * p, axis=-2) / count for p in (points, wanted))
    centred = weights * (points - mean[..., None, :])
    wanted_centred = weights * (wanted - wanted_mean[..., None, :])
    scatter = jnp.einsum("...ni,...nj->...ij", centred, centred)
    cross = jnp.einsum("...ni,...nj->...ij", wanted_centred, centred)
    a, b, d = scatter[..., 0, 0], scatter[..., 0, 1], scatter[..., 1, 1]
    determinant = a * d - b * b
    # The smaller eigenvalue: how far the points are from lying on a line.
    larger = (a + d + jnp.sqrt((a - d) ** 2 + 4 * b * b)) / 2
    spread = determinant / jnp.maximum(larger, jnp.finfo(scatter.dtype).tiny)
    valid = known & (spread > (MIN_BONE * side) ** 2)
    # Not valid ones divide by 1, so that they are finite.
    determinant = jnp.where(valid, determinant, 1)
    adjugate = jnp.stack([d, -b, -b, a], axis=-1).reshape(scatter.shape)
    matrix = cross @ (adjugate / determinant[..., None, None])
    area = matrix[..., 0, 0] * matrix[..., 1, 1] - matrix[..., 0, 1] * matrix[..., 1, 0]
    valid &= jnp.abs(area) > MIN_DETERMINANT
    matrix = jnp.where(valid[..., None, None], matrix, jnp.eye(2, dtype=matrix.dtype))
    offset = wanted_mean - jnp.einsum("...ij,...j->...i", matrix, mean)
    return matrix, jnp.where(valid[..., None], offset, 0), valid
