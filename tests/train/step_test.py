import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import toy

from volsynth.system import Player
from volsynth.train.state import initialiser


@pytest.fixture
def engine():
    """The toy system with plain gradient descent, rate 0.1: (state, jitted step)."""
    system = toy.system()
    optimisers = {"generator": optax.sgd(0.1, momentum=0.9), "critic": optax.sgd(0.1)}
    state = initialiser(system, toy.rules(optimisers).optimisers)(jax.random.key(0), toy.batch())
    return state, jax.jit(toy.step(system, optimisers))


def test_one_step_by_hand(engine):
    state, step = engine
    new, metrics = step(state, toy.batch())
    # The critic moves first: d/dv = mean(image - target) = 3 - 2.
    np.testing.assert_allclose(new.variables["critic"]["params"]["v"], 0.5 - 0.1 * 1.0)
    # Then the generator against the new critic: (3 - 2) + 0.4 + 2 * 3.
    np.testing.assert_allclose(
        new.variables["generator"]["params"]["w"], 3.0 - 0.1 * 7.4, rtol=1e-6
    )
    np.testing.assert_allclose(metrics["generator/loss"], 0.5 + 0.4 * 3 + 9, rtol=1e-6)
    np.testing.assert_allclose(metrics["generator/gradient_norm"], 7.4, rtol=1e-6)
    # The average's memory grows with the run: (1 + 0) / (10 + 0) at the first step.
    np.testing.assert_allclose(
        new.averages["generator"]["params"]["w"], 0.1 * 3.0 + 0.9 * (3.0 - 0.74), rtol=1e-6
    )
    assert int(new.step) == 1
    assert "critic" not in new.averages


def test_a_critic_does_not_reach_the_forward_pass(engine):
    state, _ = engine
    system = toy.system()
    players = {"critic": system.phases["main"]["critic"]}
    alone = toy.step(
        dataclasses.replace(system, phases={"main": players}), {"critic": optax.sgd(0.1)}
    )
    new, _ = alone(state, toy.batch())
    assert new.variables["generator"]["params"]["w"] == state.variables["generator"]["params"]["w"]
    assert new.variables["critic"]["params"]["v"] != state.variables["critic"]["params"]["v"]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_update_that_is_not_finite_changes_nothing_but_the_count(engine, bad):
    state, step = engine
    state, _ = step(state, toy.batch())
    once, metrics = step(state, toy.batch(bad))
    for part in ("variables", "optimisers"):
        jax.tree.map(np.testing.assert_array_equal, getattr(once, part), getattr(state, part))
    assert metrics["generator/skipped_in_a_row"] == 1
    twice, _ = step(once, toy.batch(bad))
    assert twice.skipped["main/generator"].tolist() == [2, 2]
    well, metrics = step(twice, toy.batch())
    assert well.skipped["main/generator"].tolist() == [2, 0]
    assert well.variables["generator"]["params"]["w"] != state.variables["generator"]["params"]["w"]


def test_a_skipped_update_leaves_the_averages_where_they_were(engine):
    state, step = engine
    state, _ = step(state, toy.batch())
    skipped, _ = step(state, toy.batch(np.nan))
    np.testing.assert_array_equal(
        skipped.averages["generator"]["params"]["w"], state.averages["generator"]["params"]["w"]
    )


def test_the_state_survives_jit_unchanged(engine):
    state, _ = engine
    same = jax.jit(lambda s: s)(state)
    assert jax.tree.structure(same) == jax.tree.structure(state)
    for a, b in zip(jax.tree.leaves(same), jax.tree.leaves(state)):
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_array_equal(a, b)


def test_every_buffer_of_a_new_state_is_its_own(engine):
    state, _ = engine
    buffers = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(state.variables)]
    buffers += [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(state.averages)]
    assert len(set(buffers)) == len(buffers)


def test_the_forward_pass_runs_once_a_step(engine):
    """Players share it: the compiled step does the multiplication w * source once, not twice."""
    calls = []
    system = toy.system()

    def counted(*args, **kwargs):
        calls.append(1)
        return toy.forward(*args, **kwargs)

    system = dataclasses.replace(system, forward=counted)
    optimisers = {"generator": optax.sgd(0.1, momentum=0.9), "critic": optax.sgd(0.1)}
    jax.make_jaxpr(toy.step(system, optimisers))(engine[0], toy.batch())
    assert len(calls) == 1


def test_two_players_of_one_network_see_it_as_it_was():
    """Each adds its own gradient at the start of the step, whichever moves first."""

    def loss(power):
        def terms(variables, outputs, batch, context):
            return {"loss_of": variables["generator"]["params"]["w"] ** power}, {}

        return Player(("generator",), terms)

    system = dataclasses.replace(toy.system(), phases={"main": {"a": loss(2), "b": loss(3)}})
    optimisers = {name: optax.sgd(0.1) for name in ("a", "b")}
    state = initialiser(system, toy.rules(optimisers).optimisers)(jax.random.key(0), toy.batch())
    new, _ = toy.step(system, optimisers)(state, toy.batch())
    # From 3: 2 w and 3 w^2.
    moved = 3.0 - 0.1 * (2 * 3 + 3 * 3**2)
    np.testing.assert_allclose(new.variables["generator"]["params"]["w"], moved, rtol=1e-6)
    # The average follows once: the first step's decay is 1 / 10.
    average = 0.1 * 3.0 + 0.9 * moved
    np.testing.assert_allclose(new.averages["generator"]["params"]["w"], average, atol=1e-6)
