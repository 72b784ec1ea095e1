"""Files that are whole or not there: written under another name, flushed to disk, renamed; and
files that are in memory only."""

import dataclasses
import errno
import os
import pathlib
import stat
import tempfile
from collections.abc import Callable
from typing import BinaryIO


@dataclasses.dataclass(frozen=True)
class InMemory:
    """A file that came otherwise than through a path.

    Attributes:
      name: that messages call it by; its ending tells what it is, where that counts.
      content: all of it.
    """

    name: str
    content: bytes

    @property
    def suffix(self) -> str:
        """As of a path."""
        return pathlib.PurePath(self.name).suffix

    @property
    def stem(self) -> str:
        """As of a path."""
        return pathlib.PurePath(self.name).stem

    def __str__(self) -> str:
        return self.name


File = str | os.PathLike[str] | InMemory
"""What can be read."""


class NotRegularError(OSError):
    """A pipe, a device, a socket, or a link where none is followed; there is nothing to read."""


def open_regular(path: str | os.PathLike[str], links: bool = True) -> BinaryIO:
    """Opens a file that may be anything for reading: reading a pipe would wait for ever.

    Args:
      path: of the file.
      links: whether the file may be a symbolic link to one.

    Raises:
      NotRegularError: it is no regular file.
      OSError: it cannot be opened, or is a folder.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if links else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ENXIO or (error.errno == errno.ELOOP and not links):
            raise NotRegularError(error.errno, "it is no regular file", path) from error
        raise
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    raise NotRegularError(errno.EINVAL, "it is no regular file", path)


def check_place(path: str | os.PathLike[str]) -> None:
    """Whether a file or folder can be made there; for those who want to know before long work.

    Raises:
      OSError: it cannot.
    """
    place = pathlib.Path(path).absolute().parent
    while not place.exists():
        place = place.parent
    with tempfile.TemporaryFile(dir=place):
        pass


def write_atomically(path: str | os.PathLike[str], write: Callable[[BinaryIO], object]) -> None:
    """Writes a file in one step; whoever looks sees the old one or the new one, never a part.

    Args:
      path: of the file; its folder is made where there is none.
      write: is given the open binary file.

    Raises:
      OSError: the file cannot be written; nothing of it is left behind.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """`write_atomically` for text, in UTF-8."""
    write_atomically(path, lambda file: file.write(text.encode()))
