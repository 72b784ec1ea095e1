"""Networks in ONNX files that users bring, run by ONNX Runtime on the CPU.

Such files come from anywhere. A model may only hold what is in its own file: a model that refers to
other files, or to places in memory, is refused before ONNX Runtime sees it, and only ONNX's own
operators are run. The packages onnx and onnxruntime are the extra `[detect]`, imported when a file
is loaded: parsing with onnx finds every place of the format that can hold a tensor, of which a
reader of our own would need a list that goes out of date.
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
"""The size of the largest file that is read, in bytes."""

DTYPES: Mapping[str, type] = {
    "tensor(float16)": np.float16,
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}
"""NumPy's types for the types of inputs and outputs; sequences, maps and text have none."""

_INSTALL = "pip install 'volsynth[detect]'"

# Characters of an error of ONNX Runtime that are shown.
_SHOWN = 300


class Port(NamedTuple):
    """An input or output as the model declares it.

    Attributes:
      name: the name of the input or output.
      dtype: NumPy's type of its elements; None if it is not an array of numbers.
      shape: the lengths of its axes, where None is any length; None if the model does not even
        declare how many axes there are.
    """

    name: str
    dtype: type | None
    shape: tuple[int | None, ...] | None


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A network that can be run, with the inputs and outputs that its file declares.

    Attributes:
      path: the path of the file.
      sha256: the SHA-256 of the file's bytes, in hexadecimal digits.
      inputs: the inputs that must be given.
      outputs: the outputs in the file's order.
      session: the session of ONNX Runtime that runs the network.
    """

    path: str
    sha256: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    session: Any

    def run(self, values: Mapping[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:
        """Runs the network on some inputs and returns the named outputs.

        Raises:
          UserError: the network cannot be run on these inputs.
        """
        try:
            found = self.session.run(list(outputs), dict(values))
        # The errors of ONNX Runtime have no other base class.
        except Exception as error:
            raise UserError(
                f"model {self.path!r}: ONNX Runtime cannot run it ({_one_line(error)})."
            ) from error
        return [np.asarray(value) for value in found]


def load(path: str | os.PathLike[str]) -> Model:
    """Reads an ONNX file.

    Raises:
      UserError: onnx or ONNX Runtime is not installed; there is no such file, it is too large, is
        no ONNX model, refers to data outside of itself, or cannot be loaded by ONNX Runtime.
    """
    path = os.fspath(path)
    runtime = _runtime(path)
    contents = _contents(path)
    model = _parse(path, contents)
    options = runtime.SessionOptions()
    # 4 is "fatal": errors are raised, and must not be printed as well.
    options.log_severity_level = 4
    # Else ONNX Runtime guesses the format, and knows a second one, which is not checked here.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    try:
        session = runtime.InferenceSession(
            # Not the file's own bytes: parsers may disagree about odd ones, and what is run must
            # be what was checked.
            model.SerializeToString(),
            options,
            providers=["CPUExecutionProvider"],
            # A second attempt after a failure would print a line.
            enable_fallback=0,
        )
        ports = [tuple(map(_port, some)) for some in (session.get_inputs(), session.get_outputs())]
    # The errors of ONNX Runtime have no other base class.
    except Exception as error:
        raise UserError(
            f"model {path!r}: ONNX Runtime {runtime.__version__} cannot load it"
            f" ({_one_line(error)})."
        ) from error
    return Model(path, hashlib.sha256(contents).hexdigest(), *ports, session)


def _runtime(path):
    try:
        import onnx  # noqa: F401
        import onnxruntime
    except ImportError as error:
        raise UserError(
            f"model {path!r}: ONNX files need {error.name}, which is not installed: {_INSTALL}."
        ) from error
    return onnxruntime


def _contents(path: str) -> bytes:
    file = pathlib.Path(path)
    try:
        # Opening a named pipe would wait for ever.
        if file.exists() and not file.is_file():
            raise UserError(f"model {path!r}: is not a regular file.")
        with file.open("rb") as stream:
            # The size of what is open, not of what lies at the path: that may have been replaced.
            size = os.fstat(stream.fileno()).st_size
            if size > MAX_BYTES:
                raise UserError(f"model {path!r}: {size} bytes; at most {MAX_BYTES} are read.")
            return stream.read(MAX_BYTES)
    except FileNotFoundError as error:
        raise UserError(f"model {path!r}: no such file.") from error
    except OSError as error:
        raise UserError(f"model {path!r}: cannot be read ({error}).") from error


def _parse(path: str, contents: bytes) -> Any:
    """Returns the onnx.ModelProto of a file, all of whose tensors lie within it."""
    import onnx
    from google.protobuf.message import DecodeError

    model = onnx.ModelProto()
    try:
        model.ParseFromString(contents)
    except DecodeError as error:
        raise UserError(f"model {path!r}: is no ONNX model, or a damaged one ({error}).") from error
    if not model.HasField("graph"):
        raise UserError(f"model {path!r}: is no ONNX model (it has no graph).")
    # A field that onnx does not know could mean something to another version of ONNX Runtime.
    model.DiscardUnknownFields()
    for tensor in _tensors(model):
        # Either mark is enough: which of the two counts is up to the program that reads it.
        if tensor.external_data or tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise UserError(f"model {path!r}: has data in other files; save it as a single file.")
    return model


def _tensors(model: Any) -> Iterator[Any]:
    """Yields every onnx.TensorProto of a model, wherever the format can hold one."""
    import onnx
    from google.protobuf.message import Message

    # A list rather than recursion: the file decides how deep its messages are nested.
    todo = [model]
    while todo:
        message = todo.pop()
        if isinstance(message, onnx.TensorProto):
            yield message
        # By the descriptor rather than by ListFields(), which decodes text and fails where the
        # text of a file is not UTF-8.
        for field in message.DESCRIPTOR.fields:
            if field.message_type is None:
                continue
            value = getattr(message, field.name)
            if not isinstance(value, Message):
                todo.extend(value)
            elif message.HasField(field.name):
                todo.append(value)


def _port(argument) -> Port:
    shape = argument.shape
    if shape is not None:
        # Axes without a length have a name instead of a number, or none.
        shape = tuple(axis if isinstance(axis, int) and axis > 0 else None for axis in shape)
    return Port(argument.name, DTYPES.get(argument.type), shape)


def _one_line(error: Exception) -> str:
    # Some errors have no text: those with a message that Python cannot decode.
    text = " ".join(str(error).split()) or type(error).__name__
    # The end is kept: a long message begins with a place in the source of ONNX Runtime.
    return text if len(text) <= _SHOWN else f"…{text[-_SHOWN:]}"
