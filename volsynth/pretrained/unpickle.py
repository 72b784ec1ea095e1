"""Reads the pickle in a torch file without running it.

A pickle is a program: Python's own reader would call whatever it names. This one knows the few
instructions that a dictionary of tensors is made of, and describes a tensor rather than making one.
Everything else is an error. Nor can a small file take much memory or time: every instruction is as
short as its bytes, and nothing nested is hashed, compared or printed.
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
"""Torch's names of arrays on disk."""


_DIMENSIONS = 32


class Refused(Exception):
    """The pickle wants something that a dictionary of tensors does not need; says what."""


class Damaged(Exception):
    """The bytes are no pickle, or end too early."""


@dataclasses.dataclass(frozen=True)
class Storage:
    """A flat array in the file.

    Attributes:
      key: its name there.
      dtype: of its elements.
      count: how many there are.
    """

    key: str
    dtype: np.dtype
    count: int


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A view of a storage; offset and strides count elements. Not yet known to fit the storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class _Name:
    """Something of a module, not imported."""

    name: str


def _tensor(storage, offset, shape, strides, *_) -> Tensor:
    if not isinstance(storage, Storage) or not len(shape) == len(strides) <= _DIMENSIONS:
        raise TypeError("a tensor without a storage, or with too many dimensions")
    return Tensor(storage, _whole(offset), tuple(map(_whole, shape)), tuple(map(_whole, strides)))


def _parameter(data, *_) -> Tensor:
    if not isinstance(data, Tensor):
        raise TypeError("a parameter without a tensor")
    return data


def _whole(value) -> int:
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
        # A list could be given to a million calls; this way all of them together are short.
        pairs.clear()
    return made


def _fill(target, items) -> None:
    # A tuple of tuples of tuples would overflow Python's own stack when its hash is taken.
    if type(target) is not dict or any(type(key) not in (str, int) for key in items[::2]):
        raise TypeError("items of what is no dictionary, or without names")
    target.update(zip(items[::2], items[1::2], strict=True))


def _extend(target, items) -> None:
    if type(target) is not list:
        raise TypeError("elements of what is no list")
    target.extend(items)


# Parameters were written by their class, and tensors without "_v2", before torch 0.4.
_CALLS: Mapping[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.nn.parameter.Parameter": _parameter,
}

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list}
_LITERALS = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINSTRING", "SHORT_BINSTRING"),
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def read(file: io.BytesIO) -> Any:
    """The value of the pickle at the file's position; the position is behind it afterwards.

    Args:
      file: in memory: a length in a damaged pickle may be any number.

    Returns:
      Dictionaries, lists, tuples, numbers, strings, and descriptions of tensors.

    Raises:
      Refused: the pickle names something that is not allowed, or has an unknown instruction.
      Damaged: the bytes are no pickle.
    """
    try:
        return _run(file)
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        raise Damaged(str(error)) from error


def _run(file: io.BytesIO) -> Any:
    stack: list[Any] = []
    below: list[list[Any]] = []  # The stacks under every mark.
    memo: dict[int, Any] = {}

    def since_mark():
        nonlocal stack
        items, stack = stack, below.pop()
        return items

    for opcode, argument, _ in pickletools.genops(file):
        name = opcode.name
        if name in _LITERALS:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            count = _TUPLES[name]
            items = tuple(stack.pop() for _ in range(count))
            stack.append(items[::-1])
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "MARK":
            below.append(stack)
            stack = []
        elif name == "TUPLE":
            items = tuple(since_mark())
            stack.append(items)
        elif name == "SETITEM":
            value, key = stack.pop(), stack.pop()
            _fill(stack[-1], [key, value])
        elif name == "SETITEMS":
            items = since_mark()
            _fill(stack[-1], items)
        elif name == "APPEND":
            item = stack.pop()
            _extend(stack[-1], [item])
        elif name == "APPENDS":
            items = since_mark()
            _extend(stack[-1], items)
        elif name in ("GLOBAL", "INST"):
            stack.append(_allowed(".".join(argument.split(" ", 1))))
            if name == "INST":
                raise Refused("the instruction INST")
        elif name == "STACK_GLOBAL":
            attribute, module = stack.pop(), stack.pop()
            stack.append(_allowed(".".join((module, attribute))))
        elif name == "REDUCE":
            arguments, called = stack.pop(), stack.pop()
            stack.append(_call(called, arguments))
        elif name == "BINPERSID":
            stack.append(_storage(stack.pop()))
        elif name == "BUILD":
            stack.pop()  # Attributes: versions of layers, hooks.
            if not isinstance(stack[-1], (dict, Tensor)):
                raise TypeError("attributes of what has none")
        elif name not in ("PROTO", "FRAME", "STOP"):
            raise Refused(f"the instruction {name}")
    (value,) = stack
    return value


def _allowed(name: str) -> _Name:
    if name not in _CALLS and name not in STORAGES:
        raise Refused(name)
    return _Name(name)


def _call(called, arguments):
    if not isinstance(called, _Name) or called.name not in _CALLS:
        raise TypeError("a call of what is no function")
    return _CALLS[called.name](*arguments)


def _storage(identity) -> Storage:
    """A storage of its persistent id: "storage", type, key, device, count, and a view, once."""
    kind, dtype, key, _, count, *view = identity
    if kind != "storage" or not isinstance(dtype, _Name) or not isinstance(key, str):
        raise TypeError("a persistent id that is no storage's")
    if any(part is not None for part in view):
        raise Refused("a view of a storage")
    return Storage(key, STORAGES[dtype.name], _whole(count))
