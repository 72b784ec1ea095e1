"""The benchmark of the multi-part warp: ours in each of its forms, and what it is to beat."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from volsynth.bench import naive, timing
from volsynth.ops import pose_volumes
from volsynth.ops.warp import voxel_lists, warp

FORMS = {
    "ours": warp.warp,
    **{f"lists, {form}": functools.partial(warp.warp, form=form) for form in warp.FORMS},
    "dense scan": naive.scanned_warp,
    "naive": naive.multi_part_warp,
}
"""Functions of (volume, masks, transforms, side) that do the same."""


def bench_warp(
    config: Any,
    poses: dict[str, np.ndarray],
    repeats: int,
    with_torch: bool,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """The multi-part warp of a config: the forward pass, and with it the gradient of the volume.

    Args:
      config: whose volume and precision.
      poses: a batch's joints and visibility, for an image of the config's size.
      repeats: turns of every candidate.
      with_torch: whether PyTorch takes part.
      say: told of the progress.
    """
    model, size = config.model, config.data.image_size
    shape, side = (size // 4, size // 4, model.depth), float(size)
    masks, transforms = _parts(poses, shape, side, model.mask_width)
    batch = len(poses["source_joints"])
    keys = jax.random.split(jax.random.key(0))
    full = (batch, *shape, model.image_channels)
    volume, weight = (jax.random.normal(key, full).astype(config.precision) for key in keys)
    # Where two parts are as large to rounding, forms may differ in which one takes the gradient.
    weight = jnp.where(_decided(volume, masks, transforms, side), weight, 0)

    double = _halved(masks, transforms)
    tasks = {name: (form, masks, transforms) for name, form in FORMS.items()}
    tasks["ours, twice the parts"] = (warp.warp, *double)
    runs, memory, results = {}, {}, {}
    for name, (form, *parts) in tasks.items():
        say(f"compiling {name}")
        forward, both = _compiled(form, volume, weight, *parts, side)
        runs[f"{name}: forward"] = functools.partial(forward, volume, *parts)
        runs[f"{name}: with gradient"] = functools.partial(both, volume, weight, *parts)
        memory[name] = both.memory_analysis().temp_size_in_bytes
        if name in FORMS:
            results[name] = jax.device_get(both(volume, weight, *parts))
    if with_torch:
        runs |= _torch_runs(volume, weight, masks, transforms, shape, side)
    seconds = timing.medians(runs, repeats, say)

    def ratio(name):
        return seconds[f"{name}: with gradient"] / seconds["ours: with gradient"]

    return {
        "volume": list(full),
        "precision": config.precision,
        "parts": masks.shape[1],
        "mask_voxels": int(jnp.sum(masks)) // batch,
        "seconds": seconds,
        "speedup_over_naive": ratio("naive"),
        **({"speedup_over_torch": ratio("torch")} if with_torch else {}),
        "twice_the_parts": ratio("ours, twice the parts"),
        "twice_the_parts_reached": int(_reached(*double, shape, side))
        / int(_reached(masks, transforms, shape, side)),
        "temporary_bytes": memory,
        "memory_of_naive": memory["ours"] / memory["naive"],
        "largest_difference": {
            name: {
                what: float(np.max(np.abs(a.astype(np.float32) - b.astype(np.float32))))
                for what, a, b in zip(("forward", "gradient"), result, results["naive"])
            }
            for name, result in results.items()
        },
        "machine": timing.machine(),
    }


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def _parts(poses, shape, side, width):
    source = (jnp.asarray(poses["source_joints"]), jnp.asarray(poses["source_visible"]))
    target = (jnp.asarray(poses["target_joints"]), jnp.asarray(poses["target_visible"]))
    masks = pose_volumes.part_masks(*source, shape, side, width)
    return masks, pose_volumes.part_transforms(*source, *target, side)


def _compiled(function, volume, weight, masks, transforms, side):
    """The forward pass, and the forward pass with the gradient of the sum weighted by `weight`."""

    def forward(volume, masks, transforms):
        return function(volume, masks, transforms, side)

    def both(volume, weight, masks, transforms):
        result, pull = jax.vjp(lambda v: forward(v, masks, transforms), volume)
        return result, pull(weight)[0]

    parts = (masks, transforms)
    return (
        jax.jit(forward).lower(volume, *parts).compile(),
        jax.jit(both).lower(volume, weight, *parts).compile(),
    )


@functools.partial(jax.jit, static_argnums=3)
def _decided(volume, masks, transforms, side):
    """Where the largest part is larger than the second by more than rounding."""
    parts = naive.moved_parts(volume, masks, transforms, side)
    largest = jnp.max(parts, axis=1)
    rest = jnp.where(parts == largest[:, None], -jnp.inf, parts)
    single = jnp.sum(parts == largest[:, None], axis=1) == 1
    return single & (largest - jnp.max(rest, axis=1) > 1e-3)


@jax.jit
def _halved(masks, transforms):
    """Every part as two: the upper and the lower half of its voxels."""
    flat = masks.reshape(*masks.shape[:2], -1)
    rank = jnp.cumsum(flat, axis=-1)
    upper = (rank <= rank[..., -1:] // 2).reshape(masks.shape)
    masks = jnp.concatenate([masks & upper, masks & ~upper], axis=1)
    return masks, jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf], axis=1), transforms)


@functools.partial(jax.jit, static_argnums=(2, 3))
def _reached(masks, transforms, shape, side):
    """How many voxels the parts reach, all together."""
    inside = masks & transforms.valid[:, :, None, None, None]
    matrix, offset = warp.voxel_transforms(transforms, shape, side)
    return jnp.sum(voxel_lists.list_targets(inside, matrix, offset)[1])


def _torch_runs(volume, weight, masks, transforms, shape, side):
    from volsynth.bench import torch_twin

    part_masks, grids = torch_twin.part_tensors(masks, transforms, shape, side)
    volume, weight = torch_twin.channels_first(volume), torch_twin.channels_first(weight)

    def forward():
        with torch_twin.torch.no_grad():
            return torch_twin.multi_part_warp(volume, part_masks, grids).numpy()

    def both():
        leaf = volume.clone().requires_grad_()
        torch_twin.multi_part_warp(leaf, part_masks, grids).backward(weight)
        return leaf.grad.numpy()

    return {"torch: forward": forward, "torch: with gradient": both}
