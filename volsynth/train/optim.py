"""Optimisers from the config, one for each player of each phase."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import optax

from volsynth.config import build_section
from volsynth.errors import UserError, did_you_mean
from volsynth.system import System


class Optimiser(NamedTuple):
    """The optimiser of one player.

    Attributes:
      transform: turns gradients into updates. Its `update` takes the player's loss as `value`.
      updates: how many updates the player has in one step.
      clip_weights: bound of the absolute value of every parameter after an update; 0 for none.
    """

    transform: optax.GradientTransformationExtraArgs
    updates: int = 1
    clip_weights: float = 0.0


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of an optimiser: the section `optim.PLAYER`, or `optim.PHASE.PLAYER` for one phase.

    Attributes:
      kind: name of the optimiser, a key of `KINDS`.
      learning_rate: the rate at the first update, above 0.
      b1: decay of the mean of gradients, in [0, 1); must be 0 with RMSProp, which has no such mean.
      b2: decay of the mean of squared gradients, in [0, 1).
      l2: weight of the sum of squares of all kernels, which is added to the loss. Without it
        kernels grow until half precision overflows (Knoche 2019, section 6.2.3).
      weight_decay: the share, times the rate, by which each update makes all kernels smaller,
        whatever their gradients are; with AdamW alone.
      decay: how the rate falls, a key of `DECAYS`, over the updates of the player's phase.
      decay_from: the share of the phase's updates up to which the rate is constant, in [0, 1]; of
        "linear" and "cosine", the others have no use for it.
      plateau: for `decay="plateau"`: the rate is multiplied by "factor" whenever the mean loss of
        "every" updates has not fallen by "threshold" for "patience" such means in a row.
      clip_gradients: the global norm to which gradients are scaled down; 0 for none.
      clip_weights: bound of the absolute value of every parameter; 0 for none.
      updates: number of updates in each step, all on the same batch; a critic may have several.

    Raises:
      UserError: a value is out of its range; built by `make`, which names the key.
    """

    kind: str
    learning_rate: float
    b1: float
    b2: float
    l2: float
    weight_decay: float
    decay: str
    decay_from: float
    plateau: Mapping[str, Any]
    clip_gradients: float
    clip_weights: float
    updates: int


def make(config: Any, system: System, spans: Mapping[str, range]) -> dict[str, Optimiser]:
    """One optimiser for each player of each phase, by "PHASE/PLAYER".

    Args:
      config: the section `optim`, with a section `Settings` for each player.
      system: the system whose players need optimisers.
      spans: the steps of each phase.

    Raises:
      UserError: a player has no section, or a value is out of range.
    """

    found = {
        (phase, name): _section(config, phase, name)
        for phase, players in system.phases.items()
        for name in players
    }
    made = {}
    for (phase, name), (section, within) in found.items():
        settings = build_section(Settings, section, name, within=within)
        _check(f"{within}.{name}", settings, system.phases[phase][name].critic)
        made[f"{phase}/{name}"] = _optimiser(settings, len(spans[phase]))
    return made


def _section(config, phase, name):
    """The table that has the section of a player of a phase, and what errors call that table."""
    # In one phase a player may have other settings than in all others.
    if phase in config and name in config[phase]:
        return config[phase], f"config.optim.{phase}"
    if name not in config:
        raise UserError(f"config.optim has no section {name!r}; {did_you_mean(name, config)}")
    return config, "config.optim"


def _check(key, settings, is_critic):
    for name, table in (("kind", KINDS), ("decay", DECAYS)):
        value = getattr(settings, name)
        if value not in table:
            raise UserError(f"{key}.{name}: unknown {value!r}; {did_you_mean(value, table)}")
    if settings.learning_rate <= 0:
        raise UserError(f"{key}.learning_rate must be positive, got {settings.learning_rate}.")
    if not 0 <= settings.decay_from <= 1:
        raise UserError(f"{key}.decay_from must lie in [0, 1], got {settings.decay_from}.")
    for name in ("b1", "b2"):
        if not 0 <= (value := getattr(settings, name)) < 1:
            raise UserError(f"{key}.{name} must lie in [0, 1), got {value}.")
    for name in ("l2", "weight_decay", "clip_gradients", "clip_weights"):
        if (value := getattr(settings, name)) < 0:
            raise UserError(f"{key}.{name} must not be negative, got {value}.")
    if settings.weight_decay and settings.kind != "adamw":
        raise UserError(f"{key}.weight_decay is AdamW's; set {key}.kind to adamw, or it to 0.")
    if settings.b1 and settings.kind == "rmsprop":
        raise UserError(f"{key}.b1 must be 0 with rmsprop, which has no mean of gradients.")
    if settings.updates < 1 or (settings.updates > 1 and not is_critic):
        allowed = "at least 1" if is_critic else "1, as the player is no critic"
        raise UserError(f"{key}.updates must be {allowed}, got {settings.updates}.")
    if settings.decay == "plateau":
        _check_plateau(f"{key}.plateau", settings.plateau)


def _check_plateau(key, plateau):
    ranges = (("factor", 0, 1), ("patience", 1, None), ("every", 1, None), ("threshold", 0, None))
    for name, low, high in ranges:
        value = plateau.get(name)
        # 0 < value as well: a factor of 0 would end the training without a word.
        fits = value is not None and value >= low and (high is None or 0 < value < high)
        if not fits:
            wanted = "between 0 and 1" if high else f"at least {low}"
            raise UserError(f"{key}.{name} must be {wanted}, got {value!r}.")


def _optimiser(settings: Settings, steps: int) -> Optimiser:
    # Optax counts updates, not steps: a critic with five updates a step falls over five times as
    # many.
    updates = steps * settings.updates
    constant = int(settings.decay_from * updates)
    falling = DECAYS[settings.decay](settings.learning_rate, max(updates - constant, 1))
    schedule = optax.join_schedules(
        [optax.constant_schedule(settings.learning_rate), falling], [constant]
    )
    chain = []
    # Before all else: Adam divides by the size of gradients, so that clipping what it returns would
    # bound the step and not the influence of one batch.
    if settings.clip_gradients:
        chain.append(optax.clip_by_global_norm(settings.clip_gradients))
    if settings.l2:
        # The derivative of l2 x^2 is 2 l2 x; as part of the gradient it passes through Adam, where
        # AdamW's decay does not.
        chain.append(optax.add_decayed_weights(2 * settings.l2, mask=_kernels))
    chain.append(KINDS[settings.kind](schedule, settings))
    if settings.decay == "plateau":
        # Last, as a factor of the whole update.
        chain.append(
            optax.contrib.reduce_on_plateau(
                factor=settings.plateau["factor"],
                patience=settings.plateau["patience"],
                accumulation_size=settings.plateau["every"],
                # Not a share of the loss: that of a Wasserstein critic may be negative, and to rise
                # by less than the share would pass for falling.
                rtol=0.0,
                atol=settings.plateau["threshold"],
            )
        )
    # A chain of one would have a state of another structure, and checkpoints other names.
    transform = chain[0] if len(chain) == 1 else optax.chain(*chain)
    # Only the plateau reads the loss; with this every transformation accepts it.
    return Optimiser(
        optax.with_extra_args_support(transform), settings.updates, settings.clip_weights
    )


def _adam(schedule, settings):
    return optax.adam(schedule, b1=settings.b1, b2=settings.b2)


def _adamw(schedule, settings):
    return optax.adamw(
        schedule,
        b1=settings.b1,
        b2=settings.b2,
        weight_decay=settings.weight_decay,
        mask=_kernels,
    )


def _rmsprop(schedule, settings):
    # As PyTorch and TensorFlow have it, epsilon outside of the root: inside, as optax has it by
    # default, small gradients are divided by 1e-4 rather than by 1e-8.
    return optax.rmsprop(schedule, decay=settings.b2, eps=1e-8, eps_in_sqrt=False)


KINDS: Mapping[str, Callable[..., optax.GradientTransformation]] = {
    "adam": _adam,
    "adamw": _adamw,
    "rmsprop": _rmsprop,
}
"""Kinds of optimisers by name: functions (schedule, settings) -> gradient transformation."""


DECAYS: Mapping[str, Callable[[float, int], optax.Schedule]] = {
    "constant": lambda rate, updates: optax.constant_schedule(rate),
    "linear": lambda rate, updates: optax.linear_schedule(rate, 0.0, updates),
    "cosine": lambda rate, updates: optax.cosine_decay_schedule(rate, updates),
    # Its factor follows from the losses, not from the number of updates: `_optimiser` adds it.
    "plateau": lambda rate, updates: optax.constant_schedule(rate),
}
"""Decays of the rate from `decay_from` on, by name: functions (rate, updates left) -> schedule."""


def _kernels(parameters):
    """Marks the leaves that are kernels of convolutions and dense layers.

    Biases, and scales of norms, are not pulled to zero: a norm's scale is 1 at the start.
    """
    return jax.tree_util.tree_map_with_path(
        lambda path, _: path[-1] == jax.tree_util.DictKey("kernel"), parameters
    )
