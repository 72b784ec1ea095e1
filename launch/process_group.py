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
from volsynth.errors import os_errors_explained

KILL_AFTER = 5.0
"""Seconds between SIGTERM and SIGKILL for a process that has no reason to go on."""

_POLL = 0.05
"""Seconds between two looks at the processes."""

_DRAIN = 2.0
"""Seconds for which a pipe is read after its process has ended. Not until its end: a child of the
process may hold the pipe open for ever."""


class Signals:
    """Notes SIGTERM and SIGINT instead of obeying them, while its `with` block runs.

    Attributes:
      seen: the signals that have come, in order.
    """

    def __init__(self) -> None:
        self.seen: list[int] = []
        self._old: dict[int, Any] = {}

    def __enter__(self) -> "Signals":
        # The two by which people and schedulers end a command.
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
    group = _Group(signals, grace, say)
    try:
        for environment in environments:
            group.start(argv, environment)
        while not group.has_ended():
            group.pass_signals_on()
            group.note_ends()
            group.enforce_deadline()
            # Polled: one place waits for processes, signals and time at once.
            time.sleep(_POLL)
    finally:
        group.close()
    return list(group.ended.values())


class _Group:
    """The processes of a group, and how long those that are left may go on.

    Attributes:
      ended: the exit status of each process that has ended, by its number, in order.
    """

    def __init__(self, signals: Signals, grace: float, say: Callable[[str], None]) -> None:
        self.ended: dict[int, int] = {}
        self._signals, self._grace, self._say = signals, grace, say
        self._processes: list[subprocess.Popen] = []
        self._readers: list[threading.Thread] = []
        self._passed_on = 0
        self._deadline: float | None = None
        # What comes at the deadline: SIGTERM first, SIGKILL after it.
        self._force = signal.SIGTERM

    def start(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        """Starts one more process, and copies its output from now on."""
        number = len(self._processes)
        process = _start(argv, environment)
        self._processes.append(process)
        # A thread for each pipe: a pipe that nobody reads fills up and blocks its process.
        reader = threading.Thread(target=_copy, args=(number, process.stdout), daemon=True)
        reader.start()
        self._readers.append(reader)

    def has_ended(self) -> bool:
        """Whether all processes have ended."""
        return len(self.ended) == len(self._processes)

    def pass_signals_on(self) -> None:
        """Sends signals that have come since the last call to all processes that are left."""
        for number in self._signals.seen[self._passed_on :]:
            self._passed_on += 1
            self._say(f"{signal.Signals(number).name}: passed on to {self._left()}")
            self._send(number)
            # The second signal comes from somebody who does not want to wait for a checkpoint.
            if self._passed_on > 1:
                self._deadline, self._force = time.monotonic() + KILL_AFTER, signal.SIGKILL

    def note_ends(self) -> None:
        """Notes which processes have ended; after the first fault the time of the others runs."""
        for number, process in enumerate(self._processes):
            if number in self.ended or process.poll() is None:
                continue
            status = command.status_of(process.returncode)
            self.ended[number] = status
            # Only the first fault sets the time: processes that lose their peer often fail one
            # after another.
            if _is_bad(status) and self._deadline is None and not self.has_ended():
                self._say(
                    f"process {number} {reason(status)}; {self._left()} may end within "
                    f"{self._grace:g} s"
                )
                self._deadline = time.monotonic() + self._grace

    def enforce_deadline(self) -> None:
        """Ends the processes that are left when their time is over, at last with SIGKILL."""
        if self._deadline is None or time.monotonic() < self._deadline:
            return
        if not self.has_ended():
            self._say(f"{self._force.name} to {self._left()}")
        self._send(self._force)
        self._deadline, self._force = time.monotonic() + KILL_AFTER, signal.SIGKILL

    def close(self) -> None:
        """Kills whatever is left, and waits for the end of the output."""
        # The whole process group: what the processes have started and left behind ends, too.
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for reader in self._readers:
            reader.join(_DRAIN)

    def _left(self) -> str:
        """The numbers of the processes that have not ended, in words."""
        left = [str(i) for i in range(len(self._processes)) if i not in self.ended]
        return f"process {', '.join(left)}" if left else "none"

    def _send(self, number: int) -> None:
        for process in self._processes:
            if process.poll() is None:
                # It may end between the look and the signal.
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(number)


def reason(status: int) -> str:
    """The end of a process in words, by its exit status."""
    if status > 128:
        with contextlib.suppress(ValueError):
            return f"died of {signal.Signals(status - 128).name}"
    return f"ended with status {status}"


def _is_bad(status: int) -> bool:
    """Whether a process ended by a fault or a mistake."""
    return status not in (command.FINISHED, command.STOPPED)


def _start(argv: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen:
    with os_errors_explained("start", argv[0]):
        # A session of its own: a terminal's Ctrl-C comes to us alone, and once to everyone from us.
        return subprocess.Popen(
            argv,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _copy(index: int, pipe: IO[bytes]) -> None:
    """Copies the output of a process line by line, each with the number of the process."""
    for line in pipe:
        # One write for a line: lines of several processes do not mix.
        sys.stdout.buffer.write(b"[%d] %s\n" % (index, line.rstrip(b"\r\n")))
        sys.stdout.buffer.flush()
