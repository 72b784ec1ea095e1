"""The reprojection system: its stages, pictures of any size, and what a config cannot have."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiling import QUICK

from volsynth import systems
from volsynth.config import load_config
from volsynth.conventions import BACKGROUND
from volsynth.data import fake
from volsynth.errors import UserError
from volsynth.export import forward
from volsynth.system import evaluation_context


def _config(*overrides):
    return load_config(
        "configs/reprojection.py:smoke", [f"--config.{override}" for override in overrides]
    )


@pytest.fixture(scope="module")
def made():
    """The system, random variables, and the compiled forward pass."""
    system = systems.make(_config())
    shapes = jax.eval_shape(system.init, jax.random.key(0), system.batch_spec(1, 32))
    rng = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda leaf: jnp.asarray(0.1 * rng.standard_normal(leaf.shape), jnp.float32), shapes
    )

    @functools.partial(jax.jit, compiler_options=QUICK)
    def run(variables, batch):
        return system.forward(variables, batch, evaluation_context())[0]["image"]

    return system, variables, run


def _batch(size, count=2):
    """The same persons at another size."""
    batch = fake.batch(count, 32)
    factor = size // 16 / 2

    def scaled(name, value):
        if name.endswith("_image"):
            return np.asarray(jax.image.resize(value, (count, size, size, 3), "nearest"))
        return np.float32(value * factor) if name.endswith("_joints") else value

    kinds = ("image", "joints", "visible")
    return {name: scaled(name, v) for name, v in batch.items() if name.split("_", 1)[1] in kinds}


def test_a_source_is_encoded_from_its_own_fields_alone(made):
    system, variables, run = made
    batch = _batch(32)
    source = {name: value for name, value in batch.items() if name.startswith("source_")}
    encode, move, render = (jax.jit(stage, compiler_options=QUICK) for stage in system.stages)
    moved = move(variables, encode(variables, source), batch)
    image = render(variables, moved, batch)["image"]
    np.testing.assert_allclose(image, run(variables, batch), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("size", [32, 64])
def test_the_exported_program_takes_any_size(made, size):
    system, variables, run = made
    inputs = forward.used_inputs(system, 32)
    exported = jax.export.deserialize(bytearray(forward.serialise(system, 32, inputs)))
    batch = _batch(size)
    wanted = np.asarray(run(variables, batch))
    assert wanted.shape == (2, size, size, 3)
    assert np.all(np.abs(wanted) <= 1)
    averaged = {"generator": variables["generator"]}
    found = exported.call(forward.by_name(averaged), {name: batch[name] for name in inputs})
    # Where two capsules meet, rounding may decide for the other one.
    assert np.mean(np.abs(found - wanted).max(axis=-1) > 1e-2) < 0.01


def test_with_a_volume_the_streams_are_those_of_the_volumetric_system():
    """The same names and shapes, so that its weights could be taken over."""

    def parameters(path, *variants):
        system = systems.make(load_config(":".join((path, ",".join(variants)))))
        shapes = jax.eval_shape(system.init, jax.random.key(0), system.batch_spec(2, 32))
        return jax.tree.map(lambda leaf: leaf.shape, shapes["generator"]["params"])

    found = parameters("configs/reprojection.py", "smoke", "volume")
    wanted = parameters("configs/volumetric.py", "smoke")
    for stream in ("encoder", "before", "pose_stream", "after"):
        assert found["volume"][stream] == wanted[stream], stream
    assert "network" not in found
    # A guided encoder sees outline, depth and ten parts of the source's body beside three colours.
    guided = parameters("configs/reprojection.py", "smoke", "guided_volume")
    first = [
        tree["volume"]["encoder"]["ConvBlock_0"]["Conv_0"]["kernel"] for tree in (found, guided)
    ]
    assert [kernel[2] for kernel in first] == [3, 3 + 12]


def test_a_larger_picture_shows_what_the_smaller_one_shows(made):
    _, variables, run = made
    small, large = (np.asarray(run(variables, _batch(size))) for size in (32, 64))
    shrunk = large.reshape(2, 32, 2, 32, 2, 3).mean(axis=(2, 4))
    person = np.abs(small - np.array(BACKGROUND)).max(axis=-1) > 0.5
    assert person.mean() > 0.05
    assert np.abs(shrunk - small)[person].mean() < 0.15
    far = np.abs(shrunk - np.array(BACKGROUND)).max(axis=-1) < 0.1
    assert np.mean(far == (np.abs(small - np.array(BACKGROUND)).max(axis=-1) < 0.1)) > 0.9


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.image_size=40", "config.data.image_size must be a multiple of 16, got 40"),
        ("model.size=20", "config.model.size must be a multiple of 16, got 20"),
        ("model.transform=4d", "config.model.transform must be 3d or 2d, got '4d'"),
        ("model.features=vol", "config.model.features must be unet or volume, got 'vol'"),
        ("model.pose=4d", "config.model.pose must be 3d or 2d, got '4d'"),
        ("loss.pose=1.0", "config.loss.pose must be 0, got 1.0: there is no pose head here"),
        ("model.sources=3", "config.model.sources must be 1 or 2, got 3"),
        ("model.guided=True", "config.model.guided must be False with config.model.features unet"),
        ("model.flow=0.5", "config.model.flow must be from 0 to 0.3, a share of the person's"),
    ],
)
def test_what_cannot_be_built(override, message):
    with pytest.raises(UserError, match=message.replace(".", r"\.")):
        systems.make(_config(override))
