"""Optimisers from the config: one Adam per player."""

from typing import Any

import optax

from volsynth.errors import UserError, did_you_mean
from volsynth.system import System


def make(config: Any, system: System, steps: int) -> dict[str, optax.GradientTransformation]:
    """One optimiser per player.

    Args:
      config: the section `optim`: player to `learning_rate`, `b1`, `b2`, `decay_from`. The rate is
        constant up to the share `decay_from` of all steps and then falls to zero by a cosine.
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
    constant = int(config.decay_from * steps)
    schedule = optax.join_schedules(
        [
            optax.constant_schedule(config.learning_rate),
            optax.cosine_decay_schedule(config.learning_rate, max(steps - constant, 1)),
        ],
        [constant],
    )
    return optax.adam(schedule, b1=config.b1, b2=config.b2)
