"""A sheet: one picture of a source, the skeletons of the wanted poses, and what was generated."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from volsynth.generation.backgrounds import Background, composite
from volsynth.generation.persons import Crop, Person
from volsynth.images import draw, grids, reader
from volsynth.poses.retargeting import Body

SQUARE_CELL, FRAME_CELL = 192, 288
"""The side of a sheet's cells in pixels: for the model's squares, and for whole frames."""


def draw_sheet(
    person: Person,
    names: Sequence[str],
    fitted: Sequence[tuple[Body, Crop]],
    images: Sequence[UInt8[np.ndarray, "S S 3"]],
    background: Background | None,
) -> Image.Image:
    """Draws the source and the wanted skeletons, and below them the pictures that were made.

    Args:
      person: the source, with its picture.
      names: titles of the targets.
      fitted: the body of each target, and the square that it stands in.
      images: the generated square of each target.
      background: the frame to show persons in; None shows the model's squares.
    """
    if background is None:
        rows, cell = _square_rows(person, fitted, images)
    else:
        rows, cell = _frame_rows(person, fitted, images, background)
    return grids.grid(rows, ("source", *names), cell=cell)


def _square_rows(person, fitted, images):
    """Rows of cells that show the model's squares, and the side of a cell."""
    # Skeletons are drawn at the size they are shown at, whatever the model's: thin lines that are
    # enlarged afterwards are hard to read.
    cell = max(SQUARE_CELL, person.crop.side)

    def skeleton(body, crop):
        joints = dataclasses.replace(crop, side=cell).joints(body)
        return draw.skeleton_image(joints, body.visible, cell)

    above = [person.image, *(skeleton(body, crop) for body, crop in fitted)]
    return [above, [skeleton(person.body, person.crop), *images]], cell


def _frame_rows(person, fitted, images, background):
    """Rows of cells that show whole frames, and the side of a cell."""
    scale = min(FRAME_CELL / max(person.frame), 1)
    height, width = (round(scale * side) for side in person.frame)

    def small(frame):
        picture = Image.fromarray(reader.over_colour(frame, draw.WHITE))
        return np.asarray(picture.resize((width, height), Image.Resampling.LANCZOS))

    def skeleton(body):
        # Bodies are in pixels of the frame.
        page = np.full((height, width, 3), 255, np.uint8)
        return draw.overlay_skeleton(page, body.joints * scale, body.visible)

    above = [small(person.picture.pixels), *(skeleton(body) for body, _ in fitted)]
    made = (composite(image, crop, background) for image, (_, crop) in zip(images, fitted))
    return [above, [skeleton(person.body), *map(small, made)]], FRAME_CELL
