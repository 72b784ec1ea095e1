"""Files that are written completely or not at all, and files that are in memory only."""

import dataclasses
import errno
import hashlib
import os
import pathlib
import stat
import tempfile
from collections.abc import Callable
from typing import BinaryIO


@dataclasses.dataclass(frozen=True)
class InMemory:
    """A file that did not come through a path, such as an upload.

    Attributes:
      name: the name by which messages call it; its ending tells the format, where that counts.
      content: all bytes of the file.
    """

    name: str
    content: bytes

    @property
    def suffix(self) -> str:
        """The ending of the name with its dot, as a path has it."""
        return pathlib.PurePath(self.name).suffix

    @property
    def stem(self) -> str:
        """The name without its ending, as a path has it."""
        return pathlib.PurePath(self.name).stem

    def __str__(self) -> str:
        return self.name


File = str | os.PathLike[str] | InMemory
"""A file to read, by its path or in memory."""


class NotRegularError(OSError):
    """A path is no regular file but a pipe, a device, a socket, or a link that is not followed."""


def open_regular(path: str | os.PathLike[str], links: bool = True) -> BinaryIO:
    """Opens a regular file for reading; of a path to a pipe, reading would wait for ever.

    Args:
      path: path of the file.
      links: whether the file may be a symbolic link to one.

    Raises:
      NotRegularError: it is no regular file.
      OSError: it cannot be opened, or is a folder.
    """
    # O_NONBLOCK: opening a pipe waits for a writer, too.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if links else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        # ENXIO is what opening a socket gives, ELOOP what a link gives that is not to be followed.
        if error.errno == errno.ENXIO or (error.errno == errno.ELOOP and not links):
            raise NotRegularError(error.errno, "it is no regular file", path) from error
        raise
    # Asked of the open file, and not of the path, which may be another file by then.
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    raise NotRegularError(errno.EINVAL, "it is no regular file", path)


def check_place(path: str | os.PathLike[str]) -> None:
    """Checks that a file or folder can be made at a path; ask it before long work.

    Raises:
      OSError: it cannot be made there.
    """
    place = pathlib.Path(path).absolute().parent
    while not place.exists():
        place = place.parent
    # Tried out, since permissions alone do not say whether a disk is full or mounted read-only.
    with tempfile.TemporaryFile(dir=place):
        pass


def write_atomically(path: str | os.PathLike[str], write: Callable[[BinaryIO], object]) -> None:
    """Writes a file in one step: readers see the old file or the new one, never a part of it.

    Args:
      path: path of the file; its folder is made where there is none.
      write: function that writes to the open binary file that it is given.

    Raises:
      OSError: the file cannot be written; nothing of it is left behind.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder, as renaming is one step within a file system only.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            # Else a crash of the machine could leave the new name with nothing in it.
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes text in UTF-8, in one step as `write_atomically` does."""
    write_atomically(path, lambda file: file.write(text.encode()))


def sha256(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal digits.

    Raises:
      OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
