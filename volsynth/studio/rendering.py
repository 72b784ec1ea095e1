"""Rendering of persons: the model encodes a person once, then renders poses and motions of it."""

import pathlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from volsynth.conventions import MAGENTA
from volsynth.export import exported_model
from volsynth.generation import estimation, render, staged
from volsynth.generation.bodies import to_body
from volsynth.generation.persons import Crop, Person
from volsynth.poses import pose_library
from volsynth.poses.retargeting import Body

SIZE = 256
"""The side of pictures in pixels, of models that make them at any size: as they are shown."""

BATCH = render.BATCH
"""The number of frames of a motion that the model renders at once."""


class EncodedPerson:
    """A person, and the features that the model computed of it.

    Attributes:
      person: The person, cut out of a picture.
      features: The features of a model that encodes persons apart; None until the first rendering.
    """

    # Not encoded at once: people correct joints, and with each correction a new person comes.

    def __init__(self, person: Person) -> None:
        """Takes a person that was not encoded yet."""
        self.person = person
        self.features: staged.Features | None = None


class Renderer:
    """A loaded model that renders pictures of persons; only one thread at a time may call it.

    Attributes:
      card: The model's card: what it is and how it was trained.
      image_size: The side S of its images in pixels.
      bytes_per_person: The bytes that a person takes in memory together with its features.
    """

    def __init__(self, model: exported_model.Model) -> None:
        """Takes a model of `staged.load_staged`; it is compiled when it is first called."""
        self.card, self.image_size = model.card, model.fitting_size(SIZE)
        self._model = model
        # Only systems with stages can be taken apart into encoding and rendering.
        self._staged = staged.StagedModel(model) if staged.is_staged(model) else None
        self.bytes_per_person = 3 * self.image_size**2

    def warm_up(self) -> None:
        """Compiles the model for single poses and for batches of a motion."""
        # XLA compiles by shapes, so that a picture without anybody does as well as any other.
        image = np.empty((self.image_size, self.image_size, 3), np.uint8)
        image[:] = MAGENTA
        body = to_body(pose_library.named_pose("standing"))
        # A square of 2 m, for the standing figure is in mm.
        square = Crop(body.joints[:, :2].min(axis=0), 2000.0, self.image_size)
        encoded = EncodedPerson(Person(image, square, body, (2000, 2000)))
        for batch in (1, BATCH):
            self.render(encoded, [body], square, batch)
        if encoded.features is not None:
            self.bytes_per_person += encoded.features.nbytes

    def render(
        self, encoded: EncodedPerson, bodies: Sequence[Body], square: Crop, batch: int
    ) -> UInt8[np.ndarray, "B S S 3"]:
        """Renders a person in poses that lie in one square.

        Args:
          encoded: the person.
          bodies: the poses, at most `batch` of them.
          square: the square of the picture that is rendered.
          batch: the batch size that the model runs with: 1 or `BATCH`, for which it is compiled.
        """
        if self._staged is None:
            return render.render_whole(self._model, encoded.person, square, batch)(bodies)
        if encoded.features is None:
            encoded.features = self._staged.encode(encoded.person)
        return self._staged.render(encoded.features, bodies, square, batch)


def load_estimator(path: pathlib.Path) -> exported_model.Model:
    """Loads and compiles a pose estimator.

    Raises:
      UserError: as `estimation.load_estimator`.
    """
    model = estimation.load_estimator(path)
    # Nobody's first picture should wait for the compiler.
    model(np.zeros((1, model.image_size, model.image_size, 3), np.float32))
    return model


class RenderedMotion:
    """A person in a motion; its frames are rendered when somebody asks for them, and kept.

    Attributes:
      encoded: The person.
      num_frames: The number of frames.
      fps: Frames per second.
      nbytes: The bytes that all frames take when they are rendered.
    """

    def __init__(
        self, encoded: EncodedPerson, bodies: Sequence[Body], square: Crop, fps: float
    ) -> None:
        """Renders nothing yet.

        Args:
          encoded: the person.
          bodies: the pose of each frame.
          square: the square of the picture that all poses lie in.
          fps: frames per second.
        """
        self.encoded, self.num_frames, self.fps = encoded, len(bodies), fps
        self._square = square
        # A frame that is like the one before is the same picture: it is rendered once.
        self._distinct, self._numbers = render.distinct_bodies(bodies)
        self._batches: dict[int, UInt8[np.ndarray, "B S S 3"]] = {}
        # Counted as if all were there, for what a cache holds must not grow later.
        self.nbytes = len(self._distinct) * 3 * square.side**2

    def missing_batches(self, start: int, stop: int) -> list[int]:
        """Numbers of the batches that frames `start` to `stop` need and that are not rendered."""
        # Numbers of distinct poses never fall from frame to frame, so that the ends are enough.
        numbers = self._numbers[start:stop]
        batches = range(numbers[0] // BATCH, numbers[-1] // BATCH + 1)
        return [batch for batch in batches if batch not in self._batches]

    def render_batch(self, renderer: Renderer, batch: int) -> None:
        """Renders the batch of this number, unless it is there."""
        # Two visitors of one motion may have asked for it before either was served.
        if batch not in self._batches:
            bodies = self._distinct[batch * BATCH : (batch + 1) * BATCH]
            self._batches[batch] = renderer.render(self.encoded, bodies, self._square, BATCH)

    def frames(self, start: int, stop: int) -> list[UInt8[np.ndarray, "S S 3"]]:
        """Pictures of frames `start` to `stop`, whose batches must be rendered."""
        return [self._batches[n // BATCH][n % BATCH] for n in self._numbers[start:stop]]
