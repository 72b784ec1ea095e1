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
from volsynth.train import mesh
from volsynth.train.scaling import UNSCALED, LossScaling
from volsynth.train.state import TrainState

Metrics = dict[str, jax.Array]


def make(
    system: System,
    phase: str,
    optimisers: Mapping[str, optax.GradientTransformation],
    average_decay: float,
    scaling: LossScaling = UNSCALED,
) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
    """The pure step function of one phase; jit it, donating the state."""
    players = system.phases[phase]
    moving = tuple(n for p in players.values() if not p.critic for n in p.trains)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        rng = jax.random.fold_in(state.rng, state.step)

        def forward(trained):
            variables = mesh.whole({**state.variables, **trained})
            return system.forward(variables, batch, rng, train=True)

        trained = {name: state.variables[name] for name in moving}
        outputs, pullback, new_state = jax.vjp(forward, trained, has_aux=True)
        metrics = {}
        for name, player in sorted(players.items(), key=lambda item: not item[1].critic):
            terms, gradients = _gradients(
                player, state.variables, outputs, batch, pullback, state.scales[name]
            )
            state, counts = update(state, name, gradients, optimisers[name], average_decay, scaling)
            metrics |= {f"{name}/{key}": value for key, value in {**terms, **counts}.items()}
        variables = {**state.variables, **new_state}
        return state.replace(variables=variables, step=state.step + 1), metrics

    return step


def _gradients(player: Player, variables, outputs, batch, pullback, scale):
    """The terms of a player's loss, and its gradient for each network that it trains.

    Only between the loss and the parameters is the gradient `scale` times as large.
    """
    trained = {name: variables[name] for name in player.trains}

    def total(trained, outputs):
        terms = player.loss(mesh.whole({**variables, **trained}), outputs, batch)
        value = sum(terms.values())
        return scale * value, {**terms, "loss": value}

    if player.critic:
        gradients, terms = jax.grad(total, has_aux=True)(trained, jax.lax.stop_gradient(outputs))
        return terms, _unscaled(gradients, scale)
    (direct, through), terms = jax.grad(total, argnums=(0, 1), has_aux=True, allow_int=True)(
        trained, outputs
    )
    (pulled,) = pullback(through)
    gradients = {n: jax.tree.map(jnp.add, direct[n], pulled[n]) for n in player.trains}
    return terms, _unscaled(gradients, scale)


def _unscaled(gradients, scale):
    return jax.tree.map(lambda gradient: gradient / scale, gradients)


def update(
    state: TrainState,
    name: str,
    gradients: Any,
    optimiser: optax.GradientTransformation,
    average_decay: float,
    scaling: LossScaling = UNSCALED,
) -> tuple[TrainState, Metrics]:
    """Moves one player, unless a gradient is not finite: then only the skip is counted.

    The scale of the loss follows in either case.

    Parameters, the optimiser's state and the running averages move together or not at all.

    Args:
      state: before; only what belongs to this player changes.
      name: of the player.
      gradients: network to gradient.
      optimiser: of the player.
      average_decay: of the running averages. Their memory grows with the run up to that, so that
        the random start does not linger in them.
      scaling: how the scale of the loss moves.
    """
    norm = optax.tree.norm(gradients)
    finite = jnp.isfinite(norm)
    trained = {network: state.variables[network] for network in gradients}
    updates, optimiser_state = optimiser.update(gradients, state.optimisers[name], trained)
    moved = optax.apply_updates(trained, updates)

    def keep_if_skipped(new, old):
        return jax.tree.map(lambda n, o: jnp.where(finite, n, o), new, old)

    decay = jnp.minimum(average_decay, (1 + state.step) / (10 + state.step))
    before = {network: state.averages[network] for network in moved if network in state.averages}
    averages = {
        network: jax.tree.map(lambda a, v: decay * a + (1 - decay) * v, tree, moved[network])
        for network, tree in before.items()
    }
    averages = keep_if_skipped(averages, before)
    moved = keep_if_skipped(moved, trained)
    optimiser_state = keep_if_skipped(optimiser_state, state.optimisers[name])
    total, in_a_row = state.skipped[name]
    missed = 1 - finite.astype(jnp.int32)
    skipped = jnp.stack([total + missed, (in_a_row + 1) * missed])
    state = state.replace(
        variables={**state.variables, **moved},
        averages={**state.averages, **averages},
        optimisers={**state.optimisers, name: optimiser_state},
        scales={**state.scales, name: scaling.next(state.scales[name], finite)},
        skipped={**state.skipped, name: skipped},
    )
    return state, {
        "gradient_norm": norm,
        "loss_scale": state.scales[name],
        "skipped": skipped[0],
        "skipped_in_a_row": skipped[1],
    }
