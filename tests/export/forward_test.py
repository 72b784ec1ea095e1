"""The exported forward pass: states, names of arrays, what is an estimator, and used fields."""

import dataclasses
import json

import exported_runs
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

import volsynth
from volsynth import systems
from volsynth.config import config_from_dict, load_config
from volsynth.data import fake
from volsynth.export import forward, model_folder, write
from volsynth.runs import restoring
from volsynth.system import Player, System
from volsynth.train import manifest, run_record

# --- a system with states ------------------------------------------------------------------------


class Normed(nn.Module):
    """A dense layer for each pixel, normed by running statistics, and a count of steps."""

    @nn.compact
    def __call__(self, image, train: bool):
        x = nn.Dense(3)(image)
        steps = self.variable("batch_stats", "steps", lambda: jnp.zeros((), jnp.int32))
        if train:
            steps.value += 1
        x = nn.BatchNorm(use_running_average=not train)(x)
        return jnp.tanh(x + steps.value.astype(jnp.float32) / 16)


def make_normed(config) -> System:
    del config
    network = Normed()

    def init(rng, batch):
        return {"generator": network.init(rng, batch["source_image"], False)}

    def run(variables, batch, context):
        given = (variables["generator"], batch["source_image"], context.train)
        if not context.train:
            return {"image": network.apply(*given)}, {}
        image, states = network.apply(*given, mutable=["batch_stats"])
        return {"image": image}, {"generator": states}

    def loss(variables, outputs, batch, context):
        del variables, context
        return {"l1": jnp.mean(jnp.abs(outputs["image"] - batch["target_image"]))}, {}

    players = {"generator": Player(("generator",), loss)}
    inputs = ("source_image", "target_image")
    return System("normed", "-", init, run, {"main": players}, inputs=inputs)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run of the system with states."""
    monkeypatch.setitem(systems.SYSTEMS, "normed", make_normed)
    spec = "configs/deformable.py:smoke"
    return exported_runs.write(tmp_path / "run", spec, "system=normed")


STATES = {"generator/batch_stats/BatchNorm_0/mean", "generator/batch_stats/BatchNorm_0/var"}
COUNT = "generator/batch_stats/steps"
PARAMETERS = {
    *("generator/BatchNorm_0/bias", "generator/BatchNorm_0/scale"),
    *("generator/Dense_0/bias", "generator/Dense_0/kernel"),
}


def test_states_are_exported_and_program_and_code_use_them(run, tmp_path):
    out, batch = tmp_path / "model", fake.batch(3, 32)
    write.export(run, out)
    path = out / model_folder.PARAMETERS
    arrays = safetensors.numpy.load_file(path)
    assert set(arrays) == STATES | PARAMETERS | {COUNT}
    config = config_from_dict(run_record.read_run(run)["config"])
    system = systems.make(config)
    _, averages = restoring.restore_averages(system, config, run)
    wanted = np.asarray(restoring.predictor(system)(averages, batch))
    assert wanted.std() > 0.1

    def made():
        images = []
        for program in (True, False):
            model = volsynth.load(out, program)
            assert model.is_program == program
            assert model.inputs == ("source_image",)
            images.append(np.asarray(model.predict(batch)))
        return images

    for image in made():
        exported_runs.assert_same(image, wanted)
    for name in sorted(STATES | {COUNT}):
        changed = np.asarray(arrays[name] + 1, np.float32)
        path.write_bytes(safetensors.numpy.save({**arrays, name: changed}))
        manifest.write(out, {model_folder.FORMAT_KEY: model_folder.FORMAT})
        by_program, by_code = made()
        exported_runs.assert_same(by_program, by_code)
        assert np.abs(by_code - wanted).max() > 0.01, name


def test_the_card_of_states(run, tmp_path):
    write.export(run, tmp_path / "model")
    card = json.loads((tmp_path / "model" / "card.json").read_text())
    assert set(card["parameters"]["networks"]) == {"generator"}
    assert list(card["inputs"]) == ["source_image"]


# --- names ---------------------------------------------------------------------------------------


def _variables(system):
    """Variables of all of a system's networks, each number another one."""
    shapes = jax.eval_shape(system.init, jax.random.key(0), fake.spec(1, 32, system.inputs))
    leaves, tree = jax.tree.flatten(shapes)
    ends = np.cumsum([0, *(leaf.size for leaf in leaves)])
    return shapes, jax.tree.unflatten(
        tree,
        [
            jnp.arange(start, start + leaf.size).reshape(leaf.shape).astype(leaf.dtype)
            for start, leaf in zip(ends, leaves)
        ],
    )


@pytest.mark.parametrize("name", [*systems.SYSTEMS, "normed"])
def test_names_and_back_change_nothing(name):
    system = (
        make_normed(None)
        if name == "normed"
        else systems.make(load_config(f"configs/{name}.py:smoke"))
    )
    shapes, variables = _variables(system)
    named = forward.by_name(variables)
    assert len(named) == len(jax.tree.leaves(variables))
    assert not any("params" in key.split("/") for key in named)
    # As it is written: every array in float32.
    written = {key: np.asarray(value, np.float32) for key, value in named.items()}
    for arrays in (named, written):
        back = forward.from_names(shapes, jax.tree.map(jnp.asarray, arrays))
        assert jax.tree.structure(back) == jax.tree.structure(variables)
        for leaf, wanted in zip(jax.tree.leaves(back), jax.tree.leaves(variables)):
            assert leaf.dtype == wanted.dtype
            np.testing.assert_array_equal(leaf, wanted)


def test_states_are_named_by_their_collection_and_parameters_by_none():
    variables = {
        "a": {"params": {"b": {"kernel": 1}}, "batch_stats": {"b": {"mean": 2}}},
        "c": {"spectral": {"u": 3}},
    }
    assert forward.by_name(variables) == {
        "a/b/kernel": 1,
        "a/batch_stats/b/mean": 2,
        "c/spectral/u": 3,
    }


# --- estimators ----------------------------------------------------------------------------------


def _is_estimator(system):
    return forward.is_estimator(system.task, forward.used_inputs(system, 32))


def test_the_projects_pose_estimator_is_one():
    assert _is_estimator(systems.make(load_config(exported_runs.POSE)))


@pytest.mark.parametrize("looks", [False, True])
def test_what_lifts_the_joints_that_it_is_given_is_none(looks):
    """It would find every pose perfectly, as it is given the truth; with or without a picture."""
    estimator = systems.make(load_config(exported_runs.POSE))

    def lift(variables, batch, context):
        outputs, states = estimator.forward(variables, batch, context)
        if not looks:
            outputs = jax.tree.map(jnp.zeros_like, outputs)
        joints = batch["target_joints"]
        lifted = {"joints_mm": joints * 10, "joints_px": joints[..., :2]}
        return jax.tree.map(jnp.add, outputs, lifted), states

    lifter = dataclasses.replace(estimator, forward=lift)
    assert lifter.task == "pose"
    assert "target_joints" in forward.used_inputs(lifter, 32)
    assert ("target_image" in forward.used_inputs(lifter, 32)) == looks
    assert not _is_estimator(lifter)


def test_what_makes_images_is_none():
    assert not forward.is_estimator("image", ("target_image",))
    assert not forward.is_estimator("image_and_pose", ("target_image",))
    assert not forward.is_estimator("pose", ())


# --- what it takes -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["volumetric", "resnet2d", "deformable"])
def test_images_are_made_of_one_image_and_two_poses(name):
    system = systems.make(load_config(f"configs/{name}.py:smoke"))
    assert forward.used_inputs(system, 32) == (
        "source_image",
        *("source_joints", "source_visible", "target_joints", "target_visible"),
    )


def test_poses_are_found_in_one_image():
    system = systems.make(load_config(exported_runs.POSE))
    assert forward.used_inputs(system, 32) == ("target_image",)


def test_a_field_that_is_not_used_is_not_asked_for():
    def run(variables, batch, context):
        del variables, context
        unused = jnp.sum(batch["target_image"]) + batch["source_joints"]
        return {"image": batch["source_image"] * 2, "unused": unused}, {}

    system = dataclasses.replace(systems.make(load_config(exported_runs.IMAGE)), forward=run)
    assert forward.used_inputs(system, 32) == ("source_image",)
