"""The reprojection operator in PyTorch, with dense rasters and `grid_sample`.

It is a twin to compare speed with, and an oracle for the numbers. The capsules of the three bodies
and the transforms of the parts, some dozens of numbers, are computed by our code and handed over.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
import torch
from torch.nn import functional

from volsynth import skeleton
from volsynth.bench.torch_twin import tensor
from volsynth.ops.body import raster
from volsynth.ops.body.capsules import PARTS, Capsules
from volsynth.ops.pose_volumes import PartTransforms
from volsynth.ops.reprojection import candidates, composition

_TINY = 1e-6


class Body(NamedTuple):
    """A body as tensors.

    Attributes:
      start: an end of the axis of every capsule, [B, N, 3], pixels.
      end: its other end.
      radius: [B, N].
      known: which capsules there are, [B, N].
      scale: the person's scale, [B].
    """

    start: torch.Tensor
    end: torch.Tensor
    radius: torch.Tensor
    known: torch.Tensor
    scale: torch.Tensor


class Seen(NamedTuple):
    """A raster as tensors: part [B, H, W], depth, distance, and the normal [B, 3, H, W]."""

    part: torch.Tensor
    depth: torch.Tensor
    distance: torch.Tensor
    normal: torch.Tensor


def body(capsules: Capsules, scale: jax.Array) -> Body:
    """Copies a body into tensors."""
    rows = (tensor(v) for v in (capsules.start, capsules.end, capsules.radius))
    known = torch.from_numpy(np.array(capsules.known))
    return Body(*rows, known, tensor(scale))


def picture(
    rgba: torch.Tensor,
    bodies: Sequence[Body],
    transforms: Sequence[PartTransforms],
) -> torch.Tensor:
    """The composed picture [B, 4, H, W], as `reprojection.reproject` makes it.

    Args:
      rgba: premultiplied colours and coverage of the source, [B, 4, H, W].
      bodies: those of the source, of its mirror image, and of the target.
      transforms: the transforms of the parts to the source, and to its mirror image.
    """
    source, mirrored, target = (_raster(each, rgba.shape[2:]) for each in bodies)
    scale, there = bodies[0].scale, target.part != raster.NOBODY
    pictures = (rgba, rgba.flip(3))
    total, beside = 0.0, 0.0
    for k, (shown, seen, fitted) in enumerate(zip(pictures, (source, mirrored), transforms)):
        moved, visible, own = _candidate(shown, seen, fitted, target, scale)
        weight = visible**2 + composition.THROUGH_WEIGHT * own
        total = total + weight[:, None] * moved * (composition.MIRROR_WEIGHT if k else 1.0)
        if not k:
            beside = own * moved[:, 3]
    means = _part_means(rgba, source, scale)
    part = target.part.clamp(max=skeleton.NUM_PARTS - 1)
    mean = torch.gather(means, 1, part.flatten(1)[..., None].expand(-1, -1, 3))
    mean = mean.reshape(*part.shape, 3).movedim(3, 1) * there[:, None]
    softness = composition.OUTLINE * bodies[2].scale.clamp(min=1e-3)
    inside = torch.sigmoid(-target.distance / softness[:, None, None])
    alpha = torch.maximum(inside, beside)
    share = alpha / (total[:, 3] + composition.MEAN_WEIGHT)
    colour = share[:, None] * (total[:, :3] + composition.MEAN_WEIGHT * mean)
    return torch.cat([colour, alpha[:, None]], dim=1)


def _raster(of, shape):
    """The capsule in front of every pixel, by all capsules at all pixels."""
    y, x = (torch.arange(count) + 0.5 for count in shape)
    x, y = x[None, None, None], y[None, None, :, None]
    start, end = (v[..., None, None].unbind(2) for v in (of.start, of.end))
    along = [b - a for a, b in zip(start, end)]
    radius = of.radius[..., None, None]
    from_x, from_y = x - start[0], y - start[1]
    squared = (along[0] ** 2 + along[1] ** 2).clamp(min=_TINY)
    foot = (from_x * along[0] + from_y * along[1]) / squared
    nearest = foot.clamp(0, 1)
    apart = ((from_x - nearest * along[0]) ** 2 + (from_y - nearest * along[1]) ** 2).sqrt()
    distance = apart - radius
    endless = (from_x - foot * along[0]) ** 2 + (from_y - foot * along[1]) ** 2
    chord = (radius**2 - endless).clamp(min=0).sqrt()
    slant = along[2] / (squared * (squared + along[2] ** 2)).sqrt()
    inside = distance < 0
    t = (foot - torch.where(inside, slant * chord, 0.0)).clamp(0, 1)
    across_x, across_y = from_x - t * along[0], from_y - t * along[1]
    down = (radius**2 - across_x**2 - across_y**2).clamp(min=0).sqrt() * inside
    depth = start[2] + t * along[2] - down
    rank = torch.where(inside, depth - 2 * raster.FAR, distance)
    reach = (raster.REACH * of.scale)[:, None, None, None]
    within = of.known[..., None, None] & (distance <= reach)
    rank, best = torch.where(within, rank, raster.FAR).min(dim=1, keepdim=True)
    nobody = rank[:, 0] >= raster.FAR

    def chosen(values):
        return torch.gather(values, 1, best)[:, 0]

    normal = torch.stack([chosen(v) for v in (across_x, across_y, -down)], dim=1)
    normal = normal / normal.norm(dim=1, keepdim=True).clamp(min=_TINY)
    return Seen(
        torch.tensor(PARTS)[best[:, 0]].masked_fill(nobody, raster.NOBODY),
        chosen(depth).masked_fill(nobody, raster.FAR),
        chosen(distance).masked_fill(nobody, raster.FAR),
        normal.masked_fill(nobody[:, None], 0.0),
    )


def _candidate(rgba, source, transforms, target, scale):
    """The moved pixels [B, 4, H, W], whether they are seen, and whether they are the same part."""
    _, _, height, width = rgba.shape
    part = target.part.clamp(max=skeleton.NUM_PARTS - 1)
    there = target.part != raster.NOBODY

    def of_part(values):
        values = tensor(values).flatten(2)
        index = part.flatten(1)[..., None].expand(-1, -1, values.shape[2])
        return torch.gather(values, 1, index).reshape(*part.shape, -1)

    matrix, offset = of_part(transforms.matrix), of_part(transforms.offset)
    valid = of_part(np.asarray(transforms.valid)[..., None])[..., 0] * there
    y, x = (torch.arange(count) + 0.5 for count in (height, width))
    at_x, at_y, at_z = (
        matrix[..., 3 * i] * x
        + matrix[..., 3 * i + 1] * y[:, None]
        + matrix[..., 3 * i + 2] * target.depth
        + offset[..., i]
        for i in range(3)
    )
    # Borders of the picture are at -1 and 1.
    grid = torch.stack([2 * at_x / width - 1, 2 * at_y / height - 1], dim=-1)
    moved = functional.grid_sample(rgba, grid, align_corners=False)
    surface = torch.where(source.distance < 0, source.depth, raster.FAR)
    body = torch.stack([surface, source.part.float(), *source.normal.unbind(1)], dim=1)
    found = functional.grid_sample(
        body, grid, mode="nearest", padding_mode="border", align_corners=False
    )
    behind = (at_z - found[:, 0]) / scale.clamp(min=1e-3)[:, None, None]
    seen = torch.sigmoid((candidates.TOLERANCE - behind) / candidates.SOFTNESS)
    own = (found[:, 1] == target.part).float()
    return moved * valid[:, None], seen * valid, own * valid


def _part_means(rgba, source, scale):
    """The mean colour of every part, [B, P, 3]."""
    near = source.distance < composition.EDGE * scale[:, None, None]
    parts = torch.arange(skeleton.NUM_PARTS)[:, None, None]
    there = ((source.part[:, None] == parts) & near[:, None]).float()
    total = torch.einsum("bphw,bchw->bpc", there, rgba)
    weight = total[..., 3:]
    mean = total[..., :3] / weight.clamp(min=1e-3)
    mirror = list(skeleton.PART_MIRROR)
    share = weight / (weight + composition.MIRROR_SHARE * weight[:, mirror]).clamp(min=1e-6)
    return share * mean + (1 - share) * mean[:, mirror]
