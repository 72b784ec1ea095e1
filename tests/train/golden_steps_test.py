"""Two training steps of every config's smoke variant, and the size of every variant's networks.

The values in `tests/train/golden/` were computed once and are kept: whoever moves or rewrites code
finds out here whether training still does the same. Where a change is meant to alter them, write
them anew and say in the commit which ones moved and why:

    python tests/train/golden_steps_test.py
"""

import json
import math
import pathlib

import jax
import numpy as np
import pytest

from volsynth import systems
from volsynth.config import import_config, load_config
from volsynth.data import fake
from volsynth.train import program

FOLDER = pathlib.Path(__file__).parent / "golden"
STEPS = FOLDER / "steps.json"
PARAMETERS = FOLDER / "parameters.json"

SMOKE = (
    "configs/volumetric.py:smoke",
    "configs/volumetric.py:smoke,half",
    "configs/volumetric.py:smoke,wasserstein",
    "configs/volumetric.py:smoke,wasserstein,critic_alone",
    "configs/volumetric.py:smoke,both_2d",
    "configs/volumetric.py:smoke,offcut,pose_1e2",
    "configs/volumetric.py:smoke,perceptual",
    "configs/resnet2d.py:smoke",
    "configs/resnet2d.py:smoke,wasserstein",
    "configs/deformable.py:smoke",
    "configs/deformable.py:smoke,nearest",
    "configs/pose_estimator.py:smoke",
)
"""Smoke variants that between them reach every term of every loss."""

DAILY = (
    "configs/volumetric.py:smoke",
    "configs/deformable.py:smoke",
    "configs/pose_estimator.py:smoke",
)
"""The variants that every run of the tests steps; the others are slow."""


def _all_variants():
    """Every variant of every config by itself, as `PATH:VARIANT`."""
    for path in sorted(pathlib.Path("configs").glob("[!_]*.py")):
        yield from (f"{path}:{name}" for name in import_config(path).VARIANTS)


def _count(tree):
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def _sizes(spec):
    """The number of parameters of each network."""
    settings = load_config(spec)
    values = settings.to_dict()
    # Many variants have the same networks: theirs are built once.
    loss = {key: bool(values["loss"].get(key)) for key in ("gan", "pose")}
    sections = [values.get(key) for key in ("system", "model", "discriminator", "precision")]
    key = json.dumps([*sections, loss, settings.data.image_size])
    if key not in _SEEN:
        batch = fake.spec(1, settings.data.image_size)
        shapes = jax.eval_shape(systems.make(settings).init, jax.random.key(0), batch)
        _SEEN[key] = {name: _count(tree) for name, tree in shapes.items()}
    return _SEEN[key]


_SEEN: dict[str, dict[str, int]] = {}


def _norms(networks):
    """The Euclidean norm of each network's parameters."""
    return {
        name: math.sqrt(sum(float(np.sum(np.square(leaf))) for leaf in jax.tree.leaves(tree)))
        for name, tree in networks.items()
    }


def _two_steps(spec):
    """The metrics of two steps, and the norms of variables and of averages after them."""
    settings = load_config(spec)
    trained = program.make(systems.make(settings), settings)
    state = jax.jit(trained.init)(jax.random.key(0), fake.batch(2, settings.data.image_size))
    (move,) = (jax.jit(step) for step in trained.steps.values())
    metrics = []
    for seed in range(2):
        state, found = move(state, fake.batch(2, settings.data.image_size, seed=seed))
        metrics.append({name: float(value) for name, value in found.items()})
    variables, averages = jax.device_get((state.variables, state.averages))
    return {"metrics": metrics, "variables": _norms(variables), "averages": _norms(averages)}


@pytest.mark.parametrize(
    "spec",
    [spec if spec in DAILY else pytest.param(spec, marks=pytest.mark.slow) for spec in SMOKE],
)
def test_training_steps_are_what_they_were(spec):
    wanted, found = json.loads(STEPS.read_text())[spec], _two_steps(spec)
    assert [*map(sorted, found["metrics"])] == [*map(sorted, wanted["metrics"])]
    # In float16 an update is a few hundred roundings of 5e-4 each away from another compiler's.
    tolerance = 2e-2 if "half" in spec else 1e-3
    for place, (now, before) in enumerate(zip(found["metrics"], wanted["metrics"])):
        for name, value in before.items():
            assert now[name] == pytest.approx(value, rel=tolerance, abs=1e-5), (place, name)
    for part in ("variables", "averages"):
        assert found[part] == pytest.approx(wanted[part], rel=1e-4), part


@pytest.mark.slow
def test_every_variant_has_as_many_parameters_as_before():
    """The variants are those that there were; the script above adds new ones."""
    wanted = json.loads(PARAMETERS.read_text())
    assert wanted.keys() <= {*_all_variants()}
    assert {spec: _sizes(spec) for spec in wanted} == wanted


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for path, specs, compute in (
        (STEPS, SMOKE, _two_steps),
        (PARAMETERS, _all_variants(), _sizes),
    ):
        path.write_text(json.dumps({spec: compute(spec) for spec in specs}, indent=1) + "\n")
