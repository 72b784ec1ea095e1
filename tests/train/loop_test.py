"""The loop with a system small enough to compile in no time."""

import jax
import ml_collections
import numpy as np
import pytest
import toy
from PIL import Image

from volsynth.errors import UserError
from volsynth.system import System
from volsynth.train import loop, phases


def two_phases():
    """The critic's phase first, then the generator's."""
    players = toy.system().phases["main"]
    split = {name: {name: players[name]} for name in ("critic", "generator")}
    return System("toy", "-", toy.init, toy.forward, split)


@pytest.fixture
def config():
    adam = {"learning_rate": 0.1, "b1": 0.9, "b2": 0.999, "decay_from": 1.0, "l2": 0.0}
    return ml_collections.ConfigDict(
        {
            "seed": 0,
            "precision": "float32",
            "optim": {"generator": dict(adam), "critic": dict(adam)},
            "mesh": {"data": 1},
            "train": {
                "steps": {"critic": 2, "generator": 3},
                "batch_size": 2,
                "log_every": 1,
                "sample_every": 100,
                "checkpoint_every": 100,
                "keep_checkpoints": 1,
                "best_by": "",
                "average_decay": 0.9,
                "max_skipped": 3,
                "loss_scale": dict(toy.LOSS_SCALE),
            },
        }
    )


def batches(start, stop):
    for _ in range(start, stop):
        yield {key: np.asarray(value) for key, value in toy.batch().items()}


def run(config, workdir):
    workdir.mkdir(exist_ok=True)
    picture = Image.new("RGB", (4, 4))
    return loop.train(two_phases(), config, batches, workdir, lambda averages: picture)


def test_each_phase_moves_its_own_players(config, tmp_path):
    state = run(config, tmp_path / "both")
    assert int(state.step) == 5
    config.train.steps = {"critic": 2, "generator": 0}
    first = run(config, tmp_path / "first")
    assert first.variables["generator"]["w"] == 3.0
    assert first.variables["critic"]["v"] == state.variables["critic"]["v"] != 0.5
    assert state.variables["generator"]["w"] != 3.0


def test_a_run_resumes_in_its_second_phase(config, tmp_path, monkeypatch):
    config.precision = "float16"
    whole = run(config, tmp_path / "whole")
    config.train.checkpoint_every = 3
    real = batches

    def cut(start, stop):
        for step, batch in enumerate(real(start, stop), start):
            if step == 4:
                raise KeyboardInterrupt
            yield batch

    with monkeypatch.context() as patch:
        patch.setitem(globals(), "batches", cut)
        with pytest.raises(KeyboardInterrupt):
            run(config, tmp_path / "cut")
    resumed = run(config, tmp_path / "cut")
    for part in ("variables", "averages", "optimisers", "scales", "skipped"):
        jax.tree.map(np.testing.assert_array_equal, getattr(resumed, part), getattr(whole, part))
    assert all(scale > config.train.loss_scale.initial for scale in whole.scales.values())


def test_steps_of_phases():
    system = two_phases()
    ends = phases.ends(system, {"generator": 3, "critic": 2})
    assert list(ends.items()) == [("critic", 2), ("generator", 5)]
    assert [phases.at(ends, step) for step in range(1, 6)] == ["critic"] * 2 + ["generator"] * 3
    assert phases.ends(toy.system(), 7) == {"main": 7}
    with pytest.raises(UserError, match="several phases; give the steps of each: critic, gen"):
        phases.ends(system, 7)
    with pytest.raises(UserError, match="no phase 'critik'; did you mean 'critic'"):
        phases.ends(system, {"critik": 1, "generator": 1})
    with pytest.raises(UserError, match="lacks the phase 'generator'"):
        phases.ends(system, {"critic": 1})
