"""Networks of users in ONNX files, run by ONNX Runtime on the CPU.

Files come from anywhere. A model is what its own file holds: one that refers to other files, or to
places in memory, is refused before ONNX Runtime sees it, and nothing but its own operators is run.
ONNX Runtime is an extra of the installation, imported when a file is loaded.
"""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from volsynth.errors import UserError

MAX_BYTES = 2**30

DTYPES: Mapping[str, type] = {
    "tensor(float16)": np.float16,
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}
"""What inputs and outputs may consist of; sequences, maps and text are not numbers."""

_INSTALL = "pip install 'volsynth[detect]'"

# Where a file of the format can hold tensors: kind of message -> number of a field -> its kind.
_NESTED: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {
        **{5: "tensor", 6: "graph", 10: "tensor", 11: "graph"},
        **{22: "sparse tensor", 23: "sparse tensor"},
    },
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_GRAPH, _EXTERNAL_DATA, _DATA_LOCATION = 7, 13, 14


class Port(NamedTuple):
    """An input or output as the model declares it.

    Attributes:
      name: of the port.
      dtype: of NumPy; None for what is no array of numbers.
      shape: lengths of the axes, None where any will do; None where not even their number is said.
    """

    name: str
    dtype: type | None
    shape: tuple[int | None, ...] | None


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A network with the ports that its file declares.

    Attributes:
      path: of the file.
      sha256: of the bytes that were loaded, in hexadecimal digits.
      inputs: that must be given.
      outputs: in the file's order.
      session: ONNX Runtime's.
    """

    path: str
    sha256: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    session: Any

    def run(self, values: Mapping[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:
        """The named outputs for some inputs.

        Raises:
          UserError: the network cannot be run on these.
        """
        try:
            found = self.session.run(list(outputs), dict(values))
        # As in `load`.
        except Exception as error:
            raise UserError(
                f"model {self.path!r}: ONNX Runtime cannot run it ({_line(error)})."
            ) from error
        return [np.asarray(value) for value in found]


def load(path: str | os.PathLike[str]) -> Model:
    """Reads an ONNX file.

    Raises:
      UserError: ONNX Runtime is not installed; there is no such file, it is too large, no ONNX
        model, refers to data outside of itself, or is none that ONNX Runtime knows.
    """
    path = os.fspath(path)
    runtime = _runtime(path)
    contents = _contents(path)
    _check(path, contents)
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    # Or it would guess, and know a second format, which nothing here has looked through.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    try:
        # Without a second attempt, of which it would print a line.
        session = runtime.InferenceSession(
            contents, options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
        ports = [tuple(map(_port, some)) for some in (session.get_inputs(), session.get_outputs())]
    # Its errors have no class in common but this one.
    except Exception as error:
        raise UserError(
            f"model {path!r}: ONNX Runtime {runtime.__version__} cannot load it ({_line(error)})."
        ) from error
    return Model(path, hashlib.sha256(contents).hexdigest(), *ports, session)


def _runtime(path):
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(
            f"model {path!r}: ONNX files need ONNX Runtime, which is not installed: {_INSTALL}."
        ) from error
    return onnxruntime


def _contents(path: str) -> bytes:
    file = pathlib.Path(path)
    try:
        # Reading a pipe of this name would wait for ever.
        if file.exists() and not file.is_file():
            raise UserError(f"model {path!r}: is not a regular file.")
        with file.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > MAX_BYTES:
                raise UserError(f"model {path!r}: {size} bytes; at most {MAX_BYTES} are read.")
            return stream.read(MAX_BYTES)
    except FileNotFoundError as error:
        raise UserError(f"model {path!r}: no such file.") from error
    except OSError as error:
        raise UserError(f"model {path!r}: cannot be read ({error}).") from error


def _check(path: str, contents: bytes) -> None:
    """Walks through everything that can hold a tensor."""
    todo, graphs = [("model", memoryview(contents))], 0
    try:
        # A list rather than recursion: how deep a file nests is up to the file.
        while todo:
            kind, message = todo.pop()
            for number, value in _fields(message):
                nested = _NESTED[kind].get(number)
                if nested is not None and isinstance(value, memoryview):
                    todo.append((nested, value))
                    graphs += kind == "model" and number == _GRAPH
                elif kind == "tensor" and (
                    number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value)
                ):
                    raise UserError(
                        f"model {path!r}: has data in other files; save it as a single file."
                    )
    except _Damaged as error:
        raise UserError(f"model {path!r}: is no ONNX model, or a damaged one ({error}).") from error
    if not graphs:
        raise UserError(f"model {path!r}: is no ONNX model (it has no graph).")


class _Damaged(Exception):
    """Bytes that are no message in the encoding of protocol buffers."""


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Numbers of fields and values: whole numbers, or bytes of whatever they mean."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        # Programs differ in what they make of tags beyond 32 bits.
        if not number or tag >= 2**32:
            raise _Damaged("a field without a number")
        if wire == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire == 2:
            length, at = _varint(message, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise _Damaged(f"wire type {wire}")
        if length > len(message) - at:
            raise _Damaged("it ends amid a field")
        yield number, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise _Damaged("it ends amid a number")
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise _Damaged("a number of more than 64 bits")


def _port(argument) -> Port:
    shape = argument.shape
    if shape is not None:
        shape = tuple(axis if isinstance(axis, int) and axis > 0 else None for axis in shape)
    return Port(argument.name, DTYPES.get(argument.type), shape)


def _line(error: Exception) -> str:
    # There are errors without a word, of messages that Python cannot decode.
    text = " ".join(str(error).split()) or type(error).__name__
    # What is wrong stands at the end, behind a place in ONNX Runtime's source.
    return text if len(text) <= 300 else f"…{text[-300:]}"
