"""Which phase of a system a step belongs to."""

from collections.abc import Mapping

from volsynth.errors import UserError, did_you_mean
from volsynth.system import System


def ends(system: System, steps: int | Mapping[str, int]) -> dict[str, int]:
    """Each phase with the number of its last step, in order; the last one is that of the run.

    Args:
      system: whose phases.
      steps: `config.train.steps`: how many, or for several phases how many each.

    Raises:
      UserError: the phases named are not those of the system.
    """
    if isinstance(steps, int):
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
    result, last = {}, 0
    for name in system.phases:
        if name not in steps:
            raise UserError(f"config.train.steps lacks the phase {name!r} of {system.name}.")
        last += steps[name]
        result[name] = last
    return result


def at(ends: Mapping[str, int], step: int) -> str:
    """The phase of a step; steps count from 1."""
    return next(name for name, end in ends.items() if step <= end)
