"""The steps that belong to each phase of a run."""

from collections.abc import Mapping

from volsynth.errors import UserError, did_you_mean
from volsynth.system import System


def spans(system: System, steps: int | Mapping[str, int]) -> dict[str, range]:
    """The range of steps of each phase, in order; step n is the one before which n were done.

    Args:
      system: the system whose phases they are.
      steps: `config.train.steps`: the number of steps of a system with one phase, or a table with
        the number of steps of each phase.

    Raises:
      UserError: the phases named are not those of the system, a number is negative,
        or all are zero.
    """
    if isinstance(steps, int):
        # How to share the steps among several phases nobody can guess.
        if len(system.phases) > 1:
            raise UserError(
                f"config.train.steps: {system.name} has several phases; "
                f"give the steps of each: {', '.join(system.phases)}."
            )
        steps = dict.fromkeys(system.phases, steps)
    for name in steps:
        if name not in system.phases:
            hint = did_you_mean(name, system.phases)
            raise UserError(f"config.train.steps: {system.name} has no phase {name!r}; {hint}")
    result, start = {}, 0
    for name in system.phases:
        if name not in steps:
            raise UserError(f"config.train.steps lacks the phase {name!r} of {system.name}.")
        # A phase of no steps is left out.
        if not isinstance(steps[name], int) or steps[name] < 0:
            raise UserError(
                f"config.train.steps.{name} must be an integer of at least 0, got {steps[name]!r}."
            )
        result[name] = range(start, start + steps[name])
        start += steps[name]
    if start < 1:
        raise UserError(f"config.train.steps must be at least 1, got {start}.")
    return result


def phase_of(spans: Mapping[str, range], step: int) -> str:
    """The name of the phase to which a step belongs; steps are counted from 0."""
    return next(name for name, span in spans.items() if step in span)


def last_step(spans: Mapping[str, range]) -> int:
    """The number of steps of the whole run, which is that of its last step, counted from 1.

    `config.last_step` says the same of a config whose phases nobody has checked.
    """
    return max(span.stop for span in spans.values())
