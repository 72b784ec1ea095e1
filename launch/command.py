"""The training command that is launched, and what its exit status means."""

import itertools
import pathlib
import sys
from collections.abc import Sequence

from volsynth.errors import UserError

FINISHED, MISTAKE, STOPPED = 0, 2, 3
"""Exit statuses of `volsynth train`; any other is a fault, after which it is worth another try."""

HERE = (sys.executable, "-m", "volsynth.cli")
"""The program on this machine, installed or not."""

INSTALLED = ("volsynth",)
"""The program on other machines, and in images."""


def train_command(
    program: Sequence[str],
    config: str | None,
    workdir: str | None,
    overrides: Sequence[str],
    given: Sequence[str],
) -> list[str]:
    """The command of every process of a group.

    Args:
      program: what stands before `train`, if the command is not given whole.
      config: of --config, or None.
      workdir: of --workdir, or None.
      overrides: each "--config.SECTION.KEY=VALUE".
      given: the whole command, as it stood after `--`; empty if it did not.

    Returns:
      Its arguments; a `volsynth train` always has --distributed.

    Raises:
      UserError: neither form is there, or both, or a half of one.
    """
    if given:
        if config or workdir or overrides:
            raise UserError("give either --config and --workdir, or a whole command after --.")
        command = list(given)
        return [*command, "--distributed"] if _trains_alone(command) else command
    missing = [name for name, value in (("config", config), ("workdir", workdir)) if not value]
    if missing:
        raise UserError(
            f"--{' and --'.join(missing)} missing; give --config C --workdir W, "
            "or a whole command after --."
        )
    return [
        *(*program, "train", "--config", config, "--workdir", workdir),
        *overrides,
        "--distributed",
    ]


def status_of(returncode: int) -> int:
    """An exit status as a shell gives it: 128 plus the signal for what a signal ended."""
    return 128 - returncode if returncode < 0 else returncode


def _trains_alone(command):
    """Whether it is a `volsynth train` without --distributed: N of them would share a workdir."""
    for before, word in itertools.pairwise(command):
        if word == "train" and pathlib.PurePath(before).name in ("volsynth", "volsynth.cli"):
            return "--distributed" not in command
    return False
