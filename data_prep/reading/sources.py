"""Files of a folder, or of a zip or tar archive, by their names; nothing is read from outside."""

import atexit
import functools
import os
import pathlib
import stat
import tarfile
import zipfile
import zlib
from typing import NamedTuple

from data_prep.errors import BuildError, SightingError

MOST_BYTES = 1 << 28
"""Of one file of a source, unpacked."""

MOST_FILES = 2_000_000
"""Of one source."""

_DAMAGE = (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError, zlib.error, RuntimeError,
           NotImplementedError, ValueError)  # fmt: skip


class Source(NamedTuple):
    """Files, by their names.

    Attributes:
      path: of the folder or archive.
      names: of all files, with `/` between folders, sorted.
      refused: a line for each entry that is not taken.
    """

    path: pathlib.Path
    names: tuple[str, ...]
    refused: tuple[str, ...] = ()


def open_source(path: str | os.PathLike[str]) -> Source:
    """What a folder, *.zip, *.tar, *.tar.gz or *.tgz has.

    Raises:
      BuildError: there is none, it is damaged, or holds too many files.
    """
    path = pathlib.Path(path)
    try:
        if path.is_dir():
            found = [
                ((pathlib.Path(folder) / file).relative_to(path).as_posix(), None)
                for folder, _, names in os.walk(path)
                for file in names
            ]
        elif zipfile.is_zipfile(path):
            found = [
                (entry.filename, _zip_fault(entry))
                for entry in _zip(path).infolist()
                if not entry.is_dir()
            ]
        elif path.is_file() and tarfile.is_tarfile(path):
            found = [(e.name, _tar_fault(e)) for e in _tar(path).getmembers() if not e.isdir()]
        else:
            raise BuildError(f"{path} is no folder, and no zip or tar archive.")
    except _DAMAGE as error:
        if isinstance(error, BuildError):
            raise
        raise BuildError(f"{path} cannot be read ({_said(error)}).") from error
    if len(found) > MOST_FILES:
        raise BuildError(f"{path} has {len(found)} files, more than {MOST_FILES:,}.")
    faults = [(name, fault or _outside(name)) for name, fault in found]
    return Source(
        path,
        tuple(sorted({name for name, fault in faults if not fault})),
        tuple(f"{path}: {name!r} {fault}" for name, fault in faults if fault),
    )


def read(source: pathlib.Path, name: str) -> bytes:
    """The content of one file of a source.

    Raises:
      SightingError: there is no such file, its name leads out of the source, or it is damaged or
        too large.
    """
    where = f"{source}/{name}"
    if fault := _outside(name):
        raise SightingError(where, fault)
    try:
        if source.is_dir():
            path = source / name
            if not path.resolve().is_relative_to(source.resolve()):
                raise SightingError(where, "is a link that leads out of its folder")
            if path.stat().st_size > MOST_BYTES:
                raise SightingError(where, _too_large(path.stat().st_size))
            return path.read_bytes()
        if zipfile.is_zipfile(source):
            entry = _zip(source).getinfo(name)
            fault, opened = _zip_fault(entry), _zip(source).open
        else:
            entry = _tar(source).getmember(name)
            fault, opened = _tar_fault(entry), _tar(source).extractfile
        if fault:
            raise SightingError(where, fault)
        with opened(entry) as file:
            content = file.read(MOST_BYTES + 1)
    except (KeyError, FileNotFoundError):
        raise SightingError(where, "is missing") from None
    except SightingError:
        raise
    except _DAMAGE as error:
        raise SightingError(where, f"cannot be read ({_said(error)})") from None
    if len(content) > MOST_BYTES:
        raise SightingError(where, _too_large(len(content)))
    return content


def stamp(source: pathlib.Path, name: str) -> str:
    """What changes when the file does: its size and time, or those of the archive."""
    path = source / name if source.is_dir() else source
    try:
        about = path.stat()
    except OSError:
        return "missing"
    return f"{about.st_size}-{about.st_mtime_ns}"


# Opened once in a process: the list of a large archive takes time to read.
@functools.lru_cache(maxsize=4)
def _zip(path):
    return zipfile.ZipFile(path)


_tars: dict[pathlib.Path, tarfile.TarFile] = {}


@atexit.register
def _close_tars():
    while _tars:
        _tars.popitem()[1].close()


def _tar(path):
    if path not in _tars:
        _close_tars()  # One at a time: unlike zip files, they do not close themselves.
        _tars[path] = tarfile.open(path)  # noqa: SIM115
    return _tars[path]


def _outside(name):
    """Why a name is not one of a file inside; empty where it is."""
    parts = pathlib.PurePosixPath(name).parts
    if not parts or "\\" in name or "\0" in name or name.startswith("/") or ":" in parts[0]:
        return "is not the path of a file inside a folder"
    return "leads out of its folder" if ".." in parts else ""


def _zip_fault(entry):
    if stat.S_ISLNK(entry.external_attr >> 16):
        return "is a link, which is not followed"
    if entry.flag_bits & 1:
        return "is encrypted; unpack the archive with its password first"
    return _too_large(entry.file_size) if entry.file_size > MOST_BYTES else ""


def _tar_fault(entry):
    if not entry.isfile():
        return "is a link or a device, which is not followed"
    return _too_large(entry.size) if entry.size > MOST_BYTES else ""


def _too_large(size):
    return f"has {size:,} bytes, more than {MOST_BYTES:,}"


def _said(error):
    return " ".join(str(error).split())[:120] or type(error).__name__
