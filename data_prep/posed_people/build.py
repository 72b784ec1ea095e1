"""Builds the data set with a progress bar and says how fast it went. Imports TensorFlow late."""

import contextlib
import io
import os
import time
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from data_prep.building import pools
from data_prep.posed_people import plan


class BuildReport(NamedTuple):
    """What a build did.

    Attributes:
      folder: where the data set is.
      images: rendered now; 0 if it was complete already.
      seconds: from start to end.
      core_seconds: processor time spent on rendering, labels and PNG, over all cores.
    """

    folder: str
    images: int
    seconds: float
    core_seconds: float

    def rates(self) -> str:
        """The rates in words."""
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
      data_dir: root of the data sets; this one goes to `posed_people/CONFIG/VERSION` in it.
      config: "64", "128", "256" or "tiny".
      processes: how many render; None for all cores. The result is the same.
      console: where to print; None for standard error.

    Returns:
      The report.

    Raises:
      data_prep.errors.BuildError: unknown config, or data_dir cannot be written.
    """
    # TensorFlow only writes files here; what it says about its arithmetic helps nobody.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    import tensorflow_datasets as tfds

    from data_prep.building import record_builder
    from data_prep.posed_people.posed_people_dataset_builder import Builder

    console = console or Console(stderr=True)
    builder: Any = Builder(config=config, data_dir=os.fspath(data_dir))
    builder.processes = processes
    if record_builder.is_complete(builder):
        console.print(f"posed_people/{config} is complete in {builder.data_dir}", soft_wrap=True)
        return BuildReport(os.fspath(builder.data_dir), 0, 0.0, 0.0)
    tfds.disable_progress_bar()
    size = plan.SIZES[config]
    total = sum(size.persons.values()) * len(plan.OUTFITS) * size.images
    done, cost, start = 0, 0.0, time.perf_counter()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TextColumn("{task.fields[rate]}"), TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(f"posed_people/{config}", total=total, rate="")

        def tell(images: int, seconds: float) -> None:
            nonlocal done, cost
            done, cost = done + images, cost + seconds
            rate = f"{done / (time.perf_counter() - start):.0f} images/s"
            bar.update(task, completed=done, rate=rate)

        builder.on_records = tell
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare()
    report = BuildReport(os.fspath(builder.data_dir), done, time.perf_counter() - start, cost)
    cores = processes or pools.default_processes()
    console.print(
        f"{done} images in {report.folder}: {report.rates()} ({cores} in use)", soft_wrap=True
    )
    return report
