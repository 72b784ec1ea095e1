"""Errors that a user can cause. The command line prints one line and exits with status 2."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """An error in what the user gave; its message says what, what is allowed and what to do."""


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """The end of an error message about an unknown name: the nearest allowed one, and all."""
    allowed = sorted(allowed)
    near = difflib.get_close_matches(name, allowed, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}Allowed: {', '.join(allowed)}."
