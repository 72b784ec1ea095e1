"""Analysis of a traced function: the arguments on which its results depend."""

from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, Var


def used_arguments(function: Callable[..., Any], *arguments: Any) -> list[bool]:
    """Tells for each leaf of the arguments whether some result of the function depends on it.

    Where a primitive's inner computation cannot be followed (loops, functions with derivatives of
    their own), all that goes into it counts as used.

    Args:
      function: a function that JAX can trace.
      arguments: pytrees of arrays, or of their shapes.

    Returns:
      A value for each leaf of `jax.tree.leaves(arguments)`.
    """
    # Nothing is computed: tracing gives the list of operations.
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
    # From the results back: an operation counts if something that counts already reads it.
    for equation in reversed(jaxpr.eqns):
        wanted = [variable in needed for variable in equation.outvars]
        if not any(wanted):
            continue
        inner = equation.params.get("jaxpr")
        # A function under jit has one argument for each input of the operation, and nothing else.
        # In loops, results of one turn are arguments of the next one.
        follows = equation.primitive.name in ("jit", "pjit") and isinstance(inner, ClosedJaxpr)
        used = _needed(inner.jaxpr, wanted) if follows else None
        for place, variable in enumerate(equation.invars):
            if isinstance(variable, Literal):
                continue
            if used is None or inner.jaxpr.invars[place] in used:
                needed.add(variable)
    return needed
