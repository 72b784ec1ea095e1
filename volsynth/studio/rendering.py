"""The model, loaded and compiled: looks at a person once, then renders poses and motions."""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from volsynth.conventions import MAGENTA
from volsynth.export import exported_model
from volsynth.generation import estimation, render, staged
from volsynth.generation.bodies import to_body
from volsynth.generation.persons import Crop, Person
from volsynth.poses import pose_library
from volsynth.poses.retargeting import Body

BATCH = render.BATCH
"""Frames of a motion that are made at once."""


class Seen:
    """A person, and what the model computed of it; None until it is asked for.

    Attributes:
      who: the person.
    """

    def __init__(self, who: Person):
        self.who = who
        self.features: staged.Features | None = None


class Renderer:
    """Pictures of persons; to be called by one thread at a time.

    Attributes:
      card: of the model.
      image_size: S.
      bytes_per_person: that a person takes who was looked at.
    """

    def __init__(self, model: exported_model.Model):
        """`model` is of `staged.load_staged`."""
        self.card, self.image_size = model.card, model.image_size
        self._model = model
        self._apart = staged.StagedModel(model) if staged.is_staged(model) else None
        self.bytes_per_person = 3 * self.image_size**2

    def warm_up(self) -> None:
        """Compiles what will be called."""
        image = np.empty((self.image_size, self.image_size, 3), np.uint8)
        image[:] = MAGENTA
        body = to_body(pose_library.named_pose("standing"))
        square = Crop(body.joints[:, :2].min(axis=0), 2000.0, self.image_size)
        seen = Seen(Person(image, square, body, (2000, 2000)))
        for batch in (1, BATCH):
            self.pictures(seen, [body], square, batch)
        if seen.features is not None:
            self.bytes_per_person += seen.features.volume.nbytes

    def pictures(
        self, seen: Seen, bodies: Sequence[Body], square: Crop, batch: int
    ) -> UInt8[np.ndarray, "B S S 3"]:
        """A person as bodies that stand in a square; at most `batch`, which is 1 or `BATCH`."""
        if self._apart is None:
            return render.render_whole(self._model, seen.who, square, batch)(bodies)
        if seen.features is None:
            seen.features = self._apart.encode(seen.who)
        return self._apart.render(seen.features, bodies, square, batch)


def load_estimator(path: pathlib.Path) -> exported_model.Model:
    """An estimator that is ready, compiled.

    Raises:
      UserError: as `estimation.load_estimator`.
    """
    model = estimation.load_estimator(path)
    model(np.zeros((1, model.image_size, model.image_size, 3), np.float32))
    return model


class Motion:
    """A person in a motion, of which frames are made when they are asked for, and kept.

    Attributes:
      seen: the person.
      frames: their number.
      fps: frames per second.
      nbytes: that it takes when all of its frames are made.
    """

    def __init__(self, seen: Seen, bodies: Sequence[Body], square: Crop, fps: float):
        self.seen, self.frames, self.fps = seen, len(bodies), fps
        self._square = square
        self._new, self._numbers = render.distinct_bodies(bodies)
        self._made: dict[int, Any] = {}
        self.nbytes = len(self._new) * 3 * square.side**2

    def needed(self, start: int, stop: int) -> list[int]:
        """The batches that frames from `start` to `stop` need and that are not made yet."""
        numbers = self._numbers[start:stop]
        batches = range(numbers[0] // BATCH, numbers[-1] // BATCH + 1)
        return [batch for batch in batches if batch not in self._made]

    def make(self, renderer: Renderer, batch: int) -> None:
        """Makes a batch, unless it is there."""
        if batch not in self._made:
            bodies = self._new[batch * BATCH : (batch + 1) * BATCH]
            self._made[batch] = renderer.pictures(self.seen, bodies, self._square, BATCH)

    def pictures(self, start: int, stop: int) -> list[UInt8[np.ndarray, "S S 3"]]:
        """Frames whose batches are made."""
        return [self._made[n // BATCH][n % BATCH] for n in self._numbers[start:stop]]
