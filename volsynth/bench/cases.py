"""The benchmarks: what is run, on what, and the ratios that are reported."""

import functools
import importlib.util
import math
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from volsynth import systems
from volsynth.bench import naive, timing
from volsynth.data import fake, pairing, pipeline, prepared
from volsynth.diagnostics import describe
from volsynth.errors import UserError
from volsynth.ops import convolution
from volsynth.train import program

Say = Callable[[str], None]


def bench_conv3d(
    shapes: list[tuple[int, ...]], repeats: int, with_torch: bool, say: Say
) -> dict[str, Any]:
    """3x3x3 convolutions of as many channels in as out, forward plus both gradients.

    Args:
      shapes: of the inputs, [B, H, W, D, C].
      repeats: turns of every candidate.
      with_torch: whether PyTorch takes part.
      say: told of the progress.
    """
    rows = []
    for shape in shapes:
        say(f"shape {shape}")
        keys = jax.random.split(jax.random.key(0), 3)
        x, weight = (jax.random.normal(key, shape) for key in keys[:2])
        kernel = jax.random.normal(keys[2], (3, 3, 3, shape[-1], shape[-1])) / shape[-1] ** 0.5
        runs = {}
        for name, function in (("ours", convolution.conv3d), ("xla", naive.conv3d)):

            def total(x, kernel, function=function, weight=weight):
                return jnp.sum(function(x, kernel) * weight)

            both = jax.jit(jax.value_and_grad(total, argnums=(0, 1))).lower(x, kernel).compile()
            runs[name] = functools.partial(both, x, kernel)
        differences = jax.tree.map(
            lambda a, b: float(jnp.max(jnp.abs(a - b)) / jnp.max(jnp.abs(b))),
            runs["ours"]()[1],
            runs["xla"]()[1],
        )
        if with_torch:
            runs["torch"] = _torch_conv3d(x, kernel, weight)
        seconds = timing.medians(runs, repeats, say)
        work = 3 * 2 * math.prod(shape) * 27 * shape[-1]
        rows.append(
            {
                "shape": list(shape),
                "seconds": seconds,
                "gflops": {name: work / value / 1e9 for name, value in seconds.items()},
                "largest_relative_difference": max(differences),
            }
        )
    report = {"shapes": rows, "machine": timing.machine()}
    for other in ("xla", "torch") if with_torch else ("xla",):
        report[f"speedup_over_{other}"] = math.exp(
            float(np.mean([np.log(r["seconds"][other] / r["seconds"]["ours"]) for r in rows]))
        )
    return report


def _torch_conv3d(x, kernel, weight):
    from volsynth.bench import torch_twin

    torch = torch_twin.torch
    layout = {"memory_format": torch.channels_last_3d}
    x, weight = (torch_twin.channels_first(v).contiguous(**layout) for v in (x, weight))
    kernel = torch_twin.tensor(np.moveaxis(np.asarray(kernel), (4, 3), (0, 1))).contiguous(**layout)

    def both():
        a, b = x.clone().requires_grad_(), kernel.clone().requires_grad_()
        (torch.nn.functional.conv3d(a, b, padding=1) * weight).sum().backward()
        return b.grad.numpy()

    return both


def check_volumetric(config: Any, command: str) -> None:
    """Raises a UserError for another system: what `bench` compares is the volumetric one."""
    if config.system != "volumetric":
        raise UserError(
            f"bench {command} measures the volumetric system, not {config.system}; "
            "give --config configs/volumetric.py:demo."
        )


def conv3d_shapes(config: Any) -> list[tuple[int, ...]]:
    """The volumes that a config's residual blocks work on, of one training batch."""
    model, size = config.model, config.data.image_size // 4
    both = model.image_channels + model.pose_channels
    return [
        (config.train.batch_size, size, size, model.depth, channels)
        for channels in (model.image_channels, model.pose_channels, both)
    ]


def bench_step(config: Any, repeats: int, with_torch: bool, say: Say) -> dict[str, Any]:
    """One training step of a config's generator under L1: forward, gradient, Adam.

    Args:
      config: of the volumetric system; its losses and chroma key are left out, so that both sides
        do the same.
      repeats: turns of every candidate.
      with_torch: whether PyTorch takes part.
      say: told of the progress.
    """
    config = config.copy_and_resolve_references()
    with config.unlocked():
        others = ("gan", "nearest_neighbour", "perceptual", "chroma", "pose")
        config.loss.update({**dict.fromkeys(others, 0.0), "game": "minimax", "l1": 1.0})
        config.model.chroma_key = False
    batch = fake.batch(config.train.batch_size, config.data.image_size)
    system = systems.make(config)
    trained = program.make(system, config)
    current = jax.jit(trained.init)(jax.random.key(0), batch)
    parameters = jax.device_get(current.variables["generator"])
    (move,) = trained.steps.values()
    say("compiling the step")
    compiled = jax.jit(move, donate_argnums=0).lower(current, batch).compile()

    def ours():
        nonlocal current
        current, metrics = compiled(current, batch)
        return metrics

    runs = {"ours": ours}
    report: dict[str, Any] = {"batch_size": config.train.batch_size, "machine": timing.machine()}
    if with_torch:
        from volsynth.bench import torch_twin

        settings = (config.model.depth, config.model.mask_width, config.model.heatmap_sigma)
        image, _ = jax.jit(lambda v, b: system.forward(v, b, jax.random.key(0), train=False))(
            {"generator": parameters}, batch
        )
        difference = image["image"] - torch_twin.generate(parameters, batch, *settings)
        report["largest_difference_of_images"] = float(jnp.max(jnp.abs(difference)))
        runs["torch"] = torch_twin.training_step(parameters, batch, *settings)
    seconds = timing.medians(runs, repeats, say)
    report |= {"seconds": seconds, "memory": describe.program_bytes(compiled)}
    if with_torch:
        report["speedup_over_torch"] = seconds["torch"] / seconds["ours"]
    return report


def prepared_poses(folder: str, name: str, config_name: str, count: int, image_size: int):
    """Joints and visibility of `count` pairs of a prepared data set, for images of another size.

    Raises:
      UserError: there is no such data set.
    """
    split = prepared.open_prepared(pathlib.Path(folder), name, config_name).split("validation")
    pairs = pairing.evaluation_pairs(split, seed=0)[:: max(split.records // count, 1)][:count]
    batch = next(pipeline.evaluation_batches(split, pairs, count))
    scale = image_size / batch["source_image"].shape[2]
    return {
        key: value * np.float32(scale) if key.endswith("joints") else value
        for key, value in batch.items()
        if key.endswith(("joints", "visible"))
    }


def torch_found() -> bool:
    """Whether PyTorch is installed.

    Raises:
      UserError: it is not. Asking for the comparison and not getting it would be no answer.
    """
    if importlib.util.find_spec("torch") is None:
        raise UserError("the comparison needs PyTorch: pip install -e '.[bench]', or --no-torch.")
    return True
