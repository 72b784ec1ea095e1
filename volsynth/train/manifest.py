"""Manifests of folders: size and SHA-256 of every file, so that damage is found before use.

A manifest is JSON in one canonical form and carries a digest of itself, so that a change of any
byte of it shows, too.
"""

import hashlib
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from volsynth import files

NAME = "manifest.json"
"""Name of the manifest in its folder."""


class DamagedError(Exception):
    """A folder does not hold what its manifest lists; the message names the first difference."""


def write(folder: pathlib.Path, about: Mapping[str, Any]) -> None:
    """Writes the manifest of a complete folder into it, and flushes its files to disk.

    Args:
      folder: the folder whose files are listed, those in subfolders too.
      about: JSON values that the manifest holds beside the list.

    Raises:
      OSError: a file cannot be read, or the manifest not be written.
    """
    # Flushed before the manifest is written: after a loss of power it must not list what is lost.
    listed = {name: [_size(path), _flushed_digest(path)] for name, path in _found(folder)}
    files.write_text(folder / NAME, _serialised({"about": dict(about), "files": listed}))


def read(folder: pathlib.Path) -> dict[str, Any]:
    """The values `about` of an intact manifest; the files of the folder are not looked at.

    Raises:
      DamagedError: there is no manifest, or it was changed.
    """
    return _read(folder)["about"]


def verify(folder: pathlib.Path, parts: tuple[str, ...] | None = None) -> dict[str, Any]:
    """Checks a folder against its manifest, and returns the values `about` of the manifest.

    Args:
      folder: a folder with a manifest.
      parts: subfolders that will be used. Files in others are checked for presence and size,
        without being read. None: all are used.

    Raises:
      DamagedError: there is no intact manifest, or a file is missing, additional, or has other
        contents.
    """
    record = _read(folder)
    listed = record["files"]
    try:
        found = dict(_found(folder))
        for name in sorted(listed.keys() ^ found.keys()):
            raise DamagedError(
                f"{name} is {'missing' if name in listed else 'not in its manifest'}"
            )
        # All sizes before any digest: a file that was cut off is found without reading gigabytes.
        for name, (size, _) in listed.items():
            if _size(found[name]) != size:
                raise DamagedError(f"{name} has {_size(found[name])} bytes instead of {size}")
        for name, (_, digest) in listed.items():
            top, inside, _ = name.partition("/")
            used = parts is None or not inside or top in parts
            if used and files.sha256(found[name]) != digest:
                raise DamagedError(f"the SHA-256 of {name} is another")
    except OSError as error:
        raise DamagedError(f"{error.filename} cannot be read: {error.strerror}") from error
    return record["about"]


def _found(folder):
    """Everything in a folder but folders and the manifest, in order: (name below it, path)."""
    for path in sorted(folder.rglob("*")):
        # A link is no folder of ours, wherever it points to.
        if (path.is_symlink() or not path.is_dir()) and path != folder / NAME:
            yield path.relative_to(folder).as_posix(), path


def _size(path):
    # Of a link itself, as `_found` counts it.
    return path.lstat().st_size


def _flushed_digest(path):
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return files.sha256(path)


def _serialised(record):
    # Sorted, so that the same folder has the same manifest.
    contents = json.dumps(record, indent=1, sort_keys=True)
    digest = hashlib.sha256(contents.encode()).hexdigest()
    return f"{contents}\n{digest}\n"


def _read(folder):
    try:
        text = (folder / NAME).read_bytes()
    except FileNotFoundError as error:
        raise DamagedError(f"{NAME} is missing") from error
    except OSError as error:
        raise DamagedError(f"{NAME} cannot be read: {error.strerror}") from error
    # The last line is the digest of all before it.
    contents, _, digest = text.removesuffix(b"\n").rpartition(b"\n")
    if not text.endswith(b"\n") or hashlib.sha256(contents).hexdigest().encode() != digest:
        raise DamagedError(f"{NAME} was changed or cut off")
    return json.loads(contents)
