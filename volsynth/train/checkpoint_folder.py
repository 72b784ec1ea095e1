"""The folder `checkpoints` of a run: which steps it holds, which are good, and which may go.

Only names, manifests and verification are here; what the files hold is read elsewhere. Whatever is
called `checkpoints/STEP` was complete once: a step gets that name after its manifest, and loses it
before its files are deleted.
"""

import pathlib
import shutil
from collections.abc import Callable, Mapping
from typing import Any

from volsynth.errors import UserError
from volsynth.train import manifest, run_record
from volsynth.train.manifest import DamagedError

_SAVING, _DELETED = ".saving", ".deleted"


class CheckpointFolder:
    """The checkpoints of one run on disk.

    Attributes:
      path: the folder, absolute; it need not exist yet.
    """

    def __init__(self, workdir: pathlib.Path, best_by: str, run: Mapping[str, Any] | None) -> None:
        """Describes the folder; nothing on disk is changed.

        Args:
          workdir: the folder of the run.
          best_by: name of the metric by which a step is the best; empty for none.
          run: the record of `run.json`, to which checkpoints must belong; None if there is none.
        """
        # Orbax asks for an absolute path.
        self.path = (workdir / "checkpoints").absolute()
        self._best_by, self._run = best_by, run

    @property
    def steps(self) -> list[int]:
        """All steps that have a checkpoint, good or not, in ascending order."""
        if not self.path.is_dir():
            return []
        return sorted(int(p.name) for p in self.path.iterdir() if p.name.isdecimal())

    @property
    def best(self) -> int | None:
        """The step with the lowest metric; of equal ones the newest. None if no step has one."""
        return _best(self._metrics())

    def step_path(self, step: int) -> pathlib.Path:
        """The folder of a complete step."""
        return self.path / str(step)

    def saving_path(self, step: int) -> pathlib.Path:
        """The folder in which a step is written until it is complete."""
        return self.path / f"{step}{_SAVING}"

    def complete(self, step: int, metric: float | None) -> None:
        """Adds the manifest to a step whose files are written, and gives it its own name."""
        about = {"step": step, "run": self._run, "metric": {self._best_by: metric}}
        manifest.write(self.saving_path(step), about)
        self.saving_path(step).rename(self.step_path(step))

    def delete_older(self, step: int, keep: int) -> None:
        """Deletes what is older than a step, but for the newest `keep` steps and the best one."""
        metrics = self._metrics()
        # Only steps whose manifest can be read count: a damaged one must not push out a good one.
        kept = {*sorted(metrics)[-keep:], _best(metrics)}
        for old in self.steps:
            # A step newer than this one is not ours to delete.
            if old not in kept and old < step:
                # First the name: half a checkpoint must not look like one.
                deleted = self.step_path(old).rename(self.path / f"{old}{_DELETED}")
                shutil.rmtree(deleted)

    def delete_unfinished(self, step: int) -> None:
        """Deletes what a failed save of a step has left: the space is wanted."""
        # Orbax writes under a name that begins with ours, too.
        for path in self.path.glob(f"{step}{_SAVING}*"):
            shutil.rmtree(path, ignore_errors=True)

    def verify(self, step: int, parts: tuple[str, ...] | None = None) -> None:
        """Checks that a step is what was saved, by this run.

        Args:
          step: the step.
          parts: the items that will be used, see `manifest.verify`; None for all.

        Raises:
          DamagedError: its files are not what its manifest says.
          UserError: it is of another run.
        """
        about = manifest.verify(self.step_path(step), parts)
        # The manifest says nothing of the name of its own folder, which anyone can change.
        if about["step"] != step:
            raise DamagedError(f"it was saved as {about['step']}")
        if self._run is None or about["run"] is None:
            return
        if differing := run_record.differences(about["run"], self._run):
            raise self.unusable_error(step, f"it is of another run ({'; '.join(differing)}).")

    def newest_good(
        self, parts: tuple[str, ...] | None = None
    ) -> tuple[int | None, dict[int, str]]:
        """The newest good step, and the reason of each newer one that is damaged.

        Args:
          parts: as for `verify`.

        Returns:
          the step, None if there are no checkpoints; {damaged step: reason}, newest first.

        Raises:
          UserError: there are checkpoints, but none is good, or the good one is of another run.
        """
        damaged = {}
        for step in reversed(self.steps):
            try:
                self.verify(step, parts)
            except DamagedError as error:
                damaged[step] = str(error)
                continue
            return step, damaged
        if damaged:
            # They stay where they are: without them the next start would begin from zero.
            raise self.none_good_error(damaged)
        return None, {}

    def choose(self, say: Callable[[str], None]) -> int | None:
        """Chooses the newest good step; sets damaged ones aside and removes unfinished ones.

        Args:
          say: is given a line for each step that is set aside, in `checkpoints/damaged`.

        Returns:
          the step; None if there are no checkpoints.

        Raises:
          UserError: as `newest_good`; then nothing is changed.
        """
        step, damaged = self.newest_good()
        for bad, reason in damaged.items():
            say(
                f"checkpoint {bad} is damaged ({reason}); moved to {self._set_aside(bad)}. "
                f"Going on from checkpoint {step} instead."
            )
        for path in self.path.glob("*"):
            # Whatever begins with a step's number and a dot: unfinished saves, and deletions.
            if path.name.split(".")[0].isdecimal() and not path.name.isdecimal():
                shutil.rmtree(path, ignore_errors=True)
        return step

    def unusable_error(self, step: int, reason: str) -> UserError:
        """The error that a step cannot be restored."""
        return UserError(f"checkpoint {step} in {self.path} cannot be restored: {reason}")

    def none_good_error(self, damaged: Mapping[int, str]) -> UserError:
        """The error that no step can be restored, with the reason of each."""
        reasons = "; ".join(f"{step}: {reason}" for step, reason in damaged.items())
        return UserError(
            f"no checkpoint in {self.path} is good ({reasons}). Put a copy of one there, or "
            "train anew in another --workdir."
        )

    def _set_aside(self, step):
        folder = self.path / "damaged"
        folder.mkdir(exist_ok=True)
        # The same step may be damaged again after it was saved anew.
        names = (str(step), *(f"{step}-{number}" for number in range(2, 1000)))
        target = next(folder / name for name in names if not (folder / name).exists())
        return self.step_path(step).rename(target)

    def _metrics(self):
        """Values of `best_by`, or None, by step, for every step whose manifest can be read."""
        found = {}
        for step in self.steps:
            try:
                found[step] = manifest.read(self.step_path(step))["metric"].get(self._best_by)
            except DamagedError:
                continue
        return found


def _best(metrics):
    with_value = {step: value for step, value in metrics.items() if value is not None}
    return min(with_value, key=lambda step: (with_value[step], -step), default=None)
