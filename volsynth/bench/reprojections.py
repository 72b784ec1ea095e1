"""The benchmark of reprojection: the operator beside its plain form.

The plain form computes every capsule and every candidate at every pixel, as dense arrays. So does
the one in PyTorch, where that is installed.
"""

import functools
import itertools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from volsynth import skeleton
from volsynth.bench import timing
from volsynth.bench.timing import Say
from volsynth.ops import geometry, pose_volumes
from volsynth.ops.body import raster
from volsynth.ops.body.capsules import PARTS, SLENDER, capsules
from volsynth.ops.reprojection import candidates, composition, reprojection, sampling
from volsynth.ops.reprojection.reprojection import Reprojection

Poses = Mapping[str, np.ndarray]
"""Joints and visibility of sources and targets, as fields of a batch."""


def bench_reprojection(
    poses: Poses, size: int, repeats: int, with_torch: bool, say: Say
) -> dict[str, Any]:
    """Measures the operator: raster of both bodies, candidates, means and the composed picture.

    Args:
      poses: poses of a batch, for images of `size` pixels.
      size: side of the pictures, pixels.
      repeats: turns of every form.
      with_torch: whether PyTorch takes part.
      say: is told of the progress.

    Returns:
      JSON values: "seconds" of all forms, "temporary_bytes" of ours and the plain form,
      "speedup_over_plain", and "share_of_pixels_that_differ" of the composed pictures. With
      PyTorch also "speedup_over_torch" and "share_that_differs_in_torch".
    """
    batch = len(poses["source_joints"])
    picture = jax.random.uniform(jax.random.key(0), (batch, size, size, 4), minval=0, maxval=1)
    runs, pictures, memory = {}, {}, {}
    for name, function in {"ours": _ours, "plain": _plain}.items():
        compiled = jax.jit(function).lower(picture, dict(poses)).compile()
        say(f"{name}: compiled")
        runs[name] = functools.partial(compiled, picture, dict(poses))
        pictures[name] = np.stack(runs[name]().picture, axis=-1)
        memory[name] = compiled.memory_analysis().temp_size_in_bytes
    if with_torch:
        runs["torch"] = _torch_run(picture, poses)
        pictures["torch"] = np.moveaxis(runs["torch"](), 1, -1)
    seconds = timing.median_seconds(runs, repeats, say)

    def differ(name):
        # Neighbouring capsules meet in lines, on which rounding decides for one or the other.
        apart = np.abs(pictures["ours"] - pictures[name]).max(axis=-1) > 0.02
        return float(np.mean(apart))

    torch_figures = {}
    if with_torch:
        torch_figures = {
            "speedup_over_torch": seconds["torch"] / seconds["ours"],
            "share_that_differs_in_torch": differ("torch"),
        }
    return {
        "pictures": [batch, size, size],
        "seconds": seconds,
        "temporary_bytes": memory,
        "speedup_over_plain": seconds["plain"] / seconds["ours"],
        "share_of_pixels_that_differ": differ("plain"),
        **torch_figures,
        "machine": timing.machine_info(),
    }


def _poses(poses, role):
    return jnp.asarray(poses[f"{role}_joints"]), jnp.asarray(poses[f"{role}_visible"])


def _ours(picture, poses) -> Reprojection:
    side = float(picture.shape[2])
    source, target = _poses(poses, "source"), _poses(poses, "target")
    made = candidates.make_source(picture, *source, side)
    views = candidates.views([made], [source], target, side)
    means = composition.part_means([made])
    found = reprojection.reproject(views, means, *target, picture.shape[1:3], side)
    # Where candidates were looked for is read by networks with a flow alone.
    return found._replace(moved=())


def _plain(picture, poses) -> Reprojection:
    """The operator by dense arrays, without tiles, and by samples of whole pixels."""
    batch, height, width, _ = picture.shape
    side = float(width)
    source, target = _poses(poses, "source"), _poses(poses, "target")
    mirrored = geometry.mirrored_pose(*source, side)
    grid = jnp.meshgrid(jnp.arange(width) + 0.5, jnp.arange(height) + 0.5)
    x, y = (jnp.broadcast_to(v, (batch, height, width)) for v in grid)
    bodies = [plain_raster(*pose, x, y) for pose in (source, mirrored, target)]
    made = candidates.make_source(picture, *source, side, body=bodies[0])
    views = candidates.views([made], [source], target, side)
    # A picture that was flipped is looked at directly.
    direct = [view._replace(mirrored=False) for view in views]
    places = [_attached(candidates.moved(view, side), bodies[2], x, y) for view in direct]
    pictures = (picture, picture[:, :, ::-1])
    found, normals = zip(
        *(
            _plain_candidate(shown, body, at, bodies[2], made.scale)
            for shown, body, at in zip(pictures, bodies, places)
        )
    )
    means = composition.part_means([made])
    mean = _attached(composition.mean_colour(means), bodies[2], x, y)
    scale = pose_volumes.person_scale(*target)
    picture = composition.compose(bodies[2], scale, [*zip(views, found)], mean)
    return Reprojection(bodies[2], scale, found, (), normals[0], mean, (), picture)


def _torch_run(picture, poses):
    """The operator in PyTorch, as a function without arguments."""
    from volsynth.bench import torch_reprojection as twin
    from volsynth.bench import torch_twin

    side = float(picture.shape[2])
    source, target = _poses(poses, "source"), _poses(poses, "target")
    people = (source, geometry.mirrored_pose(*source, side), target)
    bodies = [
        twin.body(capsules(*pose, SLENDER), pose_volumes.person_scale(*pose)) for pose in people
    ]
    made = candidates.make_source(picture, *source, side)
    views = candidates.views([made], [source], target, side)
    transforms = [jax.tree.map(np.asarray, view.transforms) for view in views]
    rgba = torch_twin.channels_first(picture)

    def run():
        with twin.torch.no_grad():
            return twin.picture(rgba, bodies, transforms).numpy()

    return run


def _attached(attach, body, x, y):
    """The values that are attached to the part of every pixel."""
    part = jnp.minimum(body.part, skeleton.NUM_PARTS - 1)

    def pick(values):
        return jax.vmap(lambda rows, part: rows[part])(values, part)

    there = body.part != raster.NOBODY
    return jax.tree.map(lambda v: jnp.where(there, v, 0), attach(pick, body.depth, x, y))


def _plain_candidate(picture, body, at, target, scale):
    """The candidate of every pixel from a picture that is looked at directly, and the normals."""
    rgba = _plain_bilinear(picture, at.x, at.y) * at.valid[..., None]
    surface = jnp.where(body.distance < 0, body.depth, raster.FAR)
    there = jnp.stack([surface, body.part.astype(jnp.float32), *body.normal], axis=-1)
    there = _pixels(there, jnp.floor(at.x), jnp.floor(at.y))
    behind = (at.depth - there[..., 0]) / jnp.maximum(scale, 1e-3)[:, None, None]
    seen = jax.nn.sigmoid((candidates.TOLERANCE - behind) / candidates.SOFTNESS)
    own = (there[..., 1] == target.part).astype(jnp.float32)
    normal = tuple(there[..., i] * at.valid for i in range(2, 5))
    planes = sampling.planes(rgba)
    return candidates.Candidate(planes, seen * at.valid, own * at.valid), normal


def _plain_bilinear(images, x, y):
    """Samples of images [B, H, W, C] at points [B, H, W], all channels of a pixel side by side."""
    left, above = jnp.floor(x - 0.5), jnp.floor(y - 0.5)
    right_share, lower_share = x - 0.5 - left, y - 0.5 - above
    padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    total = 0.0
    for down, right in itertools.product((0, 1), repeat=2):
        share_x = right_share if right else 1 - right_share
        share_y = lower_share if down else 1 - lower_share
        # One more for the border of zeros.
        found = _pixels(padded, left + right + 1, above + down + 1)
        total += (share_x * share_y)[..., None] * found
    return total


def _pixels(images, column, row):
    """The pixels [B, ..., C] of images in some columns and rows; the nearest where outside."""
    batch, height, width, channels = images.shape
    column, row = jnp.clip(column, 0, width - 1), jnp.clip(row, 0, height - 1)
    index = (row.astype(jnp.int32) * width + column.astype(jnp.int32)).reshape(batch, -1, 1)
    flat = images.reshape(batch, -1, channels)
    return jnp.take_along_axis(flat, index, axis=1).reshape(*row.shape, channels)


def plain_raster(
    joints: jax.Array, visible: jax.Array, x: jax.Array, y: jax.Array
) -> raster.Raster:
    """Computes `raster.raster` by an array [B, N, H, W] of every capsule at every pixel."""
    body = capsules(joints, visible, SLENDER)
    scale = pose_volumes.person_scale(joints, visible)
    start, end = (jnp.moveaxis(v, -1, 0)[..., None, None] for v in (body.start, body.end))
    radius = body.radius[..., None, None]
    hit = raster.hit(tuple(start), tuple(end), radius, x[:, None], y[:, None])
    rank = jnp.where(hit.distance < 0, hit.depth - 2 * raster.FAR, hit.distance)
    reach = (raster.REACH * scale)[:, None, None, None]
    there = body.known[..., None, None] & (hit.distance <= reach)
    rank = jnp.where(there, rank, raster.FAR)
    best = jnp.argmin(rank, axis=1, keepdims=True)

    def chosen(values):
        return jnp.take_along_axis(values, best, axis=1)[:, 0]

    nobody = chosen(rank) >= raster.FAR
    normal = [chosen(v) for v in (hit.across_x, hit.across_y, -hit.down)]
    length = jnp.maximum(jnp.sqrt(sum(v**2 for v in normal)), 1e-6)
    return raster.Raster(
        jnp.where(nobody, raster.NOBODY, jnp.array(PARTS)[best[:, 0]]),
        jnp.where(nobody, raster.FAR, chosen(hit.depth)),
        jnp.where(nobody, raster.FAR, chosen(hit.distance)),
        tuple(jnp.where(nobody, 0, v / length) for v in normal),
    )
