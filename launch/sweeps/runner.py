"""Running a sweep: its runs one after another or several at a time, except what is finished."""

import contextlib
import os
import pathlib
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from launch import command, process_group
from launch.sweeps import spec, state
from volsynth.errors import UserError

_POLL = 0.1
"""Seconds between two looks at the runs under way."""


def status(runs: Sequence[spec.Run], root: pathlib.Path) -> list[dict[str, Any]]:
    """The state of each run: {"name", "workdir", "state", "step", "steps", "reason", "scored"}.

    Args:
      runs: the runs of the sweep.
      root: the folder of their workdirs.
    """
    rows = []
    for run in runs:
        workdir = root / run.name
        found = state.read(workdir, run.steps)
        scored = state.scored_step(workdir)
        rows.append({"name": run.name, "workdir": str(workdir), **found, "scored": scored})
    return rows


def render(rows: Sequence[Mapping[str, Any]]) -> str:
    """Renders the states of runs as a table to read."""
    width = max(len(row["name"]) for row in rows)
    lines = []
    for row in rows:
        words = row["state"]
        if row["state"] in ("running", "stopped", "failed"):
            words += f" at step {row['step']} of {row['steps']}"
        if row["state"] == "finished":
            words += f", {row['steps']} steps" + (", scored" if row["scored"] else "")
        lines.append(
            f"{row['name']:{width}}  {words}" + (f": {row['reason']}" if row["reason"] else "")
        )
    return "\n".join(lines) + "\n"


def train_command(run: spec.Run, workdir: pathlib.Path, train: Sequence[str]) -> list[str]:
    """The training command of a run.

    Args:
      run: the run.
      workdir: its workdir.
      train: the beginning of the command, before the options.
    """
    return [*train, "--config", run.config, "--workdir", str(workdir), *run.overrides]


def plan(
    runs: Sequence[spec.Run],
    root: pathlib.Path,
    train: Sequence[str],
    score: Sequence[str] | None,
) -> str:
    """Renders what would be run, one command a line; the arguments are those of `run_all`."""
    lines = []
    for run in runs:
        for doing, argv in _todo(run, root / run.name, train, score):
            lines.append(shlex.join(argv) + (f"  # {doing}" if doing != "train" else ""))
        # Every command holds the workdir, and with it the name of the run.
        if not lines or run.name not in lines[-1]:
            lines.append(f"# {run.name} is finished")
    return "\n".join(lines) + "\n"


def run_all(
    runs: Sequence[spec.Run],
    root: pathlib.Path,
    train: Sequence[str],
    score: Sequence[str] | None,
    slots: Sequence[Mapping[str, str]],
    base: Mapping[str, str],
    say: Callable[[str], None],
) -> int:
    """Runs what is not finished; a run that fails does not keep others from running.

    Args:
      runs: the runs of the sweep.
      root: the folder of their workdirs.
      train: the beginning of the training command.
      score: options of `volsynth evaluate` for each finished run: none, or --estimator and its
        workdir; None to score nothing.
      slots: the variables of each run that goes on at a time; as many runs as there are go on.
      base: the environment that all runs have in common.
      say: a function that is given lines about what happens.

    Returns:
      0 all finished; 1 some failed; 3 stopped.

    Raises:
      UserError: a workdir cannot be written, or the command cannot be started.
    """
    waiting, active, failed, stopped = list(runs), {}, [], []
    free = list(range(len(slots)))
    with process_group.Signals() as signals, contextlib.ExitStack() as stack:
        # However this function ends, no run goes on without it.
        stack.callback(lambda: [attempt.kill() for attempt in active.values()])
        passed_on = 0
        while active or (waiting and not signals.seen):
            while waiting and free and not signals.seen:
                run, slot = waiting.pop(0), free.pop(0)
                environment = {**base, **slots[slot]}
                active[slot] = _Attempt(run, root / run.name, train, score, environment, say)
            for number in signals.seen[passed_on:]:
                passed_on += 1
                for attempt in active.values():
                    attempt.signal(number)
            # A copy, because attempts that have ended are removed while the loop runs.
            for slot, attempt in list(active.items()):
                outcome = attempt.poll(bool(signals.seen))
                if outcome is not None:
                    del active[slot]
                    free.append(slot)
                    {"failed": failed, "stopped": stopped}.get(outcome, []).append(attempt.name)
            time.sleep(_POLL)
        if failed:
            say(f"failed: {', '.join(failed)}; the same command tries again")
        if signals.seen or stopped:
            say("stopped; the same command goes on")
            return command.STOPPED if signals.seen or not failed else 1
    return 1 if failed else 0


def _todo(
    run: spec.Run, workdir: pathlib.Path, train: Sequence[str], score: Sequence[str] | None
) -> Iterator[tuple[str, list[str]]]:
    """Everything that a run still needs, as (what is done, command)."""
    saved = state.newest_checkpoint(workdir)
    steps = state.read(workdir, run.steps)["steps"]
    if saved is None or saved < steps:
        yield "train", train_command(run, workdir, train)
    if score is not None and not state.is_scored(workdir, steps, *score[1:]):
        yield "evaluate", [*command.HERE, "evaluate", "--workdir", str(workdir), *score]


class _Attempt:
    """One run under way: its commands one after another, while its workdir is held."""

    def __init__(
        self,
        run: spec.Run,
        workdir: pathlib.Path,
        train: Sequence[str],
        score: Sequence[str] | None,
        environment: Mapping[str, str],
        say: Callable[[str], None],
    ) -> None:
        self.name = run.name
        self._run, self._workdir, self._environment, self._say = run, workdir, environment, say
        self._process = None
        self._stack = contextlib.ExitStack()
        self._outcome = "finished"
        self._todo = list(_todo(run, workdir, train, score))
        if not self._todo:
            say(f"{run.name}: finished already")
            return
        self._lock = self._stack.enter_context(state.hold(workdir))
        if self._lock is None:
            say(f"{run.name}: running already, left alone")
            self._todo, self._outcome = [], "stopped"
            return
        self._start()

    def signal(self, number: int) -> None:
        """Passes a signal on to the command under way."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """Kills the command under way, and lets go of the workdir."""
        if self._process is not None:
            # SIGKILL: it is called only when this command itself fails.
            self._process.kill()
            self._process.wait()
        self._stack.close()

    def poll(self, stopping: bool) -> str | None:
        """The attempt's state: None while it goes on; then "finished", "failed" or "stopped"."""
        if not self._todo:
            return self._end(self._outcome)
        if self._process.poll() is None:
            return None
        status = command.status_of(self._process.returncode)
        # Taken off only after its end: it is the first of the list while it runs.
        doing, _ = self._todo.pop(0)
        reason = self._failure(doing, status)
        # 130 and 143: SIGINT or SIGTERM ended a command before it could handle them.
        if status == command.STOPPED or (stopping and status in (130, 143)):
            self._say(f"{self.name}: stopped")
            return self._end("stopped")
        if reason:
            state.record_failure(self._workdir, doing, status, reason)
            self._say(f"{self.name}: {doing} failed: {reason}")
            return self._end("failed")
        self._say(f"{self.name}: {doing} finished")
        if self._todo and stopping:
            return self._end("stopped")
        if self._todo:
            self._start()
            return None
        return self._end("finished")

    def _start(self) -> None:
        """Starts the next command; its output is added to the log."""
        doing, argv = self._todo[0]
        log = self._workdir / state.LOG
        self._say(f"{self.name}: {doing}, output in {log}")
        with log.open("ab") as output:
            # The reason for a failure is looked for behind this place: earlier attempts wrote to
            # the same log.
            self._begins = output.tell()
            try:
                # It inherits the lock: the workdir is held until it ends, even without us.
                self._process = subprocess.Popen(
                    argv,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=[self._lock],
                    # A session of its own: Ctrl-C comes to us alone, and we pass it on once.
                    start_new_session=True,
                )
            except OSError as error:
                self._stack.close()
                raise UserError(f"cannot start {argv[0]}: {error.strerror}.") from error

    def _failure(self, doing: str, status: int) -> str | None:
        """The reason for which a command has not done its work; None if it has."""
        if status != command.FINISHED:
            return self._last_line() or process_group.reason(status)
        # A command given after -- may end well without training anything.
        steps = state.read(self._workdir, self._run.steps)["steps"]
        saved = state.newest_checkpoint(self._workdir)
        if doing == "train" and (saved is None or saved < steps):
            return f"ended well, but its newest checkpoint is {saved}, not {steps}"
        return None

    def _last_line(self) -> str | None:
        """The last line of the output of the command, which is where programs say why they end."""
        with (self._workdir / state.LOG).open("rb") as log:
            log.seek(max(self._begins, os.fstat(log.fileno()).st_size - 4096))
            lines = log.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), None)

    def _end(self, outcome: str) -> str:
        self._stack.close()
        return outcome
