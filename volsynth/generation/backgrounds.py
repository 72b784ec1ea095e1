"""Backgrounds of generated persons: the picture's own, a colour, nothing, or another picture."""

import pathlib
from typing import Literal

import numpy as np
import scipy.ndimage
from jaxtyping import UInt8
from PIL import Image, ImageOps

from volsynth.conventions import MAGENTA
from volsynth.errors import UserError, did_you_mean
from volsynth.generation.persons import Crop, Person
from volsynth.images import cropping, inpainting, matting, reader

NAMES = ("own", "magenta", "transparent")
"""The names of backgrounds; any other text is the path of a picture."""

GROWN = 0.012
"""The width by which the mask of the old person is grown before it is filled in, as a share of the
side of the square around the person: masks are narrower than the soft edges of persons."""

Frame = Literal["original", "square"]
"""The extent of a generated picture: the frame of the source's picture, or the model's square."""

Background = UInt8[np.ndarray, "H W 3"] | UInt8[np.ndarray, "H W 4"]
"""A frame without the person; with an alpha channel if some of it is transparent."""


def check(background: str, frame: Frame = "original") -> None:
    """Checks that there is such a background for such a frame, before pictures are made.

    Raises:
      UserError: it is none of `NAMES` and no file, or a square, which has none but its own, is to
        have it.
    """
    if background not in NAMES and not pathlib.Path(background).is_file():
        raise UserError(
            f"--background {background} is neither a picture's file nor a name; "
            f"{did_you_mean(background, NAMES)}"
        )
    if frame == "square" and background != "own":
        raise UserError(
            f"--background {background} is for pictures in the frame of the one that was given; "
            "leave out --frame square, which shows what the model makes, on magenta."
        )


def make_background(
    background: str, person: Person, frame: Frame = "original"
) -> Background | None:
    """Makes a frame without the person, as large as the person's picture.

    Args:
      background: "own": the picture with the person filled in if the picture has a mask of its own,
        else transparent or magenta like the picture's background; "magenta"; "transparent"; or the
        path of a picture, of which the middle is taken, in the frame's shape.
      person: person that keeps its picture, from `source.read_person`.
      frame: "square" needs no background.

    Returns:
      the frame, with four channels if some of it is transparent; None for a square.

    Raises:
      UserError: there is no such background, or a file cannot be read.
    """
    check(background, frame)
    if frame == "square":
        return None
    height, width = person.frame
    # Fitted, so that another picture keeps its proportions and covers the frame.
    if background not in NAMES:
        picture = Image.fromarray(_without_idle_alpha(reader.read_rgba(background)))
        return np.asarray(ImageOps.fit(picture, (width, height), Image.Resampling.LANCZOS))
    if background == "own":
        if person.picture.background == "scene":
            return _without_person(person)
        # Without a mask of its own, the picture does not show what is behind the person.
        background = person.picture.background
    if background == "transparent":
        return np.zeros((height, width, 4), np.uint8)
    return np.broadcast_to(np.array(MAGENTA, np.uint8), (height, width, 3))


def _without_idle_alpha(pixels):
    """RGB if all pixels are opaque: written pictures should not have four channels for nothing."""
    return pixels[..., :3] if np.all(pixels[..., 3] == 255) else pixels


def _without_person(person):
    """The picture with the person filled in; others whom the mask covers stay."""
    picture = _without_idle_alpha(person.picture.pixels)
    joints = person.body.joints[person.body.visible, :2]
    # Somebody else far from the joints is in the mask as well, but is not shown in a new pose.
    mask = cropping.near_joints(person.picture.mask, joints)
    # Two pixels at least: resizing and JPEG spread edges that far in small pictures as well.
    grown = max(round(GROWN * person.crop.extent), 2)
    return inpainting.fill(picture, scipy.ndimage.maximum_filter(mask, 2 * grown + 1))


def composite(
    image: UInt8[np.ndarray, "S S 3"], crop: Crop, background: Background | None
) -> Background:
    """Puts a generated person, cut from its magenta ground, over a background in its place.

    Args:
      image: the generated square.
      crop: place of the square in the frame.
      background: the frame; None returns the square as it is.
    """
    if background is None:
        return image
    cut = matting.extract_foreground(image, MAGENTA)
    return cropping.paste(cut, crop.corner, crop.extent, background)
