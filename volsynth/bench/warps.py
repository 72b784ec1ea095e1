"""The benchmark of the multi-part warp: ours in each of its forms, naive forms, and PyTorch."""

import functools
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from volsynth.bench import naive, timing
from volsynth.bench.timing import Say
from volsynth.data import pairing, pipeline, prepared
from volsynth.ops import pose_volumes
from volsynth.ops.warp import voxel_lists, warp

FORMS = {
    "ours": warp.warp,
    **{f"lists, {form}": functools.partial(warp.warp, form=form) for form in warp.FORMS},
    "dense scan": naive.scanned_warp,
    "naive": naive.multi_part_warp,
}
"""The forms of the warp: functions of (volume, masks, transforms, side) with the same result."""


def bench_warp(
    config: Any,
    poses: dict[str, np.ndarray],
    repeats: int,
    with_torch: bool,
    say: Say,
) -> dict[str, Any]:
    """Measures the multi-part warp alone, and together with the gradient of the volume.

    Args:
      config: a config whose volume and precision are used.
      poses: a batch's joints and visibility, for images of the config's size.
      repeats: turns of every candidate.
      with_torch: whether PyTorch takes part.
      say: is told of the progress.

    Returns:
      JSON values: "seconds" and "temporary_bytes" of every candidate, "largest_difference" of every
      form from the naive one, ratios of ours to the others, and what twice the parts cost.
    """
    model, size = config.model, config.data.image_size
    shape, side = (size // 4, size // 4, model.depth), float(size)
    masks, transforms = _parts(poses, shape, side, model.mask_width)
    batch = len(poses["source_joints"])
    keys = jax.random.split(jax.random.key(0))
    full = (batch, *shape, model.image_channels)
    # Random features: only the poses decide which voxels are moved, and with that the cost.
    volume, weight = (jax.random.normal(key, full).astype(config.precision) for key in keys)
    # Where two parts are equal up to rounding, forms may differ in which one gets the gradient.
    weight = jnp.where(_decided(volume, masks, transforms, side), weight, 0)

    # The cost should go with the voxels of the parts, not with the number of parts.
    double = _halved(masks, transforms)
    tasks = {name: (form, masks, transforms) for name, form in FORMS.items()}
    tasks["ours, twice the parts"] = (warp.warp, *double)
    runs, memory, results = _compile_all(tasks, volume, weight, side, say)
    if with_torch:
        runs |= _torch_runs(volume, weight, masks, transforms, shape, side)
    seconds = timing.median_seconds(runs, repeats, say)

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
            name: _largest_differences(result, results["naive"]) for name, result in results.items()
        },
        "machine": timing.machine_info(),
    }


def prepared_poses(
    folder: str, name: str, config_name: str, count: int, image_size: int
) -> dict[str, np.ndarray]:
    """Reads the poses of some pairs of a prepared data set, scaled to images of another size.

    Args:
      folder: the folder of the data sets.
      name: the name of the data set.
      config_name: the name of its builder config.
      count: the number of pairs.
      image_size: the side of the images that the poses are for, in pixels.

    Returns:
      The joints and the visibility of sources and targets, as in a batch.

    Raises:
      UserError: there is no such data set.
    """
    split = prepared.open_prepared(pathlib.Path(folder), name, config_name).split("validation")
    # Spread over the split, whose records lie person by person.
    pairs = pairing.evaluation_pairs(split, seed=0)[:: max(split.records // count, 1)][:count]
    batch = next(pipeline.evaluation_batches(split, pairs, count))
    scale = image_size / batch["source_image"].shape[2]
    return {
        key: value * np.float32(scale) if key.endswith("joints") else value
        for key, value in batch.items()
        if key.endswith(("joints", "visible"))
    }


def _compile_all(tasks, volume, weight, side, say):
    """Functions to measure, temporary bytes, and results of every task."""
    runs, memory, results = {}, {}, {}
    for name, (form, *parts) in tasks.items():
        say(f"compiling {name}")
        forward, both = _compiled(form, volume, weight, *parts, side)
        runs[f"{name}: forward"] = functools.partial(forward, volume, *parts)
        runs[f"{name}: with gradient"] = functools.partial(both, volume, weight, *parts)
        memory[name] = both.memory_analysis().temp_size_in_bytes
        if name in FORMS:
            # On the host: the results of all forms together would fill a device.
            results[name] = jax.device_get(both(volume, weight, *parts))
    return runs, memory, results


def _largest_differences(result, naive_result):
    """The largest differences of the forward pass and of the gradient."""
    # In float32: NumPy would subtract bfloat16 in bfloat16.
    return {
        what: float(np.max(np.abs(a.astype(np.float32) - b.astype(np.float32))))
        for what, a, b in zip(("forward", "gradient"), result, naive_result)
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

    # The masks and transforms are arguments, or the compiler could compute with them beforehand.
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
    """The places where the largest part exceeds the second largest by more than rounding."""
    parts = naive.moved_parts(volume, masks, transforms, side)
    largest = jnp.max(parts, axis=1)
    rest = jnp.where(parts == largest[:, None], -jnp.inf, parts)
    single = jnp.sum(parts == largest[:, None], axis=1) == 1
    return single & (largest - jnp.max(rest, axis=1) > 1e-3)


@jax.jit
def _halved(masks, transforms):
    """The parts, each as two: the upper and the lower half of its voxels."""
    flat = masks.reshape(*masks.shape[:2], -1)
    # The voxels of a part by their number in memory, so that both halves have the same size.
    rank = jnp.cumsum(flat, axis=-1)
    upper = (rank <= rank[..., -1:] // 2).reshape(masks.shape)
    masks = jnp.concatenate([masks & upper, masks & ~upper], axis=1)
    return masks, jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf], axis=1), transforms)


@functools.partial(jax.jit, static_argnums=(2, 3))
def _reached(masks, transforms, shape, side):
    """The number of voxels that the parts reach, added over the parts."""
    inside = masks & transforms.valid[:, :, None, None, None]
    # By the lists that the warp itself works through.
    matrix, offset = warp.voxel_transforms(transforms, shape, side)
    return jnp.sum(voxel_lists.list_targets(inside, matrix, offset)[1])


def _torch_runs(volume, weight, masks, transforms, shape, side):
    from volsynth.bench import torch_twin

    # The grids are made beforehand, which is in PyTorch's favour.
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
