"""Progress of long work: lines and bars, on standard error.

Standard output is for results alone.
"""

import contextlib
import functools
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def say(line: object) -> None:
    """Prints a line to standard error."""
    # Flushed, as standard error may be a file or a pipe that somebody watches.
    print(line, file=sys.stderr, flush=True)


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
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task(what, total=total)
        yield functools.partial(progress.advance, bar)


def track(items: Iterable[T], what: str, count: int) -> Iterable[T]:
    """Passes items on; on a terminal a bar shows how many of them were.

    Args:
      items: what is passed on.
      what: what the items are, in a word.
      count: number of the items.
    """
    import rich.console
    import rich.progress

    console = rich.console.Console(stderr=True)
    # In a log a bar would be hundreds of lines.
    hidden = not console.is_terminal
    return rich.progress.track(items, what, count, console=console, disable=hidden)
