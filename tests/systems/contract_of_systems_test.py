"""The promises of every system beside its networks: the fields that it reads, and its stages."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiling import QUICK

from volsynth import fields, systems
from volsynth.config import load_config
from volsynth.data import fake
from volsynth.system import evaluation_context
from volsynth.train import program

KEY = jax.random.key(0)


# --- inputs --------------------------------------------------------------------------------------

ON_TOP = {"volumetric": ",pose_1e2", "resnet2d": ",wasserstein"}
"""Variants that read more than the plain ones do."""

INPUTS_OF = [
    *(f"configs/{name}.py:smoke{ON_TOP.get(name, '')}" for name in systems.SYSTEMS),
    "configs/reprojection.py:smoke,two_sources",
]


def _missed(move, whole, batch):
    """The field that a step asks for in vain, if there is one."""
    try:
        jax.eval_shape(move, whole, batch)
    except KeyError as error:
        return error.args[0]


@pytest.mark.parametrize("spec", INPUTS_OF)
def test_inputs_are_all_that_a_step_reads_and_none_is_in_vain(spec):
    settings = load_config(spec)
    system = systems.make(settings)
    assert len(set(system.inputs)) == len(system.inputs)
    batch = system.batch_spec(2, settings.data.image_size)
    assert set(batch) == set(system.inputs) <= set(fields.BATCH)
    trained = program.make(system, settings)
    whole = jax.eval_shape(trained.init, KEY, batch)
    for move in trained.steps.values():
        assert jax.eval_shape(move, whole, batch)[0] == whole
    for name in system.inputs:
        fewer = {key: value for key, value in batch.items() if key != name}
        # In one phase or another everything is read.
        assert name in {_missed(move, whole, fewer) for move in trained.steps.values()}


# --- stages --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "variants",
    ["smoke", pytest.param("smoke,both_2d,offcut,pose_1e2", marks=pytest.mark.slow)],
)
def test_stages_one_after_the_other_make_the_image_of_the_forward_pass(variants):
    """A source is encoded once, from its own fields alone, for as many poses as are wanted."""
    system = systems.make(load_config(f"configs/volumetric.py:{variants}"))
    encode, move, render = (jax.jit(stage, compiler_options=QUICK) for stage in system.stages)
    forward = jax.jit(
        lambda v, b: system.forward(v, b, evaluation_context())[0], compiler_options=QUICK
    )
    batch = fake.batch(2, 32, fields=system.inputs)
    rng = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda leaf: (0.1 * rng.standard_normal(leaf.shape)).astype(np.float32),
        jax.eval_shape(system.init, KEY, batch),
    )
    source = {key: value for key, value in batch.items() if key.startswith("source_")}
    other = fake.batch(2, 32, seed=1, fields=system.inputs)
    # What the target looks like is nobody's business outside of training.
    targets = [
        {k: v for k, v in b.items() if k.startswith("target_") and k != "target_image"}
        for b in (batch, other)
    ]
    features = encode(variables, source)
    images = []
    for target in targets:
        moved = move(variables, features, source | target)
        images.append(np.asarray(render(variables, moved, source | target)["image"]))
        wanted = forward(variables, source | target)
        np.testing.assert_allclose(features["volume"], wanted["volume"], atol=1e-5)
        np.testing.assert_allclose(moved["warped"], wanted["warped"], atol=1e-5)
        np.testing.assert_array_equal(moved["masks"], wanted["masks"])
        np.testing.assert_allclose(images[-1], wanted["image"], atol=1e-5)
        assert wanted["image"].std() > 0.01
    assert np.abs(images[0] - images[1]).max() > 1e-3


def test_features_are_a_volume_of_a_quarter_of_the_images_side():
    settings = load_config("configs/volumetric.py:smoke")
    system, model = systems.make(settings), settings.model
    batch = fake.spec(2, 32, system.inputs)
    variables = jax.eval_shape(system.init, KEY, batch)
    features = jax.eval_shape(system.stages.encode, variables, batch)
    assert {key: (value.shape, value.dtype) for key, value in features.items()} == {
        "volume": ((2, 8, 8, model.depth, model.image_channels), jnp.float32)
    }


@pytest.mark.parametrize("name", systems.SYSTEMS)
def test_stages_have_the_outputs_of_the_forward_pass(name):
    """The stages of every system that has some render what it makes otherwise, by shapes."""
    settings = load_config(f"configs/{name}.py:smoke")
    system, side = systems.make(settings), settings.data.image_size
    if system.stages is None:
        assert name != "volumetric"
        return
    batch = system.batch_spec(2, side)
    variables = jax.eval_shape(system.init, KEY, batch)
    source = {key: value for key, value in batch.items() if key.startswith("source_")}
    features = jax.eval_shape(system.stages.encode, variables, source)
    moved = jax.eval_shape(system.stages.move, variables, features, batch)
    rendered = jax.eval_shape(system.stages.render, variables, moved, batch)
    whole, _ = jax.eval_shape(
        lambda v, b: system.forward(v, b, evaluation_context()), variables, batch
    )
    assert rendered["image"] == whole["image"]
