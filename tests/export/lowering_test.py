"""The training step of the thesis's model lowers for every platform: nothing is only for CPUs."""

import jax
import pytest

from volsynth import systems
from volsynth.config import load_config
from volsynth.data import fake
from volsynth.train import program

PLATFORMS = ("cpu", "cuda", "tpu")


@pytest.mark.parametrize("spec", ["full", pytest.param("full,half", marks=pytest.mark.slow)])
def test_the_full_step_lowers_for_every_platform(spec):
    settings = load_config(f"configs/volumetric.py:{spec}")
    system = systems.make(settings)
    batch = fake.spec(settings.train.batch_size, settings.data.image_size)
    trained = program.make(system, settings)
    whole = jax.eval_shape(trained.init, jax.random.key(0), batch)
    (move,) = trained.steps.values()
    exported = jax.export.export(jax.jit(move, donate_argnums=0), platforms=PLATFORMS)(whole, batch)
    assert exported.platforms == PLATFORMS
    text = exported.mlir_module()
    # Each platform takes its own form of the 3D convolution.
    assert text.count("stablehlo.convolution") > 50
    assert "stablehlo.case" in text
    wanted = "f16" if spec.endswith("half") else "f32"
    assert f"x{wanted}>" in text
    assert ("x1152xf16>" in text) == (wanted == "f16")
