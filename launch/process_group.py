"""Running processes that start and end together, with their output in one place."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

from launch import command
from volsynth.errors import UserError

KILL_AFTER = 5.0
"""Seconds between SIGTERM and SIGKILL for a process that has no reason to go on."""

_POLL = 0.05
"""Seconds between two looks at the processes."""

_DRAIN = 2.0
"""For how many seconds a pipe is read after its process has ended. Not until its end: a child of
the process may hold the pipe open for ever."""


class Signals:
    """Notes SIGTERM and SIGINT instead of obeying them, while its `with` block runs.

    Attributes:
      seen: the signals that have come, in order.
    """

    def __init__(self) -> None:
        self.seen: list[int] = []
        self._old: dict[int, Any] = {}

    def __enter__(self) -> "Signals":
        for number in (signal.SIGTERM, signal.SIGINT):
            self._old[number] = signal.signal(number, lambda n, _: self.seen.append(n))
        return self

    def __exit__(self, *_: object) -> None:
        for number, previous in self._old.items():
            signal.signal(number, previous)

    def pause(self, seconds: float) -> None:
        """Sleeps for some seconds, or until a signal has been seen."""
        end = time.monotonic() + seconds
        while not self.seen and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _POLL))


def run(
    argv: Sequence[str],
    environments: Sequence[Mapping[str, str]],
    signals: Signals,
    grace: float,
    say: Callable[[str], None],
) -> list[int]:
    """Runs one process per environment until all have ended; none outlives a fault for long.

    When a process ends by a fault or a mistake, the others have `grace` seconds to end by
    themselves; then they get SIGTERM, and `KILL_AFTER` seconds later SIGKILL. Signals seen are
    passed on to all processes; a second signal is urgent, and SIGKILL follows it in the same time.

    Args:
      argv: the command.
      environments: the complete environment of each process.
      signals: the signals that are noted, entered already.
      grace: seconds that the others have to end by themselves.
      say: a function that is given lines about what happens.

    Returns:
      Exit statuses as a shell gives them, in the order in which the processes ended.

    Raises:
      UserError: the command cannot be started.
    """
    processes: list[subprocess.Popen] = []
    readers: list[threading.Thread] = []
    ended: dict[int, int] = {}
    passed_on, deadline, force = 0, None, signal.SIGTERM
    try:
        for i, environment in enumerate(environments):
            processes.append(_start(argv, environment))
            # A thread for each pipe: a pipe that nobody reads fills up and blocks its process.
            reader = threading.Thread(target=_copy, args=(i, processes[i].stdout), daemon=True)
            reader.start()
            readers.append(reader)
        while len(ended) < len(processes):
            for number in signals.seen[passed_on:]:
                passed_on += 1
                say(f"{signal.Signals(number).name}: passed on to {_count(processes, ended)}")
                _signal(processes, number)
                if passed_on > 1:
                    deadline, force = time.monotonic() + KILL_AFTER, signal.SIGKILL
            for i, process in enumerate(processes):
                if i not in ended and process.poll() is not None:
                    ended[i] = command.status_of(process.returncode)
                    left = _count(processes, ended)
                    # Only the first fault sets the time: processes that lose their peer often fail
                    # one after another.
                    if _bad(ended[i]) and deadline is None and left != "none":
                        say(f"process {i} {reason(ended[i])}; {left} may end within {grace:g} s")
                        deadline = time.monotonic() + grace
            if deadline is not None and time.monotonic() >= deadline:
                if len(ended) < len(processes):
                    say(f"{force.name} to {_count(processes, ended)}")
                _signal(processes, force)
                deadline, force = time.monotonic() + KILL_AFTER, signal.SIGKILL
            time.sleep(_POLL)
    finally:
        # The whole process group: what the processes have started and left behind ends, too.
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for reader in readers:
            reader.join(_DRAIN)
    return list(ended.values())


def reason(status: int) -> str:
    """How a process ended, in words, by its exit status."""
    if status > 128:
        with contextlib.suppress(ValueError):
            return f"died of {signal.Signals(status - 128).name}"
    return f"ended with status {status}"


def _bad(status: int) -> bool:
    """Whether a process ended by a fault or a mistake."""
    return status not in (command.FINISHED, command.STOPPED)


def _count(processes: Sequence[subprocess.Popen], ended: Mapping[int, int]) -> str:
    """The numbers of the processes that have not ended, in words."""
    left = [str(i) for i in range(len(processes)) if i not in ended]
    return f"process {', '.join(left)}" if left else "none"


def _start(argv: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen:
    try:
        # A session of its own: a terminal's Ctrl-C comes to us alone, and once to everyone from us.
        return subprocess.Popen(
            argv,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise UserError(f"cannot start {argv[0]}: {error.strerror}.") from error


def _signal(processes: Sequence[subprocess.Popen], number: int) -> None:
    for process in processes:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)


def _copy(index: int, pipe: IO[bytes]) -> None:
    """Copies the output of a process line by line, each with the number of the process."""
    for line in pipe:
        # One write for a line: lines of several processes do not mix.
        sys.stdout.buffer.write(b"[%d] %s\n" % (index, line.rstrip(b"\r\n")))
        sys.stdout.buffer.flush()
