"""The progress bar of commands that build a data set. Loads TensorFlow late."""

import contextlib
import io
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextlib.contextmanager
def bar(name: str, total: int | None, console: Console) -> Iterator[Callable[..., None]]:
    """Shows a progress bar while the `with` block builds a data set.

    Args:
      name: the name of the data set.
      total: how many steps there are; None where it is not known yet.
      console: where the bar is drawn.

    Yields:
      A function that moves the bar. It takes `completed`, `advance` and `total` as
      `rich.progress.Progress.update` does, and `text`, which stands behind the bar.
    """
    import tensorflow_datasets as tfds

    # TFDS has bars of its own, for shards and splits, which would be drawn into ours.
    tfds.disable_progress_bar()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TextColumn("{task.fields[text]}"), TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(name, total=total, text="")

        def update(**changes: Any) -> None:
            progress.update(task, **changes)

        # TFDS prints paths and sizes to the standard output, which is not for the user here.
        with contextlib.redirect_stdout(io.StringIO()):
            yield update
