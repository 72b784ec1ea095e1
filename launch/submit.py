"""Handing what was rendered to the program that takes it, such as sbatch, kubectl or gcloud."""

import shutil
import subprocess
from collections.abc import Sequence

from volsynth.errors import UserError


def require(name: str) -> None:
    """Raises UserError where a program is not on the path."""
    # Before anything is done: an error of the shell would come after it, and say less.
    if shutil.which(name) is None:
        raise UserError(
            f"{name} was not found. Install it or run this where it is; "
            "--dry-run prints what would be submitted."
        )


def submit(command: Sequence[str], text: str) -> int:
    """Runs a program with a text as its standard input; returns its exit status.

    Args:
      command: the program and its arguments.
      text: what it reads.

    Raises:
      UserError: there is no such program.
    """
    require(command[0])
    return subprocess.run(command, input=text, text=True).returncode
