"""The state of training: everything a run needs to go on exactly where it was."""

from collections.abc import Callable, Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from volsynth.system import Batch, System
from volsynth.train.scaling import UNSCALED, LossScaling


@flax.struct.dataclass
class TrainState:
    """A pytree; every leaf is an array.

    Attributes:
      step: int32, updates done.
      rng: the key from which each step derives its own.
      variables: network to its variables.
      averages: network to the running average of its variables; only networks that the forward
        pass trains, not critics.
      optimisers: player to the state of its optimiser.
      scales: player to the scale of its loss.
      skipped: player to int32 [2]: updates skipped in all, and in a row up to now.
    """

    step: jax.Array
    rng: jax.Array
    variables: Mapping[str, Any]
    averages: Mapping[str, Any]
    optimisers: Mapping[str, Any]
    scales: Mapping[str, jax.Array]
    skipped: Mapping[str, jax.Array]


def averaged_networks(system: System) -> tuple[str, ...]:
    """The networks that have running averages: all that a player without `critic` trains."""
    players = [p for phase in system.phases.values() for p in phase.values() if not p.critic]
    return tuple(dict.fromkeys(name for player in players for name in player.trains))


def initialiser(
    system: System,
    optimisers: Mapping[str, optax.GradientTransformation],
    scaling: LossScaling = UNSCALED,
) -> Callable[[jax.Array, Batch], TrainState]:
    """A pure function (rng, batch) -> TrainState; jit it with the shardings wanted."""

    def init(rng, batch):
        init_rng, step_rng = jax.random.split(rng)
        variables = dict(system.init(init_rng, batch))
        players = {name: p for phase in system.phases.values() for name, p in phase.items()}
        trained = {name: {n: variables[n] for n in p.trains} for name, p in players.items()}
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            rng=step_rng,
            variables=variables,
            # Copies: donated buffers must not appear twice in the state.
            averages={n: jax.tree.map(jnp.copy, variables[n]) for n in averaged_networks(system)},
            optimisers={name: optimisers[name].init(trained[name]) for name in players},
            scales={name: scaling.start() for name in players},
            skipped={name: jnp.zeros((2,), jnp.int32) for name in players},
        )

    return init
