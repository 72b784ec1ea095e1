"""Errors of data preparation, and how a command reports them."""

import sys
from collections.abc import Callable

from volsynth.errors import UserError


class BuildError(UserError):
    """A data set cannot be prepared."""


class SightingError(BuildError):
    """One image of one person cannot be prepared; the other images can.

    Attributes:
      where: the file and the frame.
      reason: what is wrong with it.
    """

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}")
        self.where, self.reason = where, reason

    # Errors come back from worker processes pickled, and would be rebuilt from one argument.
    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.where, self.reason)


def reported(run: Callable[[], int]) -> int:
    """Runs a command and returns its exit status; an error of the user's is printed as one line.

    Args:
      run: the command; it returns its own exit status.

    Returns:
      What `run` returns, or 2 after an error.
    """
    try:
        return run()
    except UserError as error:
        # One line, whatever the message has: scripts and logs read it so.
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
