"""Loss scales: how they move, what they change of a step, and what they leave alone."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import toy
from ml_collections import ConfigDict

from volsynth.errors import UserError
from volsynth.train import scaling
from volsynth.train.state import initialiser


def _scaling(**changes):
    return scaling.make("float16", ConfigDict({**toy.LOSS_SCALE, **changes}))


def _engine(rule, system):
    """(state, jitted step) with plain gradient descent, rate 0.01."""
    optimisers = {"generator": optax.sgd(0.01, momentum=0.9), "critic": optax.sgd(0.01)}
    init = initialiser(system, toy.rules(optimisers).optimisers, rule)
    made = toy.step(system, optimisers, 0.5, rule)
    return init(jax.random.key(0), toy.batch()), jax.jit(made)


# --- the scale -----------------------------------------------------------------------------------


def test_it_doubles_over_so_many_updates():
    rule, scale = _scaling(doubles_every=2000), jnp.float32(64)
    finite = jnp.array(True)
    after = jax.lax.fori_loop(0, 2000, lambda _, s: rule.next(s, finite), scale)
    np.testing.assert_allclose(after, 128, rtol=1e-4)


def test_an_overflow_divides_it_by_the_square_root_of_two():
    scale = _scaling().next(jnp.float32(64), jnp.array(False))
    assert scale.dtype == jnp.float32
    np.testing.assert_allclose(scale, 64 / np.sqrt(2), rtol=1e-6)


@pytest.mark.parametrize(("finite", "bound"), [(True, 2048.0), (False, 512.0)])
def test_it_stays_within_its_bounds(finite, bound):
    rule, scale = _scaling(minimum=512.0, maximum=2048.0), jnp.float32(1024)
    for _ in range(10):
        scale = rule.next(scale, jnp.array(finite))
    assert scale == bound


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("finite", [True, False])
def test_without_float16_it_is_one(precision, finite):
    rule = scaling.make(precision, ConfigDict(toy.LOSS_SCALE))
    assert rule.start() == 1
    assert rule.next(rule.start(), jnp.array(finite)) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"doubles_every": 0}, ".doubles_every must be at least 1, got 0."),
        ({"minimum": 0.0}, ": 0 < minimum <= initial <= maximum must hold, got 0.0, 1024.0 and"),
        ({"initial": 0.5}, ": 0 < minimum <= initial <= maximum must hold, got 1.0, 0.5 and"),
        ({"maximum": 2.0}, ": 0 < minimum <= initial <= maximum must hold, got 1.0, 1024.0 and 2."),
    ],
)
def test_values_that_cannot_be(changes, message):
    with pytest.raises(UserError, match=re.escape(f"config.train.loss_scale{message}")):
        _scaling(**changes)


# --- a step --------------------------------------------------------------------------------------


def test_a_power_of_two_changes_no_update():
    results = []
    for rule in (scaling.LossScaling(), _scaling()):
        state, move = _engine(rule, toy.system())
        for _ in range(3):
            # The scale grows between the updates; a power of two again, to compare bits.
            state = state.replace(
                scales=jax.tree.map(lambda s: 2 ** jnp.round(jnp.log2(s)), state.scales)
            )
            state, _ = move(state, toy.batch())
        results.append(state)
    for part in ("variables", "averages", "optimisers"):
        jax.tree.map(
            np.testing.assert_array_equal, getattr(results[0], part), getattr(results[1], part)
        )


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_an_overflow_changes_the_scale_and_the_count_and_nothing_else(bad):
    state, move = _engine(_scaling(), toy.system())
    state, _ = move(state, toy.batch())
    after, metrics = move(state, toy.batch(bad))
    for part in ("variables", "averages", "optimisers"):
        jax.tree.map(np.testing.assert_array_equal, getattr(after, part), getattr(state, part))
    for player in ("generator", "critic"):
        scale = after.scales[f"main/{player}"]
        np.testing.assert_allclose(scale, state.scales[f"main/{player}"] / np.sqrt(2), rtol=1e-6)
        assert metrics[f"{player}/loss_scale"] == scale
        assert metrics[f"{player}/skipped"] == 1


def test_every_player_has_its_own_scale():
    state, move = _engine(_scaling(initial=2.0**24), toy.half())
    after, metrics = move(state, toy.batch())
    # Only the generator's gradient goes through the half-precision forward pass.
    assert metrics["generator/skipped"] == 1
    assert metrics["critic/skipped"] == 0
    assert after.scales["main/generator"] < 2.0**24 == after.scales["main/critic"]
    assert after.variables["critic"]["params"]["v"] != state.variables["critic"]["params"]["v"]


def test_a_scale_that_is_too_large_comes_down_and_training_goes_on():
    state, move = _engine(_scaling(initial=2.0**24), toy.half())
    start = state.variables["generator"]["params"]["w"]
    for _ in range(40):
        state, metrics = move(state, toy.batch())
    assert 5 < metrics["generator/skipped"] < 30
    assert np.isfinite(metrics["generator/loss"])
    assert state.variables["generator"]["params"]["w"] < start - 0.5


def test_small_gradients_survive_float16_only_with_a_scale():
    """Targets almost met: the gradient of 1e-8 is none in float16."""
    system = toy.half()
    players = {
        "generator": system.phases["main"]["generator"]._replace(
            loss=lambda variables, outputs, batch, context: (
                {"tiny": 1e-8 * jnp.mean(outputs["image"])},
                {},
            )
        )
    }
    system = system.__class__(**{**system.__dict__, "phases": {"main": players}})
    moved = []
    for rule in (scaling.LossScaling(), _scaling(initial=2.0**20)):
        state, move = _engine(rule, system)
        moved.append(float(move(state, toy.batch())[1]["generator/gradient_norm"]))
    assert moved[0] == 0
    np.testing.assert_allclose(moved[1], 1e-8, rtol=1e-2)
