"""The outputs of an object detector: what they mean, and the confidences in a person in them.

Detectors differ in how they return boxes; five forms cover the usual exports. The form is found out
from names and shapes of the outputs, where those tell, and is an error where they do not.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from volsynth.errors import UserError, did_you_mean
from volsynth.pretrained import onnx_files
from volsynth.pretrained.detector_input import describe_ports

STYLES: Mapping[str, str] = {
    "ssd": "two outputs [N], the confidence and the class of every box",
    "ssd_dense": "an output [N, C], the confidence of every class for every box",
    "rows": "an output [N, 6]: box, confidence, class",
    "yolov5": "an output [N, 5 + C]: box, confidence of any object, and of every class given one",
    "yolov8": "an output [4 + C, N]: box, confidence of every class",
}
"""Forms of outputs, each with or without an axis of length 1 in front; N boxes and C classes."""


class OutputFormat(NamedTuple):
    """The outputs of a detector that are read, and their style; `resolve` fills what is empty.

    Attributes:
      style: a name of `STYLES`.
      scores: the name of the output with the confidences.
      classes: the name of the output with the classes; empty for every style but "ssd".
    """

    style: str
    scores: str
    classes: str


def resolve(model: onnx_files.Model, wanted: OutputFormat, person: int) -> OutputFormat:
    """Fills the style and the names of the outputs from what the model declares.

    Args:
      model: a detector.
      wanted: what the user says about its outputs; empty where the user says nothing.
      person: the class of persons.

    Raises:
      UserError: the outputs do not tell what they are, or are not what the user says.
    """
    ports = {port.name: port for port in model.outputs if port.dtype is not None}
    for name in (wanted.scores, wanted.classes):
        if name and name not in ports:
            raise UserError(
                f"detector {model.path!r}: has no output {name!r} of numbers: "
                f"{did_you_mean(name, ports)}"
            )
    if wanted.classes and wanted.style not in ("", "ssd"):
        raise UserError(
            f"detector {model.path!r}: an output of classes is of style 'ssd', not"
            f" {wanted.style!r}; leave one of them out."
        )
    found = _guess(ports, wanted)
    if found is None:
        raise UserError(
            f"detector {model.path!r}: its outputs do not tell what they are: "
            f"{describe_ports(model.outputs)}. Give the style, of {', '.join(STYLES)}, and the"
            f" names of the outputs."
        )
    classes = _class_count(ports[found.scores].shape, found.style)
    if classes is not None and person >= classes:
        raise UserError(
            f"detector {model.path!r}: read as {found.style!r} it has {max(classes, 0)} classes,"
            f" from 0 on: that of persons cannot be {person}."
        )
    return found


def person_confidences(
    path: str, form: OutputFormat, person: int, outputs: Sequence[np.ndarray]
) -> np.ndarray:
    """Returns the confidence of every box that it shows a person.

    Args:
      path: the detector's file, for error messages.
      form: what the outputs are, as `resolve` returns it.
      person: the class of persons.
      outputs: the arrays that the detector returned for one picture: scores, and classes if the
        format names them.

    Raises:
      UserError: the outputs have other shapes than the style's.
    """
    axes = 1 if form.style == "ssd" else 2
    arrays = [a[0] if a.ndim == axes + 1 and a.shape[0] == 1 else a for a in outputs]
    _check_shapes(path, form, person, outputs, arrays)
    # float16 outputs would lose digits in the products below.
    scores = arrays[0].astype(np.float64)
    if form.style == "ssd":
        return scores[_is_class(arrays[1], person)]
    if form.style == "rows":
        return scores[_is_class(arrays[0][:, 5], person), 4]
    if form.style == "yolov5":
        # The confidence of a class is a conditional one: given that there is an object.
        return scores[:, 4] * scores[:, 5 + person]
    return scores[4 + person] if form.style == "yolov8" else scores[:, person]


def _check_shapes(path, form, person, outputs, arrays):
    least = {
        "ssd": (0,),
        "ssd_dense": (0, person + 1),
        "rows": (0, 6),
        "yolov5": (0, 6 + person),
        "yolov8": (5 + person, 0),
    }[form.style]
    if (
        any(a.ndim != len(least) or any(n < m for n, m in zip(a.shape, least)) for a in arrays)
        or (form.style == "rows" and arrays[0].shape[1] != 6)
        or len({a.shape for a in arrays}) > 1
    ):
        shapes = " and ".join(
            f"{name!r} {list(array.shape)}"
            for name, array in zip((form.scores, form.classes), outputs)
        )
        raise UserError(
            f"detector {path!r}: read as {form.style!r} ({STYLES[form.style]}) with persons as"
            f" class {person}, its outputs cannot be {shapes}."
        )


def _is_class(classes, wanted) -> np.ndarray:
    # Many exports store the classes as floats, so equality would depend on rounding.
    return np.abs(classes.astype(np.float64) - wanted) < 0.5


# --- the style that names and shapes tell --------------------------------------------------------


def _guess(ports, wanted) -> OutputFormat | None:
    """The format of the outputs; None where names and shapes do not tell it."""
    named_scores, named_classes = _by_name(ports)
    if wanted.style in ("", "ssd"):
        scores = [wanted.scores] if wanted.scores else named_scores
        classes = [wanted.classes] if wanted.classes else named_classes
        if len(scores) == len(classes) == 1:
            return OutputFormat("ssd", scores[0], classes[0])
        by_type = None if wanted.scores or wanted.classes else _by_type(ports)
        if by_type is not None:
            return OutputFormat("ssd", *by_type)
        if wanted.style == "ssd" or wanted.classes:
            return None
    scores = wanted.scores
    if not scores:
        # The only output, or the only one whose name says that it holds confidences.
        names = list(ports) if len(ports) == 1 else named_scores
        if len(names) != 1:
            return None
        scores = names[0]
    style = wanted.style or _dense_style(ports[scores].shape, alone=len(ports) == 1)
    return OutputFormat(style, scores, "") if style else None


def _by_name(ports) -> tuple[list[str], list[str]]:
    """The outputs whose names say that they hold confidences, and those that say classes."""
    # Exports of TensorFlow offer, beside the boxes that remain, the raw ones they were chosen from.
    plain = [name for name in ports if not {"raw", "multiclass"} & set(name.lower().split("_"))]
    scores = [name for name in plain if any(word in name.lower() for word in ("score", "conf"))]
    classes = [
        name
        for name in plain
        if name not in scores and any(word in name.lower() for word in ("class", "label"))
    ]
    return scores, classes


def _by_type(ports) -> tuple[str, str] | None:
    """Confidences and classes of boxes as the only list of floats and the only one of integers."""
    lists = [port for port in ports.values() if port.shape and _is_list(port.shape)]
    classes = [port.name for port in lists if np.dtype(port.dtype).kind in "iu"]
    scores = [port.name for port in lists if np.dtype(port.dtype).kind == "f"]
    return (scores[0], classes[0]) if len(scores) == len(classes) == 1 else None


def _is_list(shape) -> bool:
    # An output of shape [1] is the number of boxes rather than a list with one box.
    return (len(shape) == 1 and shape != (1,)) or (len(shape) == 2 and shape[0] in (1, None))


def _dense_style(shape, alone) -> str:
    """The style of an output with confidences of all classes; empty where it cannot be told."""
    if shape is None or len(shape) not in (2, 3):
        return ""
    # Where there are other outputs, the boxes are in one of those.
    if not alone:
        return "ssd_dense"
    rows, columns = shape[-2:]
    # Six columns are a box, a confidence and a class, or what YOLOv5 has for a single class.
    if rows is None or columns is None or 6 in (rows, columns) or rows == columns:
        return ""
    # There are more boxes than numbers of one box: thousands, and at most a hundred.
    return "yolov8" if rows < columns else "yolov5"


def _class_count(shape, style) -> int | None:
    """The number of a detector's classes; None where the shape of its output does not say so."""
    if shape is None or len(shape) < 2 or style in ("ssd", "rows"):
        return None
    axis, others = {"ssd_dense": (-1, 0), "yolov5": (-1, 5), "yolov8": (-2, 4)}[style]
    return None if shape[axis] is None else shape[axis] - others
