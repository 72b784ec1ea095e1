"""Running training in a group of processes on this machine, started again after a fault."""

import dataclasses
import shlex
import socket
import time
from collections.abc import Callable, Mapping, Sequence

from launch import command, process_group


@dataclasses.dataclass(frozen=True)
class Policy:
    """The rules by which a group of processes is started again after a fault.

    Attributes:
      max_restarts: how many restarts there are in a row, without a stretch of health between them.
      backoff: seconds before the first restart; each further wait is twice as long.
      max_backoff: the longest wait before a restart, seconds.
      healthy_after: seconds that a group has to run for its earlier restarts to be forgotten.
      grace: seconds that the others have to end by themselves when a process has died.
    """

    max_restarts: int = 10
    backoff: float = 1.0
    max_backoff: float = 60.0
    healthy_after: float = 600.0
    grace: float = 30.0

    def wait(self, restart: int) -> float:
        """Seconds to wait before a restart, whose number counts from 1."""
        # The exponent is bounded, because a large power of two is no float.
        return min(self.backoff * 2.0 ** min(restart - 1, 60), self.max_backoff)


def environment(index: int, processes: int, port: int) -> dict[str, str]:
    """The variables that tell a process its number, the size of the group, and where it meets."""
    return {
        "VOLSYNTH_COORDINATOR": f"127.0.0.1:{port}",
        "VOLSYNTH_PROCESSES": str(processes),
        "VOLSYNTH_PROCESS": str(index),
    }


def render(argv: Sequence[str], shares: Sequence[Mapping[str, str]]) -> str:
    """The commands of the group, as one would type them into as many shells."""
    lines = []
    for i, share in enumerate(shares):
        settings = {**environment(i, len(shares), 0), **share}
        # The port is chosen when the group starts; one that is free now may not be so then.
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
    """Runs the group until it has finished, was stopped, or has failed too often.

    Args:
      argv: the command of every process.
      shares: the variables that each process has of its own, such as its share of the GPUs.
      base: the environment that they have in common.
      policy: when to start again.
      say: a function that is given lines about what happens.

    Returns:
      0 finished; 2 a mistake, never tried again; 3 stopped; otherwise the status of the process
      that died first, when there were too many restarts.

    Raises:
      UserError: the command cannot be started.
    """
    restarts = 0
    with process_group.Signals() as signals:
        while True:
            # A new port for each start: the old one may still be held by connections that are
            # closing.
            port = _free_port()
            environments = [
                {**base, **share, **environment(i, len(shares), port)}
                for i, share in enumerate(shares)
            ]
            started = time.monotonic()
            statuses = process_group.run(argv, environments, signals, policy.grace, say)
            if (status := _settled(statuses, signals.seen)) is not None:
                return status
            # The first to end is the cause; the others mostly fail because it is gone.
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


def _settled(statuses: Sequence[int], seen: Sequence[int]) -> int | None:
    """The status of the group of processes, or None where it should be started again."""
    if command.MISTAKE in statuses:
        return command.MISTAKE
    kinds = set(statuses)
    if seen:
        # A process that is stopped before it handles signals dies of one; it has nothing to save.
        kinds = {command.STOPPED if s in {128 + n for n in seen} else s for s in kinds}
    if kinds <= {command.FINISHED}:
        return command.FINISHED
    if kinds <= {command.FINISHED, command.STOPPED}:
        return command.STOPPED
    if seen:
        return next(s for s in statuses if s not in (command.FINISHED, command.STOPPED))
    return None


def _free_port() -> int:
    """A port of this machine that nobody listens on; the kernel chooses one for port 0."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
