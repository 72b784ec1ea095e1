"""Processes that live and die together, with their output in one place."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from launch import command
from volsynth.errors import UserError

KILL_AFTER = 5.0
"""Seconds between SIGTERM and SIGKILL for a process that has no reason to live."""

_POLL = 0.05
# What is still in a pipe after a process has ended is read for so long; a child of it may hold it.
_DRAIN = 2.0


class Signals:
    """Within it SIGTERM and SIGINT are noted, not obeyed; `seen` holds them in order."""

    def __init__(self):
        self.seen: list[int] = []
        self._old = {}

    def __enter__(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            self._old[number] = signal.signal(number, lambda n, _: self.seen.append(n))
        return self

    def __exit__(self, *_):
        for number, previous in self._old.items():
            signal.signal(number, previous)

    def pause(self, seconds: float) -> None:
        """Sleeps, until a signal was seen at the latest."""
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
    """Runs one process per environment until all have ended, and none outlives a fault for long.

    When a process ends by a fault or a mistake, the others have `grace` seconds to end by
    themselves; then they get SIGTERM, and `KILL_AFTER` seconds later SIGKILL. Signals seen are
    passed on to all; the second one means it, and SIGKILL follows it in the same time.

    Args:
      argv: the command.
      environments: whole environments, one per process.
      signals: entered already.
      grace: seconds.
      say: is given lines about what happens.

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
        # Also what the processes themselves have started and left behind.
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for reader in readers:
            reader.join(_DRAIN)
    return list(ended.values())


def reason(status: int) -> str:
    """How a process ended, in words."""
    if status > 128:
        with contextlib.suppress(ValueError):
            return f"died of {signal.Signals(status - 128).name}"
    return f"ended with status {status}"


def _bad(status):
    return status not in (command.FINISHED, command.STOPPED)


def _count(processes, ended):
    left = [str(i) for i in range(len(processes)) if i not in ended]
    return f"process {', '.join(left)}" if left else "none"


def _start(argv, environment):
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


def _signal(processes, number):
    for process in processes:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)


def _copy(index, pipe):
    for line in pipe:
        # One write for a line: lines of several processes do not mix.
        sys.stdout.buffer.write(b"[%d] %s\n" % (index, line.rstrip(b"\r\n")))
        sys.stdout.buffer.flush()
