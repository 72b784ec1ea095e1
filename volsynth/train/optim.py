"""Optimisers from the config: one Adam, or AdamW, per player."""

from typing import Any

import jax
import optax

from volsynth.errors import UserError, did_you_mean
from volsynth.system import System


def make(config: Any, system: System, steps: int) -> dict[str, optax.GradientTransformation]:
    """One optimiser per player.

    Args:
      config: the section `optim`: player to `learning_rate`, `b1`, `b2`, `decay_from`, `l2`. The
        rate is constant up to the share `decay_from` of all steps and then falls to zero by a
        cosine. The loss has `l2` times the sum of squares of all kernels added to it; without it
        kernels grow until half precision overflows (seed 000, section 6.2.3). `weight_decay`, 0
        where a section has none, is AdamW's: each step takes that share, times the rate, off all
        kernels, whatever their gradients.
      system: whose players need optimisers.
      steps: of the whole run.

    Raises:
      UserError: a player has no section, or a value is out of range.
    """
    players = [name for phase in system.phases.values() for name in phase]
    for name in players:
        if name not in config:
            raise UserError(f"config.optim has no section {name!r}; {did_you_mean(name, config)}")
    return {name: _adam(f"config.optim.{name}", config[name], steps) for name in players}


def _adam(name, config, steps):
    if not 0 <= config.decay_from <= 1:
        raise UserError(f"{name}.decay_from must lie in [0, 1], got {config.decay_from}.")
    if config.learning_rate <= 0:
        raise UserError(f"{name}.learning_rate must be positive, got {config.learning_rate}.")
    for key in ("b1", "b2"):
        if not 0 <= config[key] < 1:
            raise UserError(f"{name}.{key} must lie in [0, 1), got {config[key]}.")
    if config.l2 < 0:
        raise UserError(f"{name}.l2 must not be negative, got {config.l2}.")
    decay = config.get("weight_decay", 0.0)
    if decay < 0:
        raise UserError(f"{name}.weight_decay must not be negative, got {decay}.")
    constant = int(config.decay_from * steps)
    schedule = optax.join_schedules(
        [
            optax.constant_schedule(config.learning_rate),
            optax.cosine_decay_schedule(config.learning_rate, max(steps - constant, 1)),
        ],
        [constant],
    )
    moments = {"b1": config.b1, "b2": config.b2}
    if decay:
        adam = optax.adamw(schedule, **moments, weight_decay=decay, mask=_kernels)
    else:
        adam = optax.adam(schedule, **moments)
    if not config.l2:
        return adam
    return optax.chain(optax.add_decayed_weights(2 * config.l2, mask=_kernels), adam)


def _kernels(parameters):
    """Which leaves are kernels of convolutions and dense layers."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: path[-1] == jax.tree_util.DictKey("kernel"), parameters
    )
