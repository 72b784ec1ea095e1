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


def _with_loss(**changes):
    """The toy system, its generator alone and with another loss."""
    player = toy.system().phases["main"]["generator"]
    phases = {"main": {"generator": player._replace(**changes)}}
    system = dataclasses.replace(toy.system(), phases=phases)
    optimisers = {"generator": optax.sgd(0.1)}
    state = initialiser(system, toy.rules(optimisers).optimisers)(jax.random.key(0), toy.batch())
    return system, optimisers, state


def test_a_loss_of_minus_infinity_is_not_finite_though_its_gradient_is():
    def loss(variables, outputs, batch, context):
        return {"l1": jnp.mean(outputs["image"]), "low": jnp.float32(-jnp.inf)}, {}

    system, optimisers, state = _with_loss(loss=loss)
    new, metrics = toy.step(system, optimisers)(state, toy.batch())
    assert metrics["generator/skipped"] == 1
    jax.tree.map(np.testing.assert_array_equal, new.variables, state.variables)


def test_one_state_from_the_forward_pass_and_from_a_loss_is_refused():
    states = {"generator": {"statistics": jnp.zeros(())}}
    system, optimisers, state = _with_loss(
        loss=lambda variables, outputs, batch, context: ({"l1": outputs["image"].mean()}, states)
    )

    def forward(variables, batch, context):
        return toy.forward(variables, batch, context)[0], states

    both = dataclasses.replace(system, forward=forward)
    with pytest.raises(
        ValueError, match="the forward pass and the loss of 'generator' both return"
    ):
        toy.step(both, optimisers)(state, toy.batch())


def test_a_player_of_a_network_that_is_not_there():
    with pytest.raises(ValueError, match="main/generator trains painter; its init makes critic, g"):
        _with_loss(trains=("painter",))


def test_what_another_player_reads_costs_and_spoils_nothing():
    """Its derivative is infinite; the player that does not look at it moves all the same."""

    def forward(variables, batch, context):
        image = variables["generator"]["params"]["w"] * batch["source_image"]
        return {"image": image, "root": jnp.sqrt(image - image)}, {}

    def image_loss(variables, outputs, batch, context):
        return {"l1": jnp.mean(outputs["image"])}, {}

    def root_loss(variables, outputs, batch, context):
        return {"root": jnp.mean(outputs["root"])}, {}

    players = {
        "a": Player(("generator",), image_loss),
        "b": Player(("generator",), root_loss),
    }
    system = dataclasses.replace(toy.system(), forward=forward, phases={"main": players})
    optimisers = {name: optax.sgd(0.1) for name in players}
    state = initialiser(system, toy.rules(optimisers).optimisers)(jax.random.key(0), toy.batch())
    new, metrics = toy.step(system, optimisers)(state, toy.batch())
    assert (metrics["a/skipped"], metrics["b/skipped"]) == (0, 1)
    np.testing.assert_allclose(new.variables["generator"]["params"]["w"], 3.0 - 0.1, rtol=1e-6)
