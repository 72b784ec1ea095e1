"""Errors that a user can cause. The command line prints one line and exits with status 2."""

import contextlib
import difflib
from collections.abc import Iterable, Iterator


class UserError(ValueError):
    """An error in what the user gave; its message says what, what is allowed and what to do."""


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """The end of an error message about an unknown name: the nearest allowed one, and all."""
    allowed = sorted(allowed)
    near = difflib.get_close_matches(name, allowed, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}Allowed: {', '.join(allowed)}."


@contextlib.contextmanager
def os_errors_explained(
    what: str, path: object, error_type: type[UserError] = UserError
) -> Iterator[None]:
    """Turns an OSError of the `with` block into the line "cannot WHAT PATH: REASON.".

    Args:
      what: the action that failed, such as "write" or "write results to".
      path: the file or folder that the user named; the OSError may be of another one, such as a
        temporary file beside it.
      error_type: the class of the error that is raised instead.

    Raises:
      UserError: the block raised an OSError; `error_type` is its class.
    """
    try:
        yield
    except OSError as error:
        # Errors that libraries raise with a text alone have no strerror.
        raise error_type(f"cannot {what} {path}: {error.strerror or error}.") from error
