"""Files of a folder, or of a zip or tar archive, by their names.

Archives come from anywhere: no name may lead out of its folder, no link is followed, and sizes are
checked before anything is unpacked.
"""

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

MAX_FILE_BYTES = 1 << 28
"""The largest size of one file of a source, unpacked, in bytes."""

MAX_FILES = 2_000_000
"""The largest number of files in one source."""

_DAMAGE = (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError, zlib.error, RuntimeError,
           NotImplementedError, ValueError)  # fmt: skip
"""The exceptions that the readers of zip and tar files raise about damaged ones."""


class Source(NamedTuple):
    """A folder or an archive, with the names of its files.

    Attributes:
      path: the path of the folder or archive.
      names: the names of all files, with `/` between folders, sorted.
      refused: a line for each entry that is not read, with the reason.
    """

    path: pathlib.Path
    names: tuple[str, ...]
    refused: tuple[str, ...] = ()


def open_source(path: str | os.PathLike[str]) -> Source:
    """Lists the files of a folder, *.zip, *.tar, *.tar.gz or *.tgz.

    Raises:
      BuildError: there is no such source, it is damaged, or it holds too many files.
    """
    path = pathlib.Path(path)
    try:
        if path.is_dir():
            found = [
                ((pathlib.Path(folder) / file).relative_to(path).as_posix(), None)
                for folder, _, names in os.walk(path)
                for file in names
            ]
        # By content, not by name: what is called .zip may be anything.
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
    if len(found) > MAX_FILES:
        raise BuildError(f"{path} has {len(found)} files, more than {MAX_FILES:,}.")
    faults = [(name, fault or _outside(name)) for name, fault in found]
    return Source(
        path,
        tuple(sorted({name for name, fault in faults if not fault})),
        tuple(f"{path}: {name!r} {fault}" for name, fault in faults if fault),
    )


def read(source: pathlib.Path, name: str) -> bytes:
    """Reads one file of a source.

    Args:
      source: the path of the folder or archive.
      name: the name of the file in it.

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
            # A folder on the way may be a link, which the name alone does not show.
            if not path.resolve().is_relative_to(source.resolve()):
                raise SightingError(where, "is a link that leads out of its folder")
            if path.stat().st_size > MAX_FILE_BYTES:
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
            # One byte more than allowed, because the header of an archive may give a smaller size
            # than it has.
            content = file.read(MAX_FILE_BYTES + 1)
    except (KeyError, FileNotFoundError):
        raise SightingError(where, "is missing") from None
    except SightingError:
        raise
    except _DAMAGE as error:
        raise SightingError(where, f"cannot be read ({_said(error)})") from None
    if len(content) > MAX_FILE_BYTES:
        raise SightingError(where, _too_large(len(content)))
    return content


def stamp(source: pathlib.Path, name: str) -> str:
    """A text that changes when a file does: its size and time, or those of the archive it is in."""
    path = source / name if source.is_dir() else source
    try:
        about = path.stat()
    except OSError:
        return "missing"
    return f"{about.st_size}-{about.st_mtime_ns}"


# Opened once in a process, since the list of a large archive takes time to read. A few at a time:
# a build reads one archive of images and one of masks.
@functools.lru_cache(maxsize=4)
def _zip(path: pathlib.Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)


_tars: dict[pathlib.Path, tarfile.TarFile] = {}
"""The tar archive that is open in this process, by its path."""


@atexit.register
def _close_tars() -> None:
    while _tars:
        _tars.popitem()[1].close()


def _tar(path: pathlib.Path) -> tarfile.TarFile:
    if path not in _tars:
        _close_tars()  # One at a time: unlike zip files, they do not close themselves.
        _tars[path] = tarfile.open(path)  # noqa: SIM115
    return _tars[path]


def _outside(name: str) -> str:
    """The fault of a name that is not the name of a file inside its folder; empty for others."""
    # Backslashes and drive letters are checked too: on Windows they would lead out.
    parts = pathlib.PurePosixPath(name).parts
    if not parts or "\\" in name or "\0" in name or name.startswith("/") or ":" in parts[0]:
        return "is not the path of a file inside a folder"
    return "leads out of its folder" if ".." in parts else ""


def _zip_fault(entry: zipfile.ZipInfo) -> str:
    """The reason for which an entry of a zip archive is not read; empty where it is read."""
    # The upper half holds the mode of Unix, which tells links from files.
    if stat.S_ISLNK(entry.external_attr >> 16):
        return "is a link, which is not followed"
    if entry.flag_bits & 1:
        return "is encrypted; unpack the archive with its password first"
    return _too_large(entry.file_size) if entry.file_size > MAX_FILE_BYTES else ""


def _tar_fault(entry: tarfile.TarInfo) -> str:
    """The reason for which an entry of a tar archive is not read; empty where it is read."""
    if not entry.isfile():
        return "is a link or a device, which is not followed"
    return _too_large(entry.size) if entry.size > MAX_FILE_BYTES else ""


def _too_large(size: int) -> str:
    return f"has {size:,} bytes, more than {MAX_FILE_BYTES:,}"


def _said(error: Exception) -> str:
    """The message of an error, on one line and not too long."""
    return " ".join(str(error).split())[:120] or type(error).__name__
