"""What can go wrong while data is prepared."""

import sys
from collections.abc import Callable

from volsynth.errors import UserError


class BuildError(UserError):
    """A data set cannot be prepared."""


class SightingError(BuildError):
    """One image of one person cannot be prepared; the others can.

    Attributes:
      where: file and frame.
      reason: what is wrong.
    """

    def __init__(self, where: str, reason: str):
        super().__init__(f"{where}: {reason}")
        self.where, self.reason = where, reason

    def __reduce__(self):
        return type(self), (self.where, self.reason)


def reported(run: Callable[[], int]) -> int:
    """The exit status of a command: what it returns, or 2 after the one line of a user's error."""
    try:
        return run()
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
