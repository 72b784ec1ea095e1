"""The training command that is launched, and the meaning of its exit status."""

import itertools
import pathlib
import sys
from collections.abc import Sequence

from volsynth.errors import UserError

FINISHED, MISTAKE, STOPPED = 0, 2, 3
"""The exit statuses of `volsynth train` that are no faults: finished, a mistake of the user, and
stopped with a checkpoint saved. After any other status another try is worth it."""

# Not the script `volsynth`, which is not on the path of every environment.
HERE = (sys.executable, "-m", "volsynth.cli")
"""The call of the program on this machine, whether it is installed or not."""

INSTALLED = ("volsynth",)
"""The call of the program on other machines and in images, where it is installed."""


def train_command(
    program: Sequence[str],
    config: str | None,
    workdir: str | None,
    overrides: Sequence[str],
    given: Sequence[str],
) -> list[str]:
    """The command of every process of a group.

    Args:
      program: what stands before `train`, unless the complete command is given.
      config: the value of --config, or None.
      workdir: the value of --workdir, or None.
      overrides: the overrides, each "--config.SECTION.KEY=VALUE".
      given: the complete command, as it stood after `--`; empty if none did.

    Returns:
      The words of the command; a `volsynth train` always has --distributed.

    Raises:
      UserError: neither form of the command is given, or both, or one of them in part.
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
        # Always, also for one process: the same command then runs on any number.
        "--distributed",
    ]


def status_of(returncode: int) -> int:
    """The exit status as a shell gives it: 128 plus the signal where a signal ended the process."""
    return 128 - returncode if returncode < 0 else returncode


def _trains_alone(command: Sequence[str]) -> bool:
    """Whether a command is a `volsynth train` without --distributed.

    Several such processes would each train alone, in one workdir.
    """
    for before, word in itertools.pairwise(command):
        # By the word before: "train" alone may be a value of some other command.
        if word == "train" and pathlib.PurePath(before).name in ("volsynth", "volsynth.cli"):
            return "--distributed" not in command
    return False
