"""Building the data set with a progress bar, and saying how fast it went. Loads TensorFlow late."""

import os
import time
from typing import Any, NamedTuple

from rich.console import Console

from data_prep.building import pools, progress
from data_prep.posed_people import plan


class BuildReport(NamedTuple):
    """The report of a build: how much was rendered, and what that cost.

    Attributes:
      folder: the folder of the data set.
      images: how many images were rendered now; 0 if the data set was complete already.
      seconds: seconds from start to end.
      core_seconds: processor time spent on rendering, labels and PNG, over all cores.
    """

    folder: str
    images: int
    seconds: float
    core_seconds: float

    def rates(self) -> str:
        """The number of images rendered a second, in words."""
        return (
            f"{self.images / max(self.seconds, 1e-9):.1f} images/s, "
            f"{self.images / max(self.core_seconds, 1e-9):.1f} images/s per core of rendering"
        )


def build(
    data_dir: str | os.PathLike,
    config: str = "64",
    *,
    processes: int | None = None,
    console: Console | None = None,
) -> BuildReport:
    """Builds `posed_people` unless it is complete.

    Args:
      data_dir: the root of the data sets; this one goes to `posed_people/CONFIG/VERSION` in it.
      config: "64", "128", "256" or "tiny".
      processes: how many processes render; None for all cores. The number changes no byte.
      console: where to print; None for standard error.

    Returns:
      What was rendered, and what it cost.

    Raises:
      data_prep.errors.BuildError: unknown config, or data_dir cannot be written.
    """
    # Late: TFDS and TensorFlow take seconds to load, and whoever only looks at this module waits.
    from data_prep.building import record_builder
    from data_prep.posed_people.posed_people_dataset_builder import Builder

    console = console or Console(stderr=True)
    builder: Any = Builder(config=config, data_dir=os.fspath(data_dir))
    builder.processes = processes
    if record_builder.is_complete(builder):
        console.print(f"posed_people/{config} is complete in {builder.data_dir}", soft_wrap=True)
        return BuildReport(os.fspath(builder.data_dir), 0, 0.0, 0.0)
    size = plan.SIZES[config]
    total = sum(size.persons.values()) * len(plan.OUTFITS) * size.images
    done, cost, start = 0, 0.0, time.perf_counter()
    with progress.bar(f"posed_people/{config}", total, console) as update:

        def count(images: int, seconds: float) -> None:
            nonlocal done, cost
            done, cost = done + images, cost + seconds
            update(completed=done, text=f"{done / (time.perf_counter() - start):.0f} images/s")

        builder.on_records = count
        builder.download_and_prepare()
    report = BuildReport(os.fspath(builder.data_dir), done, time.perf_counter() - start, cost)
    cores = processes or pools.default_processes()
    console.print(
        f"{done} images in {report.folder}: {report.rates()} ({cores} in use)", soft_wrap=True
    )
    return report
