"""What visitors brought and what was made of it, in memory, by random names, the newest only."""

import collections
import re
import secrets
import threading
from typing import Generic, TypeVar

Value = TypeVar("Value")

_NAME = re.compile(r"[\w-]{22}", re.ASCII)


class ForgottenError(KeyError):
    """There was such a thing, as far as its name tells, but no longer."""


class UnknownError(KeyError):
    """There was never such a thing."""


class Store(Generic[Value]):
    """Values by random names. Beyond a number of bytes, those not used for longest go."""

    def __init__(self, most_bytes: int):
        """`most_bytes` are of all values but those that are kept; one of them is always there."""
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._values: collections.OrderedDict[str, tuple[Value, int]] = collections.OrderedDict()
        self._kept: dict[str, Value] = {}

    def add(self, value: Value, size: int) -> str:
        """Its name, of 22 letters; `size` is in bytes."""
        name = secrets.token_urlsafe(16)
        with self._lock:
            self._values[name] = (value, size)
            total = sum(size for _, size in self._values.values())
            while total > self._most_bytes and len(self._values) > 1:
                total -= self._values.popitem(last=False)[1][1]
        return name

    def keep(self, value: Value) -> str:
        """The name of a value that is never forgotten."""
        name = secrets.token_urlsafe(16)
        with self._lock:
            self._kept[name] = value
        return name

    def get(self, name: str) -> Value:
        """The value of a name, which counts as used.

        Raises:
          ForgottenError: it is no longer there.
          UnknownError: nothing was ever called so.
        """
        with self._lock:
            if name in self._kept:
                return self._kept[name]
            if name in self._values:
                self._values.move_to_end(name)
                return self._values[name][0]
        raise (ForgottenError if _NAME.fullmatch(name) else UnknownError)(name)
