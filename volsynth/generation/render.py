"""Pictures of a person as bodies, made by an exported model."""

import itertools
import os
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float, UInt8

from volsynth import conventions, fields
from volsynth.errors import UserError
from volsynth.export import exported_model
from volsynth.generation.persons import Crop, Person, Side
from volsynth.generation.source import Source
from volsynth.poses.retargeting import Body

BATCH = 8
"""The number of frames of a motion that are rendered at once."""

MOST_OWN_SIZE = 1024
"""The largest side of squares in pixels where nobody asked for a larger one."""

RenderFn = Callable[[Sequence[Body]], UInt8[np.ndarray, "B S S 3"]]
"""Renders one person as some bodies; at most as many bodies as a batch has."""


def load_generator(
    path: str | os.PathLike[str], program: bool | None = None
) -> exported_model.Model:
    """Loads an exported model that makes pictures.

    Args:
      path: the model's folder.
      program: which form of the model to load, as for `exported_model.load`.

    Raises:
      UserError: the model makes none, or `exported_model.load` raises.
    """
    model = exported_model.load(path, program)
    if model.task == "pose":
        raise UserError(f"{path} finds poses and makes no pictures; give it as --estimator.")
    return model


def choose_side(model: exported_model.Model, size: int | None) -> Side:
    """The side of the squares in which a model shows a person, for `persons.crop_person`.

    Args:
      model: the model.
      size: side that is wanted, in pixels; None for the size that the person has in the picture, up
        to `MOST_OWN_SIZE`, where the model takes any size.

    Raises:
      UserError: the model takes no images of that size.
    """
    if size is not None and size != model.fitting_size(size):
        step = model.size_step
        allowed = f"a multiple of {step} from {model.image_size} on" if step else model.image_size
        raise UserError(f"--size must be {allowed} for this model, got {size}.")
    if size is not None or not model.size_step:
        return size or model.image_size
    return lambda extent: model.fitting_size(min(extent, MOST_OWN_SIZE))


def check_sources(model: exported_model.Model, source: Source) -> None:
    """Checks that a model looks at as many pictures of a person as are given.

    Raises:
      UserError: there is a further picture, and the model looks at one.
    """
    if source.also is not None and not model.looks_at_two:
        raise UserError(
            f"{model.path} looks at one picture of a person: leave out --also, or train a model "
            "that looks at two (config.model.sources=2, docs/reprojection.md)."
        )


def person_fields(person: Person, further: bool) -> dict[str, np.ndarray]:
    """The fields of a batch of one that show a person.

    Args:
      person: the person.
      further: whether there are fields of a further picture, which is the same where the person has
        no other.
    """
    shown = {"source": person, **({fields.ALSO: person.also or person} if further else {})}
    batch = {}
    for role, one in shown.items():
        batch[f"{role}_image"] = conventions.to_float(one.image)[None]
        batch[f"{role}_joints"] = one.joints[None]
        batch[f"{role}_visible"] = one.body.visible[None]
    return batch


def render_bodies(
    model: exported_model.Model, person: Person, bodies: Sequence[Body], crop: Crop
) -> UInt8[np.ndarray, "B S S 3"]:
    """Renders a person as bodies that stand in one square, by a single call of the model."""
    # An exported program takes a batch; the source is the same in each of its rows.
    shown = {
        name: np.repeat(value, len(bodies), axis=0)
        for name, value in person_fields(person, model.looks_at_two).items()
    }

    def look(role):
        return shown[f"{role}_image"], (shown[f"{role}_joints"], shown[f"{role}_visible"])

    also = look(fields.ALSO) if model.looks_at_two else None
    made = model(*look("source"), joints_in_crop(bodies, crop), also)
    return conventions.to_uint8(np.asarray(made))


def joints_in_crop(
    bodies: Sequence[Body], crop: Crop
) -> tuple[Float[np.ndarray, "B 15 3"], Bool[np.ndarray, "B 15"]]:
    """Joints of bodies in pixels of a square, and which are known, as a model takes them."""
    joints = np.stack([crop.joints(body) for body in bodies])
    return joints, np.stack([body.visible for body in bodies])


def render_whole(model: exported_model.Model, person: Person, crop: Crop, batch: int) -> RenderFn:
    """A function that renders a person by running all of a model for every picture.

    Args:
      model: any that makes pictures.
      person: whom to render.
      crop: the square that the bodies stand in.
      batch: the largest number of bodies of a call.
    """

    def render(bodies):
        return render_bodies(model, person, pad_bodies(bodies, batch), crop)[: len(bodies)]

    return render


def pad_bodies(bodies: Sequence[Body], count: int) -> list[Body]:
    """Repeats the last body until there are `count`: every batch has the size that was compiled."""
    return [*bodies, *[bodies[-1]] * (count - len(bodies))]


def render_frames(
    render: RenderFn, bodies: Sequence[Body], batch: int
) -> Iterator[UInt8[np.ndarray, "S S 3"]]:
    """Yields a picture of each body, in order; a body like the one before gets the same picture."""
    new, numbers = distinct_bodies(bodies)
    # A generator, so that a batch is rendered only when its first frame is asked for.
    made = (image for at in range(0, len(new), batch) for image in render(new[at : at + batch]))
    image, last = None, -1
    for number in numbers:
        image, last = (next(made) if number > last else image), number
        yield image


def distinct_bodies(bodies: Sequence[Body]) -> tuple[list[Body], list[int]]:
    """The bodies that differ from the one before, and for each body the index of its like."""
    # Equal rows of a batch need not be equal to the last bit: sums may be split differently. So a
    # figure that holds still would flicker if it were rendered again.
    is_new = [True] + [not _same(a, b) for a, b in itertools.pairwise(bodies)]
    new = [body for body, first in zip(bodies, is_new) if first]
    return new, [number - 1 for number in itertools.accumulate(map(int, is_new))]


def _same(a, b):
    return np.array_equal(a.visible, b.visible) and np.array_equal(a.joints, b.joints)
