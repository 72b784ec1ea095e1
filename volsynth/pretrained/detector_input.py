"""The input of an object detector: its format, from the ONNX file, and pictures in that format."""

from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from volsynth.errors import UserError
from volsynth.pretrained import onnx_files

LAYOUTS = ("NCHW", "NHWC")
"""Orders of the input's axes: batch, channels, height and width; or with the channels last."""

LARGEST_SIDE = 4096
"""The largest height or width of an input, in pixels."""


class InputFormat(NamedTuple):
    """The way from a picture to the input of a detector; `resolve` fills what is left open.

    Attributes:
      layout: a name of `LAYOUTS`; empty if the shape of the input tells it.
      size: height and width of the input in pixels; None keeps the picture's own.
      mean: subtracted from the levels 0 to 255 of R, G and B; None subtracts nothing.
      std: divides the levels after that; None divides by nothing.
      bgr: whether the channels are blue, green, red; `mean` and `std` stay in the order R, G, B.
    """

    layout: str
    size: tuple[int, int] | None
    mean: tuple[float, float, float] | None
    std: tuple[float, float, float] | None
    bgr: bool


def resolve(model: onnx_files.Model, wanted: InputFormat) -> InputFormat:
    """Fills layout, size and scaling from what the model declares about its input.

    Args:
      model: a detector.
      wanted: what the user says about the input.

    Returns:
      The format with a layout, with a size where the model has a fixed one, and with mean and std
      where the input is of floats: by default levels divided by 255.

    Raises:
      UserError: the model does not take one picture, or what the user says contradicts it.
    """
    port = _picture_port(model)
    layout = _layout(model, port, wanted.layout)
    size = _size(model, port, layout, wanted.size)
    scaled = wanted.mean is not None or wanted.std is not None
    mean, std = wanted.mean, wanted.std
    if port.dtype == np.uint8:
        if scaled:
            raise _error(model, "its input is of uint8, so mean and std must be left out.")
    else:
        mean = mean or (0.0, 0.0, 0.0)
        # A user who gives only one of the two has a network that takes levels of 0 to 255.
        std = std or ((1.0,) * 3 if scaled else (255.0,) * 3)
    return wanted._replace(layout=layout, size=size, mean=mean, std=std)


def prepare(
    port: onnx_files.Port, form: InputFormat, picture: UInt8[np.ndarray, "h w 3"]
) -> np.ndarray:
    """Resizes, scales and transposes a picture into the input of a detector.

    Args:
      port: the input.
      form: its format, as `resolve` returns it.
      picture: levels of R, G and B.
    """
    if form.size is not None and picture.shape[:2] != tuple(form.size):
        height, width = form.size
        # Pillow's bilinear filter averages over the area of a pixel when it makes a picture
        # smaller; other libraries' takes four neighbours and aliases.
        resized = Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR)
        picture = np.asarray(resized)
    if form.std is not None:
        picture = (picture.astype(np.float32) - np.float32(form.mean)) / np.float32(form.std)
    # After the scaling, which is in the order R, G, B.
    if form.bgr:
        picture = picture[..., ::-1]
    if form.layout == "NCHW":
        picture = np.moveaxis(picture, -1, 0)
    if len(port.shape) == 4:
        picture = picture[None]
    return np.ascontiguousarray(picture, port.dtype)


def describe_ports(ports: tuple[onnx_files.Port, ...] | list[onnx_files.Port]) -> str:
    """Returns names, types and shapes of the first inputs or outputs, for error messages."""

    def describe(port):
        kind = np.dtype(port.dtype).name if port.dtype else "no numbers"
        if port.shape is None:
            return f"{port.name!r} {kind}"
        return f"{port.name!r} {kind} [{', '.join(str(n or '?') for n in port.shape)}]"

    ports = list(ports)
    return ", ".join(map(describe, ports[:8])) + (", …" if len(ports) > 8 else "") or "none"


def _error(model, message) -> UserError:
    return UserError(f"detector {model.path!r}: {message}")


def _picture_port(model) -> onnx_files.Port:
    """The only input of a model, which must be able to hold one picture."""
    if len(model.inputs) != 1:
        raise _error(
            model, f"must have one input, the picture; it has {describe_ports(model.inputs)}."
        )
    (port,) = model.inputs
    described = describe_ports([port])
    if port.dtype is None or np.dtype(port.dtype).kind not in "fu":
        raise _error(model, f"its input must be of uint8 or float; it is {described}.")
    if port.shape is None or len(port.shape) not in (3, 4):
        raise _error(
            model, f"its input must have 3 axes, or 4 with the batch's; it is {described}."
        )
    # A fixed batch would have to be filled up with pictures that nobody asked about.
    if len(port.shape) == 4 and port.shape[0] not in (1, None):
        raise _error(model, f"must take one picture at a time, not {port.shape[0]}; export it so.")
    return port


def _layout(model, port, wanted) -> str:
    """The layout that the user wants or, without one, that the declared shape allows."""
    axes = port.shape[-3:]
    fits = {"NCHW": axes[0] in (3, None), "NHWC": axes[2] in (3, None)}
    # An axis of length 3 says where the channels are; one without a length only may be theirs.
    sure = {"NCHW": axes[0] == 3, "NHWC": axes[2] == 3}
    layouts = [name for name in LAYOUTS if sure[name]] or [name for name in LAYOUTS if fits[name]]
    if wanted:
        layouts = [wanted] if fits[wanted] else []
    described = describe_ports([port])
    if not layouts:
        as_wanted = f" as {wanted}" if wanted else ""
        raise _error(model, f"its input must have 3 channels{as_wanted}; it is {described}.")
    if len(layouts) > 1:
        raise _error(model, f"give the layout, NCHW or NHWC: its input {described} may be either.")
    return layouts[0]


def _size(model, port, layout, wanted) -> tuple[int, int] | None:
    """Height and width of the input; None for a model that takes pictures of any size."""
    axes = port.shape[-3:]
    declared = axes[1:] if layout == "NCHW" else axes[:2]
    described = describe_ports([port])
    if max(side or 1 for side in declared) > LARGEST_SIDE:
        raise _error(model, f"its input is larger than {LARGEST_SIDE} pixels; it is {described}.")
    if wanted is not None:
        if any(side not in (None, given) for side, given in zip(declared, wanted)):
            raise _error(model, f"its input is {described}, so the size cannot be {wanted}.")
        return wanted
    if None not in declared:
        return declared
    # The other side is not guessed: a square is as likely as the picture's own proportions.
    if any(declared):
        raise _error(model, f"give the size: only one side of its input {described} is fixed.")
    return None
