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
    what: str,
    path: object,
    error_type: type[UserError] = UserError,
    *,
    path_first: bool = False,
) -> Iterator[None]:
    """Turns an OSError of the `with` block into one line of text.

    The line is "cannot WHAT PATH: REASON.", or "PATH cannot be WHAT: REASON." with `path_first`.
    Errors that need a line of their own, such as one for a file that is missing, are caught within
    the block.

    Args:
      what: the action that failed, such as "write" or "write results to"; with `path_first` its
        participle, such as "read" or "written".
      path: the file or folder that the user named; the OSError may be of another one, such as a
        temporary file beside it. It may be a text that says more: "FOLDER: NAME".
      error_type: the class of the error that is raised instead.
      path_first: whether the line begins with the path.

    Raises:
      UserError: the block raised an OSError; `error_type` is its class.
    """
    try:
        yield
    except OSError as error:
        # Errors that libraries raise with a text alone have no strerror.
        reason = error.strerror or error
        failed = f"{path} cannot be {what}" if path_first else f"cannot {what} {path}"
        raise error_type(f"{failed}: {reason}.") from error
