"""Object detectors of users: how sure one is that there is a person in a picture.

A detector is an ONNX file with one input, a picture, and outputs in one of the forms of `STYLES`.
What its file does not tell is said by `Options`; boxes are never read.
"""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from volsynth.errors import UserError, did_you_mean
from volsynth.pretrained import onnx_files

STYLES: Mapping[str, str] = {
    "ssd": "two outputs [N], the confidence and the class of every box",
    "ssd_dense": "an output [N, C], the confidence of every class for every box",
    "rows": "an output [N, 6]: box, confidence, class",
    "yolov5": "an output [N, 5 + C]: box, confidence of any object, and of every class given one",
    "yolov8": "an output [4 + C, N]: box, confidence of every class",
}
"""Forms of outputs, each with or without an axis of length 1 before."""

LAYOUTS = ("NCHW", "NHWC")

LARGEST_SIDE = 4096

_TOLERANCE = 1e-3


@dataclasses.dataclass(frozen=True)
class Options:
    """What a score with a detector depends on besides its file.

    Attributes:
      person: the class of persons, as the detector counts: 15 for Pascal VOC and 1 for COCO where 0
        is the background, 14 and 0 where there is none.
      style: of `STYLES`; empty for what names and shapes of the outputs tell.
      scores: name of the output with the confidences; empty likewise.
      classes: name of the output with the classes, of style "ssd"; empty likewise.
      layout: of `LAYOUTS`; empty for what the shape of the input tells.
      size: height and width of the input, for a detector that takes any; None for the picture's.
      mean: of R, G and B, that is taken from levels of 0 to 255.
      std: what they are divided by then. Without both, inputs of bytes get levels, others levels
        divided by 255.
      bgr: whether the channels are blue, green, red; mean and std stay in the order R, G, B.
    """

    person: int
    style: str = ""
    scores: str = ""
    classes: str = ""
    layout: str = ""
    size: tuple[int, int] | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    bgr: bool = False

    def __post_init__(self):
        if self.person < 0:
            raise UserError(
                f"detector: the class of persons must be at least 0, got {self.person}."
            )
        for name, value, allowed in (
            ("style", self.style, STYLES),
            ("layout", self.layout, LAYOUTS),
        ):
            if value and value not in allowed:
                raise UserError(
                    f"detector: unknown {name} {value!r}: {did_you_mean(value, allowed)}"
                )
        if self.size is not None and not all(1 <= side <= LARGEST_SIDE for side in self.size):
            raise UserError(
                f"detector: sides must lie in [1, {LARGEST_SIDE}] pixels, got {self.size}."
            )
        if self.std is not None and not min(self.std) > 0:
            raise UserError(f"detector: std must be positive, got {self.std}.")


@dataclasses.dataclass(frozen=True, eq=False)
class Detector:
    """A function of a picture, with an identity.

    Attributes:
      name: says which file it is, for logs and results.
      settings: plain JSON, all else that a confidence depends on.
      model: that is run.
      options: with nothing left to be found out but what depends on the picture.
    """

    name: str
    settings: Mapping[str, Any]
    model: onnx_files.Model
    options: Options

    def __call__(self, picture: UInt8[np.ndarray, "h w 3"]) -> float:
        """The highest confidence in a person, in [0, 1]; 0 where there is no box of one.

        Raises:
          UserError: the network cannot be run, or its outputs are not what the style says.
        """
        (port,) = self.model.inputs
        options = self.options
        names = [name for name in (options.scores, options.classes) if name]
        outputs = self.model.run({port.name: _input(port, options, picture)}, names)
        values = _of_person(self.model.path, options, outputs)
        if not np.all((values >= 0) & (values <= 1 + _TOLERANCE)):
            wrong = values[~((values >= 0) & (values <= 1 + _TOLERANCE))][0]
            raise UserError(
                f"detector {self.model.path!r}: confidences must lie in [0, 1], got {wrong:g} from"
                f" {options.scores!r} read as {options.style!r}; export it with its softmax or"
                f" sigmoid, or give another style."
            )
        return float(min(values.max(initial=0.0), 1.0))


def load(path: str | os.PathLike[str], options: Options) -> Detector:
    """A detector from an ONNX file.

    Args:
      path: as in `onnx_files.load`.
      options: what the file does not tell.

    Raises:
      UserError: whatever `onnx_files.load` raises; the model is not for one picture, or what its
        outputs mean cannot be told, or is not what the options say.
    """
    model = onnx_files.load(path)
    options = _reading(model, _feeding(model, options))
    settings = {
        **dataclasses.asdict(options),
        "resize": "Pillow, bilinear, over the area of a pixel; the whole picture, stretched",
    }
    settings = {
        key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()
    }
    return Detector(f"detector {model.sha256[:12]}", settings, model, options)


# --- the input -----------------------------------------------------------------------------------


def _feeding(model, options) -> Options:
    """The options with layout, size and scaling of the model's input."""

    def refuse(message):
        return UserError(f"detector {model.path!r}: {message}")

    if len(model.inputs) != 1:
        raise refuse(f"must have one input, the picture; it has {_list(model.inputs)}.")
    (port,) = model.inputs
    if port.dtype is None or np.dtype(port.dtype).kind not in "fu":
        raise refuse(f"its input must be of uint8 or float; it is {_list([port])}.")
    if port.shape is None or len(port.shape) not in (3, 4):
        raise refuse(f"its input must have 3 axes, or 4 with the batch's; it is {_list([port])}.")
    if len(port.shape) == 4 and port.shape[0] not in (1, None):
        raise refuse(f"must take one picture at a time, not {port.shape[0]}; export it so.")
    axes = port.shape[-3:]
    fits = {"NCHW": axes[0] in (3, None), "NHWC": axes[2] in (3, None)}
    sure = {"NCHW": axes[0] == 3, "NHWC": axes[2] == 3}
    layouts = [name for name in LAYOUTS if sure[name]] or [name for name in LAYOUTS if fits[name]]
    if options.layout:
        layouts = [options.layout] if fits[options.layout] else []
    if not layouts:
        wanted = f" as {options.layout}" if options.layout else ""
        raise refuse(f"its input must have 3 channels{wanted}; it is {_list([port])}.")
    if len(layouts) > 1:
        raise refuse(f"give the layout, NCHW or NHWC: its input {_list([port])} may be either.")
    declared = axes[1:] if layouts[0] == "NCHW" else axes[:2]
    if max(side or 1 for side in declared) > LARGEST_SIDE:
        raise refuse(f"its input is larger than {LARGEST_SIDE} pixels; it is {_list([port])}.")
    if options.size is not None and any(
        side not in (None, given) for side, given in zip(declared, options.size)
    ):
        raise refuse(f"its input is {_list([port])}, so the size cannot be {options.size}.")
    size = options.size
    if size is None and None not in declared:
        size = declared
    if size is None and any(declared):
        raise refuse(f"give the size: only one side of its input {_list([port])} is fixed.")
    scaled = options.mean is not None or options.std is not None
    if port.dtype == np.uint8 and scaled:
        raise refuse("its input is of uint8, so mean and std must be left out.")
    if port.dtype != np.uint8:
        options = dataclasses.replace(
            options,
            mean=options.mean or (0.0, 0.0, 0.0),
            std=options.std or ((1.0,) * 3 if scaled else (255.0,) * 3),
        )
    return dataclasses.replace(options, layout=layouts[0], size=size)


def _input(port, options, picture) -> np.ndarray:
    if options.size is not None and picture.shape[:2] != tuple(options.size):
        height, width = options.size
        resized = Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR)
        picture = np.asarray(resized)
    if options.std is not None:
        picture = (picture.astype(np.float32) - np.float32(options.mean)) / np.float32(options.std)
    if options.bgr:
        picture = picture[..., ::-1]
    if options.layout == "NCHW":
        picture = np.moveaxis(picture, -1, 0)
    if len(port.shape) == 4:
        picture = picture[None]
    return np.ascontiguousarray(picture, port.dtype)


# --- the outputs ---------------------------------------------------------------------------------


def _reading(model, options) -> Options:
    """The options with the style, and the names of the outputs that are read."""
    ports = {port.name: port for port in model.outputs if port.dtype is not None}
    for name in (options.scores, options.classes):
        if name and name not in ports:
            raise UserError(
                f"detector {model.path!r}: has no output {name!r} of numbers: "
                f"{did_you_mean(name, ports)}"
            )
    if options.classes and options.style not in ("", "ssd"):
        raise UserError(
            f"detector {model.path!r}: an output of classes is of style 'ssd', not"
            f" {options.style!r}; leave one of them out."
        )
    found = _guess(ports, options)
    if found is None:
        raise UserError(
            f"detector {model.path!r}: its outputs do not tell what they are: "
            f"{_list(model.outputs)}. Give the style, of {', '.join(STYLES)}, and the names of the "
            f"outputs."
        )
    style, scores, classes = found
    columns = _columns(ports[scores].shape, style)
    if columns is not None and options.person >= columns:
        raise UserError(
            f"detector {model.path!r}: read as {style!r} it has {max(columns, 0)} classes, from 0"
            f" on: that of persons cannot be {options.person}."
        )
    return dataclasses.replace(options, style=style, scores=scores, classes=classes)


def _guess(ports, options) -> tuple[str, str, str] | None:
    """Style, output of confidences and output of classes; None where it cannot be told."""
    scores, classes = options.scores, options.classes
    # Some exports offer, beside what is meant, what it was made of.
    plain = [name for name in ports if not {"raw", "multiclass"} & set(name.lower().split("_"))]
    sure = [name for name in plain if any(word in name.lower() for word in ("score", "conf"))]
    kinds = [
        name
        for name in plain
        if name not in sure and any(word in name.lower() for word in ("class", "label"))
    ]
    if options.style in ("", "ssd"):
        one_scores = [scores] if scores else sure
        one_classes = [classes] if classes else kinds
        if len(one_scores) == len(one_classes) == 1:
            return "ssd", one_scores[0], one_classes[0]
        by_shape = _lists(ports) if not (scores or classes) else None
        if by_shape or options.style == "ssd" or classes:
            return ("ssd", *by_shape) if by_shape else None
    if not scores:
        # The only one, or of several the only one that says so.
        names = list(ports) if len(ports) == 1 else sure
        if len(names) != 1:
            return None
        scores = names[0]
    style = options.style or _dense_style(ports[scores].shape, alone=len(ports) == 1)
    return (style, scores, "") if style else None


def _lists(ports) -> tuple[str, str] | None:
    """The confidences and classes of boxes, by type: the only list of each kind."""
    lists = [port for port in ports.values() if port.shape and _is_list(port.shape)]
    classes = [port.name for port in lists if np.dtype(port.dtype).kind in "iu"]
    scores = [port.name for port in lists if np.dtype(port.dtype).kind == "f"]
    return (scores[0], classes[0]) if len(scores) == len(classes) == 1 else None


def _is_list(shape) -> bool:
    # [1] alone is the number of boxes.
    return (len(shape) == 1 and shape != (1,)) or (len(shape) == 2 and shape[0] in (1, None))


def _dense_style(shape, alone) -> str:
    """The style of an output of confidences of all classes; empty where it cannot be told."""
    if shape is None or len(shape) not in (2, 3):
        return ""
    if not alone:
        return "ssd_dense"
    rows, columns = shape[-2:]
    # Six columns are a box, a confidence and a class, or what YOLOv5 has for a single class.
    if rows is None or columns is None or 6 in (rows, columns) or rows == columns:
        return ""
    return "yolov8" if rows < columns else "yolov5"


def _columns(shape, style) -> int | None:
    """How many classes there are, where the shape says."""
    if shape is None or len(shape) < 2 or style in ("ssd", "rows"):
        return None
    axis, others = {"ssd_dense": (-1, 0), "yolov5": (-1, 5), "yolov8": (-2, 4)}[style]
    return None if shape[axis] is None else shape[axis] - others


def _of_person(path, options, outputs) -> np.ndarray:
    """Confidences in a person, of all boxes.

    Raises:
      UserError: the outputs have other shapes than the style's.
    """
    axes = 1 if options.style == "ssd" else 2
    arrays = [a[0] if a.ndim == axes + 1 and a.shape[0] == 1 else a for a in outputs]
    least = {
        "ssd": (0,),
        "ssd_dense": (0, options.person + 1),
        "rows": (0, 6),
        "yolov5": (0, 6 + options.person),
        "yolov8": (5 + options.person, 0),
    }[options.style]
    if (
        any(a.ndim != axes or any(n < m for n, m in zip(a.shape, least)) for a in arrays)
        or (options.style == "rows" and arrays[0].shape[1] != 6)
        or len({a.shape for a in arrays}) > 1
    ):
        shapes = " and ".join(
            f"{name!r} {list(array.shape)}"
            for name, array in zip((options.scores, options.classes), outputs)
        )
        raise UserError(
            f"detector {path!r}: read as {options.style!r} ({STYLES[options.style]}) with persons"
            f" as class {options.person}, its outputs cannot be {shapes}."
        )
    first = arrays[0].astype(np.float64)
    if options.style == "ssd":
        return first[_is_person(arrays[1], options.person)]
    if options.style == "rows":
        return first[_is_person(arrays[0][:, 5], options.person), 4]
    if options.style == "yolov5":
        return first[:, 4] * first[:, 5 + options.person]
    return first[4 + options.person] if options.style == "yolov8" else first[:, options.person]


def _is_person(classes, person) -> np.ndarray:
    # Classes are often stored as float.
    return np.abs(classes.astype(np.float64) - person) < 0.5


def _list(ports) -> str:
    def one(port):
        kind = np.dtype(port.dtype).name if port.dtype else "no numbers"
        if port.shape is None:
            return f"{port.name!r} {kind}"
        return f"{port.name!r} {kind} [{', '.join(str(n or '?') for n in port.shape)}]"

    ports = list(ports)
    return ", ".join(map(one, ports[:8])) + (", …" if len(ports) > 8 else "") or "none"
