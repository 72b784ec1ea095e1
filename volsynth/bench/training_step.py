"""The benchmark of a training step: the volumetric generator's, and that of its PyTorch twin."""

from typing import Any

import jax
import jax.numpy as jnp

from volsynth import systems
from volsynth.bench import timing
from volsynth.bench.timing import Say
from volsynth.data import fake
from volsynth.diagnostics import describe
from volsynth.system import evaluation_context
from volsynth.train import program


def bench_step(config: Any, repeats: int, with_torch: bool, say: Say) -> dict[str, Any]:
    """Measures one training step of a config's generator under L1: forward, gradient, Adam.

    Args:
      config: a config of the volumetric system; its losses and chroma key are left out, so that
        both sides do the same.
      repeats: turns of every candidate.
      with_torch: whether PyTorch takes part.
      say: is told of the progress.

    Returns:
      JSON values: "seconds" of each candidate, "memory" in bytes, "batch_size" and "machine"; with
      PyTorch also "speedup_over_torch" and "largest_difference_of_images".
    """
    config = _under_l1(config)
    batch = fake.batch(config.train.batch_size, config.data.image_size)
    system = systems.make(config)
    trained = program.make(system, config)
    current = jax.jit(trained.init)(jax.random.key(0), batch)
    # A copy on the host: the step donates the state, and with it the buffers of the parameters.
    parameters = jax.device_get(current.variables["generator"])
    # The volumetric system has one phase.
    (move,) = trained.steps.values()
    say("compiling the step")
    compiled = jax.jit(move, donate_argnums=0).lower(current, batch).compile()

    def ours():
        nonlocal current
        current, metrics = compiled(current, batch)
        return metrics

    runs = {"ours": ours}
    report: dict[str, Any] = {
        "batch_size": config.train.batch_size,
        "machine": timing.machine_info(),
    }
    if with_torch:
        from volsynth.bench import torch_twin

        settings = (config.model.depth, config.model.mask_width, config.model.heatmap_sigma)
        image, _ = jax.jit(lambda v, b: system.forward(v, b, evaluation_context()))(
            {"generator": parameters}, batch
        )
        # The report says by this that both networks are the same.
        difference = image["image"] - torch_twin.generate(parameters["params"], batch, *settings)
        report["largest_difference_of_images"] = float(jnp.max(jnp.abs(difference)))
        runs["torch"] = torch_twin.training_step(parameters["params"], batch, *settings)
    seconds = timing.median_seconds(runs, repeats, say)
    report |= {"seconds": seconds, "memory": describe.program_bytes(compiled)}
    if with_torch:
        report["speedup_over_torch"] = seconds["torch"] / seconds["ours"]
    return report


def _under_l1(config):
    """The config with L1 as its only loss, and without what the twin does not have."""
    config = config.copy_and_resolve_references()
    with config.unlocked():
        others = ("gan", "nearest_neighbour", "perceptual", "chroma", "pose")
        config.loss.update({**dict.fromkeys(others, 0.0), "gan_loss": "minimax", "l1": 1.0})
        config.model.chroma_key = False
    return config
