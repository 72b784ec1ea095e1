"""Verification of the files of a prepared data set against the SHA-256 in its manifest.

A file that was verified is remembered with its size and times, so that the next start is quick. A
bit that rots on the disk changes no time: reading finds it, by ArrayRecord's own checksums.
"""

import concurrent.futures
import json
import os
import pathlib
import time
from collections.abc import Callable, Iterable

from volsynth import files
from volsynth.data.prepared import DataError, Prepared
from volsynth.errors import os_errors_explained

THREADS = 4
"""The number of files that are read at a time."""

SETTLED = 2.0
"""The time in seconds that must lie between the last change of a file and its reading.

A file that changed later is not remembered, since its times could hide one more change.
"""

_EVERY = 5.0  # Seconds between two lines of progress.


def default_stamps() -> pathlib.Path:
    """The path of this user's file of verified files."""
    return pathlib.Path.home() / ".cache" / "volsynth" / "verified.json"


def verify(
    data: Prepared, names: Iterable[str], say: Callable[[str], None] = lambda line: None
) -> None:
    """Compares the shards and indices of some splits with the SHA-256 in the manifest.

    Args:
      data: data set to verify.
      names: names of the splits.
      say: function that is told of the progress every few seconds.

    Raises:
      DataError: there is no such split, or a file is missing, cannot be read, or is another one.
    """
    wanted = {}
    for name in names:
        data.split(name)
        entry = data.manifest["splits"][name]
        for file in (*entry["shards"], entry["index"]):
            if "sha256" not in file:
                raise DataError(
                    f"{data.folder / 'manifest.json'} has no SHA-256 of {file['file']}. Delete the "
                    "folder and build it again, or give --config.data.verify=False."
                )
            wanted[data.folder / file["file"]] = file["sha256"]
    path = default_stamps()
    known = _read_stamps(path)
    todo = [p for p, sha256 in wanted.items() if known.get(_key(p)) != [*_times(p), sha256]]
    if todo:
        _remember(path, _look_at(todo, wanted, say))


def _look_at(todo, wanted, say):
    """Reads the files and compares them; returns the stamps of those that may be remembered."""
    total, done, last = sum(p.stat().st_size for p in todo), 0, time.monotonic()
    stamps = {}
    pool = concurrent.futures.ThreadPoolExecutor(THREADS)
    try:
        for path, (found, before, started) in zip(todo, pool.map(_digest, todo)):
            if found != wanted[path]:
                raise DataError(
                    f"{path} is not the file that the manifest lists (its SHA-256 is "
                    f"{found[:12]}..., not {wanted[path][:12]}...): it is truncated, damaged or "
                    "another one. Delete the folder and build it again."
                )
            # Neither changed while it was read nor so shortly before that its times may hide it.
            if before == _times(path) and max(before[1:]) < (started - SETTLED) * 1e9:
                stamps[_key(path)] = [*before, found]
            done += before[0]
            if time.monotonic() - last > _EVERY:
                last = time.monotonic()
                say(f"verifying data: {done / 1e9:.1f} of {total / 1e9:.1f} GB")
    finally:
        pool.shutdown(cancel_futures=True)
    return stamps


def _digest(path):
    """The SHA-256 of a file, its times before it was read, and when reading began."""
    with os_errors_explained("read", path, DataError, path_first=True):
        before, started = _times(path), time.time()
        return files.sha256(path), before, started


def _key(path):
    return str(path.resolve())


def _times(path):
    """A file's size, and when its content and its inode last changed, in nanoseconds."""
    # Programs can set the time of the content back, as copying does, but not that of the inode.
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def _read_stamps(path):
    """The stamps that are remembered; none where their file is missing or damaged."""
    try:
        stamps = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return stamps if isinstance(stamps, dict) else {}


def _remember(path, stamps):
    # Other processes may write at the same time. One whose stamps get lost verifies once more.
    kept = {key: value for key, value in _read_stamps(path).items() if os.path.exists(key)}
    try:
        files.write_text(path, json.dumps(kept | stamps))
    except OSError:
        return  # There is no home to write to: every start verifies the files.
