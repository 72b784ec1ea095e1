"""One training step: one forward pass that all players share, and one `update` for each of them.

Critics move first, in the order of the phase, on detached outputs; then everyone else, against the
critics as they are now. The gradient of such a player is that of its loss with respect to the
networks it trains, directly and through the outputs of the forward pass.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from volsynth.system import Batch, Player, System
from volsynth.train.state import TrainState

Metrics = dict[str, jax.Array]


def make(
    system: System,
    phase: str,
    optimisers: Mapping[str, optax.GradientTransformation],
    average_decay: float,
) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
    """The pure step function of one phase; jit it, donating the state."""
    players = system.phases[phase]
    moving = tuple(n for p in players.values() if not p.critic for n in p.trains)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        rng = jax.random.fold_in(state.rng, state.step)

        def forward(trained):
            return system.forward({**state.variables, **trained}, batch, rng, train=True)

        trained = {name: state.variables[name] for name in moving}
        outputs, pullback, new_state = jax.vjp(forward, trained, has_aux=True)
        metrics = {}
        for name, player in sorted(players.items(), key=lambda item: not item[1].critic):
            terms, gradients = _gradients(player, state.variables, outputs, batch, pullback)
            state, update_metrics = update(state, name, gradients, optimisers[name])
            metrics |= {
                f"{name}/{key}": value for key, value in {**terms, **update_metrics}.items()
            }
        variables = {**state.variables, **new_state}
        averages = {
            name: _average(state.averages[name], variables[name], average_decay, state.step)
            if name in moving
            else state.averages[name]
            for name in state.averages
        }
        state = state.replace(variables=variables, averages=averages, step=state.step + 1)
        return state, metrics

    return step


def _gradients(player: Player, variables, outputs, batch, pullback):
    """The terms of a player's loss, and its gradient for each network that it trains."""
    trained = {name: variables[name] for name in player.trains}

    def total(trained, outputs):
        terms = player.loss({**variables, **trained}, outputs, batch)
        value = sum(terms.values())
        return value, {**terms, "loss": value}

    if player.critic:
        gradients, terms = jax.grad(total, has_aux=True)(trained, jax.lax.stop_gradient(outputs))
        return terms, gradients
    (direct, through), terms = jax.grad(total, argnums=(0, 1), has_aux=True, allow_int=True)(
        trained, outputs
    )
    (pulled,) = pullback(through)
    return terms, {n: jax.tree.map(jnp.add, direct[n], pulled[n]) for n in player.trains}


def update(
    state: TrainState, name: str, gradients: Any, optimiser: optax.GradientTransformation
) -> tuple[TrainState, Metrics]:
    """Moves one player, unless a gradient is not finite: then only the skip is counted.

    Args:
      state: before; only `variables`, `optimisers` and `skipped` of this player change.
      name: of the player.
      gradients: network to gradient.
      optimiser: of the player.
    """
    norm = optax.global_norm(gradients)
    finite = jnp.isfinite(norm)
    trained = {network: state.variables[network] for network in gradients}
    updates, optimiser_state = optimiser.update(gradients, state.optimisers[name], trained)
    moved = optax.apply_updates(trained, updates)

    def keep_if_skipped(new, old):
        return jax.tree.map(lambda n, o: jnp.where(finite, n, o), new, old)

    moved = keep_if_skipped(moved, trained)
    optimiser_state = keep_if_skipped(optimiser_state, state.optimisers[name])
    total, in_a_row = state.skipped[name]
    missed = 1 - finite.astype(jnp.int32)
    skipped = jnp.stack([total + missed, (in_a_row + 1) * missed])
    state = state.replace(
        variables={**state.variables, **moved},
        optimisers={**state.optimisers, name: optimiser_state},
        skipped={**state.skipped, name: skipped},
    )
    return state, {"gradient_norm": norm, "skipped": skipped[0], "skipped_in_a_row": skipped[1]}


def _average(average, value, decay, step):
    """Running average, whose memory grows with the run so that the start does not linger in it."""
    decay = jnp.minimum(decay, (1 + step) / (10 + step))
    return jax.tree.map(lambda a, v: decay * a + (1 - decay) * v, average, value)
