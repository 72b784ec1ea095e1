"""Which arguments of a function its results depend on."""

from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, Var


def used_arguments(function: Callable[..., Any], *arguments: Any) -> list[bool]:
    """Whether some result depends on each leaf of the arguments.

    Where a primitive's inner computation cannot be followed (loops, functions with derivatives of
    their own), all that goes into it counts as used.

    Args:
      function: a function that JAX can trace.
      arguments: pytrees of arrays, or of their shapes.

    Returns:
      a value for each leaf of `jax.tree.leaves(arguments)`.
    """
    traced = jax.make_jaxpr(function)(*arguments).jaxpr
    needed = _needed(traced, [True] * len(traced.outvars))
    return [variable in needed for variable in traced.invars]


def _needed(jaxpr: Jaxpr, outputs: list[bool]) -> set[Var]:
    """The variables that the marked outputs depend on."""
    needed = {
        variable
        for variable, wanted in zip(jaxpr.outvars, outputs)
        if wanted and not isinstance(variable, Literal)
    }
    for equation in reversed(jaxpr.eqns):
        wanted = [variable in needed for variable in equation.outvars]
        if not any(wanted):
            continue
        inner = equation.params.get("jaxpr")
        # Functions under jit have one argument for each input of theirs, and nothing else; of
        # loops that is not so.
        follows = equation.primitive.name in ("jit", "pjit") and isinstance(inner, ClosedJaxpr)
        used = _needed(inner.jaxpr, wanted) if follows else None
        for place, variable in enumerate(equation.invars):
            if isinstance(variable, Literal):
                continue
            if used is None or inner.jaxpr.invars[place] in used:
                needed.add(variable)
    return needed
