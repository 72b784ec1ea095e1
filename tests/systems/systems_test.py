"""Every variant of every config is built at full size, by shapes; and what cannot be built."""

import dataclasses
import json
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiling import QUICK
from ml_collections import ConfigDict

from volsynth import fields, systems
from volsynth.config import import_config, load_config
from volsynth.data import fake
from volsynth.errors import UserError
from volsynth.system import only_params
from volsynth.train import program

ALL = [
    f"{path}:{name}"
    for path in sorted(pathlib.Path("configs").glob("[!_]*.py"))
    for name in import_config(path).VARIANTS
]
KEY = jax.random.key(0)


def _distinct(*on_top):
    """Every variant, but of those that trace to the same program only one."""
    found = {}
    for spec in ALL:
        settings = load_config(",".join((spec, *on_top))).to_dict()
        loss = {key: bool(v) if isinstance(v, float) else v for key, v in settings["loss"].items()}
        sizes = settings["data"]["image_size"], settings["train"]["batch_size"]
        traced = settings["system"], settings["precision"], settings.get("model"), loss, sizes
        found.setdefault(json.dumps([*traced, settings.get("discriminator")]), spec)
    return sorted(found.values())


@pytest.mark.parametrize("spec", ALL)
def test_every_variant_is_a_system(spec):
    settings = load_config(spec)
    system = systems.make(settings)
    assert system.name == settings.system
    assert system.paper
    assert all(isinstance(note, str) for note in system.notes.values())
    program.make(system, settings)


DAILY = {
    "volumetric": {"full", "both_2d", "offcut", "pose_1e0", "wasserstein"},
    "reprojection": {"full", "both_2d", "no_mirror"},
    "resnet2d": {"full", "skips"},
    "deformable": {"full"},
    "pose_estimator": {"full"},
}
"""Variants that are traced at full size in every run of the tests; the others are slow in sum."""


def _quick(specs):
    daily = {f"configs/{system}.py:{name}" for system, names in DAILY.items() for name in names}
    assert daily <= set(specs)
    return [s if s in daily else pytest.param(s, marks=pytest.mark.slow) for s in specs]


@pytest.mark.parametrize("spec", _quick(_distinct()))
def test_every_variant_takes_a_step_at_full_size(spec):
    """Networks, their outputs, every player's terms, and the whole step, all by shapes alone."""
    settings = load_config(spec)
    system = systems.make(settings)
    side, count = settings.data.image_size, settings.train.batch_size
    batch = system.batch_spec(count, side)
    trained = program.make(system, settings)
    whole = jax.eval_shape(trained.init, KEY, batch)
    moving = {network for player in system.players.values() for network in player.trains}
    assert moving <= set(whole.variables)
    params = only_params(whole.variables, tuple(whole.variables))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))
    seen = {}

    def forward(variables, batch, context):
        outputs, states = system.forward(variables, batch, context)
        seen.update(outputs=outputs, states=states)
        return outputs, states

    watched = program.make(dataclasses.replace(system, forward=forward), settings)
    for phase, players in system.phases.items():
        after, metrics = jax.eval_shape(watched.steps[phase], whole, batch)
        assert after == whole
        for player in players:
            terms = {key for key in metrics if key.startswith(f"{player}/")}
            assert f"{player}/loss" in terms
            for key in terms:
                assert metrics[key].shape == (), key
    for key in fields.TASK_OUTPUTS[system.task]:
        wanted, found = fields.OUTPUTS[key], seen["outputs"][key]
        assert found.shape == wanted.shape(count, side, system.frames), key
        assert found.dtype == wanted.dtype, key
    assert set(seen["states"]) <= set(whole.variables)


TOGETHER = [
    "configs/volumetric.py:both_2d,offcut,pose_1e2,l1",
    "configs/volumetric.py:wasserstein,critic_alone,no_dilation",
    "configs/reprojection.py:no_visibility,no_shade,transform_2d,volume",
    "configs/resnet2d.py:perceptual,skips",
    "configs/deformable.py:nearest",
    "configs/pose_estimator.py:full",
]
"""Variants on top of each other, so that most of what they change is run in few programs."""


@pytest.mark.parametrize(
    "spec",
    [*TOGETHER, *(pytest.param(spec, marks=pytest.mark.slow) for spec in _distinct("smoke"))],
)
def test_every_variant_trains_at_smoke_size(spec):
    """Three steps: finite, nothing skipped, and every player moves its networks."""
    path, _, name = spec.partition(":")
    settings = load_config(f"{path}:{name},smoke")
    system = systems.make(settings)
    batch = jax.device_put(fake.batch(settings.train.batch_size, settings.data.image_size))
    trained = program.make(system, settings)
    current = jax.jit(trained.init, compiler_options=QUICK)(KEY, batch)
    before = jax.device_get(current.variables)
    for move in trained.steps.values():
        move = jax.jit(move, donate_argnums=0, compiler_options=QUICK)
        for _ in range(3):
            current, metrics = move(current, batch)
            for key, value in jax.device_get(metrics).items():
                assert np.isfinite(value), key
                assert not key.endswith("/skipped") or value == 0
    for network, tree in jax.device_get(current.variables).items():
        changed = jax.tree.map(lambda a, b: bool(np.any(a != b)), tree, before[network])
        assert any(jax.tree.leaves(changed)), network


# --- what cannot be ------------------------------------------------------------------------------


def test_an_unknown_system_comes_with_the_nearest():
    names = ", ".join(sorted(systems.SYSTEMS))
    with pytest.raises(
        UserError,
        match=re.escape(
            "config.system: unknown system 'volumetrik'; did you mean 'volumetric'? "
            f"Allowed: {names}."
        ),
    ):
        systems.make(ConfigDict({"system": "volumetrik"}))


@pytest.mark.parametrize("path", sorted(pathlib.Path("configs").glob("[!_]*.py")), ids=str)
@pytest.mark.parametrize("section", ["loss", "model"])
def test_a_config_of_another_version_is_told_what_it_lacks(path, section):
    whole = load_config(f"{path}:demo").to_dict()

    def said(**changes):
        changed = {**whole[section], **changes}
        kept = {key: value for key, value in changed.items() if value is not None}
        try:
            systems.make(ConfigDict({**whole, section: kept}))
        except UserError as error:
            return str(error)

    told = {key: said(**{key: None}) for key in whole[section]}
    assert any(told.values())
    for key, line in told.items():
        assert line is None or re.match(rf"config(\.{section})? lacks {key}[,:]", line), line
    assert f"config.{section} has no key 'newer'; Allowed: " in said(newer=1)
