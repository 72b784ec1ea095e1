"""The training step of the thesis's model lowers for every platform: nothing is only for CPUs."""

import jax
import pytest

from volsynth import config, systems
from volsynth.data import fake
from volsynth.train import optim, scaling, state, step

PLATFORMS = ("cpu", "cuda", "tpu")


@pytest.mark.parametrize("spec", ["full", "full,half"])
def test_the_full_step_lowers_for_every_platform(spec):
    settings = config.load(f"configs/volumetric.py:{spec}")
    system = systems.make(settings)
    batch = fake.spec(settings.train.batch_size, settings.data.image_size)
    optimisers = optim.make(settings.optim, system, settings.train.steps)
    scales = scaling.make(settings.precision, settings.train.loss_scale)
    init = state.initialiser(system, optimisers, scales)
    whole = jax.eval_shape(init, jax.random.key(0), batch)
    (phase,) = system.phases
    move = step.make(system, phase, optimisers, settings.train.average_decay, scales)
    exported = jax.export.export(jax.jit(move, donate_argnums=0), platforms=PLATFORMS)(whole, batch)
    assert exported.platforms == PLATFORMS
    text = exported.mlir_module()
    # Each platform takes its own form of the 3D convolution.
    assert text.count("stablehlo.convolution") > 50
    assert "stablehlo.case" in text
    wanted = "f16" if spec.endswith("half") else "f32"
    assert f"x{wanted}>" in text
    assert ("x1152xf16>" in text) == (wanted == "f16")
