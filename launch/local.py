"""A group of processes on this machine, started again after a fault."""

import dataclasses
import shlex
import socket
import time
from collections.abc import Callable, Mapping, Sequence

from launch import command, process_group


@dataclasses.dataclass(frozen=True)
class Policy:
    """When to start again.

    Attributes:
      max_restarts: in a row, without a stretch of health between them.
      backoff: seconds before the first restart; each further wait is twice as long.
      max_backoff: seconds; no wait is longer.
      healthy_after: seconds a group has to run for its earlier restarts to be forgotten.
      grace: seconds that the others have to end by themselves when a process has died.
    """

    max_restarts: int = 10
    backoff: float = 1.0
    max_backoff: float = 60.0
    healthy_after: float = 600.0
    grace: float = 30.0

    def wait(self, restart: int) -> float:
        """Seconds before the restart of that number, from 1."""
        return min(self.backoff * 2.0 ** min(restart - 1, 60), self.max_backoff)


def environment(index: int, processes: int, port: int) -> dict[str, str]:
    """What tells a process which one of how many it is, and where they meet."""
    return {
        "VOLSYNTH_COORDINATOR": f"127.0.0.1:{port}",
        "VOLSYNTH_PROCESSES": str(processes),
        "VOLSYNTH_PROCESS": str(index),
    }


def render(argv: Sequence[str], shares: Sequence[Mapping[str, str]]) -> str:
    """The commands of the group, as one would type them into so many shells."""
    lines = []
    for i, share in enumerate(shares):
        settings = {**environment(i, len(shares), 0), **share}
        settings["VOLSYNTH_COORDINATOR"] = "127.0.0.1:FREE_PORT"
        words = [f"{key}={shlex.quote(value)}" for key, value in settings.items()]
        lines.append(" ".join([*words, shlex.join(argv)]))
    return "\n".join(lines) + "\n"


def run(
    argv: Sequence[str],
    shares: Sequence[Mapping[str, str]],
    base: Mapping[str, str],
    policy: Policy,
    say: Callable[[str], None],
) -> int:
    """Runs the group until it has finished, was stopped, or is beyond help.

    Args:
      argv: the command of every process.
      shares: what each process has in its environment of its own.
      base: the environment that they have in common.
      policy: when to start again.
      say: is given lines about what happens.

    Returns:
      0 finished; 2 a mistake, never tried again; 3 stopped; otherwise the status of the process
      that died first, when there were too many restarts.

    Raises:
      UserError: the command cannot be started.
    """
    restarts = 0
    with process_group.Signals() as signals:
        while True:
            port = _free_port()
            environments = [
                {**base, **share, **environment(i, len(shares), port)}
                for i, share in enumerate(shares)
            ]
            started = time.monotonic()
            statuses = process_group.run(argv, environments, signals, policy.grace, say)
            if (status := _settled(statuses, signals.seen)) is not None:
                return status
            fault = next(s for s in statuses if s not in (command.FINISHED, command.STOPPED))
            if time.monotonic() - started >= policy.healthy_after:
                restarts = 0
            if restarts >= policy.max_restarts:
                say(f"{process_group.reason(fault)}; giving up after {restarts} restart(s)")
                return fault
            restarts += 1
            wait = policy.wait(restarts)
            say(
                f"{process_group.reason(fault)}; starting again in {wait:g} s "
                f"(restart {restarts} of {policy.max_restarts})"
            )
            signals.pause(wait)
            if signals.seen:
                return command.STOPPED


def _settled(statuses, seen):
    """The status of the whole group, or None where it should be started again."""
    if command.MISTAKE in statuses:
        return command.MISTAKE
    kinds = set(statuses)
    if seen:
        # Who is stopped before it can listen dies of the signal; it had nothing to save yet.
        kinds = {command.STOPPED if s in {128 + n for n in seen} else s for s in kinds}
    if kinds <= {command.FINISHED}:
        return command.FINISHED
    if kinds <= {command.FINISHED, command.STOPPED}:
        return command.STOPPED
    if seen:
        return next(s for s in statuses if s not in (command.FINISHED, command.STOPPED))
    return None


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
