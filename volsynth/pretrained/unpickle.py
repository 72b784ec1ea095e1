"""Reads the pickle in a file of PyTorch without running it.

A pickle is a program: Python's own reader calls whatever the pickle names. This reader knows the
few instructions that a dictionary of tensors is made of, and describes a tensor rather than making
one. Everything else is an error. Nor can a small file take much memory or time: an instruction
takes no longer than its bytes are long, and nothing nested is hashed, compared or printed.

`torch.load(weights_only=True)` does the same, but would make everybody who converts published
weights install PyTorch (200 MB and more), and would not limit memory.
"""

import dataclasses
import io
import pickletools
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

STORAGES: Mapping[str, np.dtype] = {
    f"{module}.{name}Storage": np.dtype(dtype)
    for module in ("torch", "torch.cuda")
    for name, dtype in {
        "Float": np.float32,
        "Half": np.float16,
        "BFloat16": jnp.bfloat16,
        "Double": np.float64,
        "Long": np.int64,
        "Int": np.int32,
        "Short": np.int16,
        "Char": np.int8,
        "Byte": np.uint8,
        "Bool": np.bool_,
    }.items()
}
"""The types of elements by the names that PyTorch gives to arrays on disk."""

# More axes than any layer has; NumPy has a limit, too.
_MOST_AXES = 32


class RefusedError(Exception):
    """The pickle wants something that a dictionary of tensors does not need; says what."""


class DamagedError(Exception):
    """The bytes are no pickle, or end too early."""


@dataclasses.dataclass(frozen=True)
class Storage:
    """A flat array in the file, not read yet.

    Attributes:
      key: the name of the array in the file.
      dtype: the type of its elements.
      count: the number of its elements.
    """

    key: str
    dtype: np.dtype
    count: int


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor as a view of a storage; nothing says yet that it fits the storage.

    Attributes:
      storage: the flat array that holds the elements.
      offset: the index of the first element in the storage.
      shape: the lengths of the axes.
      strides: how far apart neighbours along each axis lie in the storage, in elements.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class _Name:
    """The dotted name of something in a module, which is not imported."""

    name: str


def _tensor(storage, offset, shape, strides, *_) -> Tensor:
    if not isinstance(storage, Storage) or not len(shape) == len(strides) <= _MOST_AXES:
        raise TypeError("a tensor without a storage, or with too many dimensions")
    return Tensor(storage, _count(offset), tuple(map(_count, shape)), tuple(map(_count, strides)))


def _parameter(data, *_) -> Tensor:
    if not isinstance(data, Tensor):
        raise TypeError("a parameter without a tensor")
    return data


def _count(value) -> int:
    # Not isinstance: True and False are ints, too.
    if type(value) is not int or value < 0:
        raise TypeError("a number of elements that is none")
    return value


def _ordered(pairs=None) -> dict:
    made: dict = {}
    if pairs is not None:
        if type(pairs) is not list:
            raise TypeError("pairs of what is no list")
        for key, value in pairs:
            _fill(made, [key, value])
        # The memo can give one list to a million calls, which together would take for ever if
        # each read the whole list.
        pairs.clear()
    return made


def _fill(target, items) -> None:
    # Taking the hash of a tuple of tuples of tuples … would overflow the stack of Python itself.
    if type(target) is not dict or any(type(key) not in (str, int) for key in items[::2]):
        raise TypeError("items of what is no dictionary, or without names")
    target.update(zip(items[::2], items[1::2], strict=True))


def _extend(target, items) -> None:
    if type(target) is not list:
        raise TypeError("elements of what is no list")
    target.extend(items)


# What a pickle may call. Before torch 0.4, parameters were written by their class, and tensors
# without "_v2".
_CALLS: Mapping[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.nn.parameter.Parameter": _parameter,
}


def read(file: io.BytesIO) -> Any:
    """Reads the pickle at the file's position; afterwards the position is behind it.

    Args:
      file: in memory: a length in a damaged pickle may be any number.

    Returns:
      Dictionaries, lists, tuples, numbers, strings, and descriptions of tensors.

    Raises:
      RefusedError: the pickle names something that is not allowed, or has an unknown instruction.
      DamagedError: the bytes are no pickle.
    """
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(file):
            machine.execute(opcode.name, argument)
        (value,) = machine.stack
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        raise DamagedError(str(error)) from error
    return value


class _Machine:
    """The state of a pickle that is read, with one method for each kind of instruction.

    Attributes:
      stack: the values above the last mark.
      below: the stacks under every mark.
      memo: values by the numbers under which the pickle keeps them.
    """

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def execute(self, name, argument):
        if name in _LITERALS:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            # A new one for every instruction, as it will be filled.
            self.stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            items = tuple(self.stack.pop() for _ in range(_TUPLES[name]))
            self.stack.append(items[::-1])
        elif name in _METHODS:
            _METHODS[name](self, argument)
        elif name not in _IGNORED:
            raise RefusedError(f"the instruction {name}")

    def pop_mark(self):
        """The values above the last mark, which is removed."""
        items, self.stack = self.stack, self.below.pop()
        return items

    def mark(self, _):
        self.below.append(self.stack)
        self.stack = []

    def make_tuple(self, _):
        # In two steps: `self.stack.append(self.pop_mark())` would append to the stack that
        # `pop_mark` is about to replace.
        items = tuple(self.pop_mark())
        self.stack.append(items)

    def put(self, key):
        self.memo[key] = self.stack[-1]

    def memoize(self, _):
        self.memo[len(self.memo)] = self.stack[-1]

    def get(self, key):
        self.stack.append(self.memo[key])

    def set_item(self, _):
        value, key = self.stack.pop(), self.stack.pop()
        _fill(self.stack[-1], [key, value])

    def set_items(self, _):
        items = self.pop_mark()
        _fill(self.stack[-1], items)

    def append(self, _):
        item = self.stack.pop()
        _extend(self.stack[-1], [item])

    def appends(self, _):
        items = self.pop_mark()
        _extend(self.stack[-1], items)

    def name_of_argument(self, argument):
        # pickletools gives module and attribute with a space between them.
        self.stack.append(_allowed(".".join(argument.split(" ", 1))))

    def instance(self, argument):
        # The name comes first in the error: it says more than the old instruction does.
        _allowed(".".join(argument.split(" ", 1)))
        raise RefusedError("the instruction INST")

    def name_of_stack(self, _):
        attribute, module = self.stack.pop(), self.stack.pop()
        self.stack.append(_allowed(".".join((module, attribute))))

    def call(self, _):
        arguments, called = self.stack.pop(), self.stack.pop()
        if not isinstance(called, _Name) or called.name not in _CALLS:
            raise TypeError("a call of what is no function")
        self.stack.append(_CALLS[called.name](*arguments))

    def persistent_id(self, _):
        self.stack.append(_storage(self.stack.pop()))

    def build(self, _):
        # Attributes, such as versions of layers and hooks, are dropped.
        self.stack.pop()
        if not isinstance(self.stack[-1], (dict, Tensor)):
            raise TypeError("attributes of what has none")


_LITERALS = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINSTRING", "SHORT_BINSTRING"),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_METHODS: Mapping[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine.mark,
    "TUPLE": _Machine.make_tuple,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.memoize,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "GLOBAL": _Machine.name_of_argument,
    "INST": _Machine.instance,
    "STACK_GLOBAL": _Machine.name_of_stack,
    "REDUCE": _Machine.call,
    "BINPERSID": _Machine.persistent_id,
    "BUILD": _Machine.build,
}
# The protocol's number, the lengths of parts of the file, and the end.
_IGNORED = {"PROTO", "FRAME", "STOP"}


def _allowed(name: str) -> _Name:
    if name not in _CALLS and name not in STORAGES:
        raise RefusedError(name)
    return _Name(name)


def _storage(identity) -> Storage:
    """The storage that a persistent id stands for.

    An id is the word "storage", the type, the key, the device and the count. In the older format of
    files it has a sixth part, a view, which is None where the storage is whole.
    """
    kind, dtype, key, _, count, *view = identity
    if kind != "storage" or not isinstance(dtype, _Name) or not isinstance(key, str):
        raise TypeError("a persistent id that is no storage's")
    if any(part is not None for part in view):
        raise RefusedError("a view of a storage")
    return Storage(key, STORAGES[dtype.name], _count(count))
