"""Object detectors that users bring: how sure a detector is that a picture shows a person.

A detector is an ONNX file with one input, a picture, and outputs in one of the forms of
`detector_output.STYLES`. `Options` say what the file does not tell. Boxes are never read.
"""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt8

from volsynth.errors import UserError, did_you_mean
from volsynth.pretrained import detector_input, detector_output, onnx_files

# How far above 1 rounding may bring a confidence.
_TOLERANCE = 1e-3


@dataclasses.dataclass(frozen=True)
class Options:
    """The settings on which a detection score depends besides the detector's file.

    Attributes:
      person: the class of persons, as the detector counts: 15 for Pascal VOC and 1 for COCO where 0
        is the background, 14 and 0 where there is none.
      style: a name of `detector_output.STYLES`; empty if names and shapes of the outputs tell it.
      scores: the name of the output with the confidences; empty likewise.
      classes: the name of the output with the classes, of style "ssd"; empty likewise.
      layout: a name of `detector_input.LAYOUTS`; empty if the shape of the input tells it.
      size: height and width of the input in pixels, for a detector that takes any; None keeps the
        picture's.
      mean: subtracted from the levels 0 to 255 of R, G and B.
      std: divides the levels after that. Without both, inputs of bytes get levels, others levels
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

    def __post_init__(self) -> None:
        if self.person < 0:
            raise UserError(
                f"detector: the class of persons must be at least 0, got {self.person}."
            )
        for name, value, allowed in (
            ("style", self.style, detector_output.STYLES),
            ("layout", self.layout, detector_input.LAYOUTS),
        ):
            if value and value not in allowed:
                raise UserError(
                    f"detector: unknown {name} {value!r}: {did_you_mean(value, allowed)}"
                )
        largest = detector_input.LARGEST_SIDE
        if self.size is not None and not all(1 <= side <= largest for side in self.size):
            raise UserError(f"detector: sides must lie in [1, {largest}] pixels, got {self.size}.")
        if self.std is not None and not min(self.std) > 0:
            raise UserError(f"detector: std must be positive, got {self.std}.")

    @property
    def input_format(self) -> detector_input.InputFormat:
        """The options that say how a picture becomes the input."""
        return detector_input.InputFormat(self.layout, self.size, self.mean, self.std, self.bgr)

    @property
    def output_format(self) -> detector_output.OutputFormat:
        """The options that say what the outputs are."""
        return detector_output.OutputFormat(self.style, self.scores, self.classes)


@dataclasses.dataclass(frozen=True, eq=False)
class Detector:
    """A detector of persons as a function of a picture.

    Attributes:
      name: says which file it is, for logs and results.
      settings: plain JSON values: all that a confidence depends on besides the file.
      model: the network.
      options: the options with everything filled in that the file tells.
    """

    name: str
    settings: Mapping[str, Any]
    model: onnx_files.Model
    options: Options

    def __call__(self, picture: UInt8[np.ndarray, "h w 3"]) -> float:
        """Returns the highest confidence that the picture shows a person, in [0, 1].

        It is 0 where the detector finds no box of a person.

        Raises:
          UserError: the network cannot be run, or its outputs are not what the style says.
        """
        (port,) = self.model.inputs
        form = self.options.output_format
        names = [name for name in (form.scores, form.classes) if name]
        value = detector_input.prepare(port, self.options.input_format, picture)
        outputs = self.model.run({port.name: value}, names)
        values = detector_output.person_confidences(
            self.model.path, form, self.options.person, outputs
        )
        # Also refuses NaN, which compares false.
        valid = (values >= 0) & (values <= 1 + _TOLERANCE)
        if not np.all(valid):
            raise UserError(
                f"detector {self.model.path!r}: confidences must lie in [0, 1], got"
                f" {values[~valid][0]:g} from {form.scores!r} read as {form.style!r}; export it"
                f" with its softmax or sigmoid, or give another style."
            )
        # `initial` is the result where there is no box.
        return float(min(values.max(initial=0.0), 1.0))


def load(path: str | os.PathLike[str], options: Options) -> Detector:
    """Loads a detector from an ONNX file.

    Args:
      path: as in `onnx_files.load`.
      options: what the file does not tell.

    Raises:
      UserError: whatever `onnx_files.load` raises; the model does not take one picture, or what its
        outputs mean cannot be told, or is not what the options say.
    """
    model = onnx_files.load(path)
    # Once, when it is loaded: the settings belong to the protocol of a score.
    inputs = detector_input.resolve(model, options.input_format)
    outputs = detector_output.resolve(model, options.output_format, options.person)
    options = dataclasses.replace(options, **inputs._asdict(), **outputs._asdict())
    settings = {
        **dataclasses.asdict(options),
        "resize": "Pillow, bilinear, over the area of a pixel; the whole picture, stretched",
    }
    # As JSON gives them back, so that settings compare equal to those read from a results file.
    settings = {
        key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()
    }
    return Detector(f"detector {model.sha256[:12]}", settings, model, options)
