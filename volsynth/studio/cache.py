"""A cache in memory of what visitors brought and of what was made of it, under random names."""

import operator
import re
import secrets
import threading
from typing import Generic, TypeVar

import cachetools

Value = TypeVar("Value")

_NAME_BYTES = 16
# What secrets.token_urlsafe makes of 16 bytes: 22 letters in base 64.
_NAME = re.compile(r"[\w-]{22}", re.ASCII)


class ForgottenError(KeyError):
    """The name has the form of the cache's names, but its value is no longer there."""


class UnknownError(KeyError):
    """The name is none that the cache ever gave."""


class Cache(Generic[Value]):
    """Values under random names; those not used for longest go when there are too many bytes.

    It may be used from several threads.
    """

    def __init__(self, most_bytes: int) -> None:
        """Makes an empty cache.

        Args:
          most_bytes: the most bytes of all values together, pinned ones left out. The newest value
            is held even if it alone is larger.
        """
        self._most_bytes = most_bytes
        # An LRUCache changes its order when it is read, so that reading needs the lock, too.
        self._lock = threading.Lock()
        self._values: cachetools.LRUCache[str, tuple[Value, int]] = cachetools.LRUCache(
            most_bytes, getsizeof=operator.itemgetter(1)
        )
        self._pinned: dict[str, Value] = {}

    def add(self, value: Value, size: int) -> str:
        """Holds a value of `size` bytes and returns its name, of 22 letters."""
        # Nobody can guess 128 random bits: who knows a name was given it.
        name = secrets.token_urlsafe(_NAME_BYTES)
        with self._lock:
            # An LRUCache refuses what is larger than itself; counted as exactly as large, such a
            # value pushes out all others instead.
            self._values[name] = (value, min(size, self._most_bytes))
        return name

    def pin(self, value: Value) -> str:
        """Holds a value for as long as the cache is there, and returns its name."""
        name = secrets.token_urlsafe(_NAME_BYTES)
        with self._lock:
            self._pinned[name] = value
        return name

    def get(self, name: str) -> Value:
        """The value of a name; to read it counts as a use.

        Raises:
          ForgottenError: the value is no longer there.
          UnknownError: the cache never gave such a name.
        """
        with self._lock:
            if name in self._pinned:
                return self._pinned[name]
            if name in self._values:
                return self._values[name][0]
        # Names of forgotten values are not kept: their number would grow without end. The form
        # alone tells, so that a page knows whether bringing its picture again will help.
        raise (ForgottenError if _NAME.fullmatch(name) else UnknownError)(name)
