"""The benchmark of the 3D convolution: ours, XLA's own, and PyTorch's."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from volsynth.bench import naive, timing
from volsynth.bench.timing import Say
from volsynth.ops import convolution


def bench_conv3d(
    shapes: list[tuple[int, ...]], repeats: int, with_torch: bool, say: Say
) -> dict[str, Any]:
    """Measures 3x3x3 convolutions with as many output as input channels: forward, both gradients.

    Args:
      shapes: the shapes of the inputs, [B, H, W, D, C].
      repeats: turns of every candidate.
      with_torch: whether PyTorch takes part.
      say: is told of the progress.

    Returns:
      JSON values: "shapes", with seconds and GFLOP/s of every candidate and how far ours is from
      XLA's; geometric means over the shapes, "speedup_over_xla" and "speedup_over_torch"; and
      "machine".
    """
    rows = []
    for shape in shapes:
        say(f"shape {shape}")
        rows.append(_bench_shape(shape, repeats, with_torch, say))
    report = {"shapes": rows, "machine": timing.machine_info()}
    for other in ("xla", "torch") if with_torch else ("xla",):
        # The geometric mean: ratios of times multiply.
        report[f"speedup_over_{other}"] = math.exp(
            float(np.mean([np.log(r["seconds"][other] / r["seconds"]["ours"]) for r in rows]))
        )
    return report


def conv3d_shapes(config: Any) -> list[tuple[int, ...]]:
    """Returns the shapes of the volumes in a config's residual blocks, for one training batch."""
    # The encoder halves the image twice before it becomes a volume.
    model, size = config.model, config.data.image_size // 4
    both = model.image_channels + model.pose_channels
    return [
        (config.train.batch_size, size, size, model.depth, channels)
        for channels in (model.image_channels, model.pose_channels, both)
    ]


def _bench_shape(shape, repeats, with_torch, say) -> dict[str, Any]:
    keys = jax.random.split(jax.random.key(0), 3)
    x, weight = (jax.random.normal(key, shape) for key in keys[:2])
    # Divided so that the outputs neither grow nor vanish with the number of channels.
    kernel = jax.random.normal(keys[2], (3, 3, 3, shape[-1], shape[-1])) / shape[-1] ** 0.5
    runs = {
        "ours": _compiled(convolution.conv3d, x, kernel, weight),
        "xla": _compiled(naive.conv3d, x, kernel, weight),
    }
    differences = jax.tree.map(
        lambda a, b: float(jnp.max(jnp.abs(a - b)) / jnp.max(jnp.abs(b))),
        runs["ours"]()[1],
        runs["xla"]()[1],
    )
    if with_torch:
        runs["torch"] = _torch_conv3d(x, kernel, weight)
    seconds = timing.median_seconds(runs, repeats, say)
    # Forward and both gradients are three convolutions; a multiplication and an addition per tap.
    operations = 3 * 2 * math.prod(shape) * 27 * shape[-1]
    return {
        "shape": list(shape),
        "seconds": seconds,
        "gflops": {name: operations / value / 1e9 for name, value in seconds.items()},
        "largest_relative_difference": max(differences),
    }


def _compiled(function, x, kernel, weight):
    """A compiled function without arguments: the weighted sum of a convolution, and gradients."""

    # Weighted, because the gradient of a plain sum would be a convolution of ones.
    def total(x, kernel):
        return jnp.sum(function(x, kernel) * weight)

    both = jax.jit(jax.value_and_grad(total, argnums=(0, 1))).lower(x, kernel).compile()
    return functools.partial(both, x, kernel)


def _torch_conv3d(x, kernel, weight):
    from volsynth.bench import torch_twin

    torch = torch_twin.torch
    # Channels last in memory, as in ours.
    layout = {"memory_format": torch.channels_last_3d}
    x, weight = (torch_twin.channels_first(v).contiguous(**layout) for v in (x, weight))
    kernel = torch_twin.tensor(np.moveaxis(np.asarray(kernel), (4, 3), (0, 1))).contiguous(**layout)

    def both():
        a, b = x.clone().requires_grad_(), kernel.clone().requires_grad_()
        (torch.nn.functional.conv3d(a, b, padding=1) * weight).sum().backward()
        return b.grad.numpy()

    return both
