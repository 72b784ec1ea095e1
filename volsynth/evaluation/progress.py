"""The progress bar of long work, on standard error."""

import contextlib
import functools
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Shows a bar while its block runs.

    Args:
      what: what is done, in a few words.
      total: number of items.

    Yields:
      A function that is called with the number of items done since its last call.
    """
    # Imported here: most commands need no bar, and rich takes a while to import.
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    # Not on standard output, which has the results and nothing else.
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task(what, total=total)
        yield functools.partial(progress.advance, bar)
