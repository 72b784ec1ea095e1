"""What a generated person is put over: the picture's own background, a colour, another picture."""

import os
import pathlib

import numpy as np
import scipy.ndimage
from jaxtyping import UInt8
from PIL import Image, ImageOps

from volsynth.conventions import MAGENTA
from volsynth.errors import UserError, did_you_mean
from volsynth.generation import persons
from volsynth.generation.persons import Person, Square
from volsynth.images import cropping, inpainting, matting, reader

NAMES = ("own", "magenta", "transparent")
"""Anything else is a picture's file."""

GROWN = 0.012
"""Masks are narrower than the edges of persons, by this share of the square around one."""

Background = UInt8[np.ndarray, "H W 3"] | UInt8[np.ndarray, "H W 4"]


def check(background: str) -> None:
    """Whether there is such a background; for those who want to know before pictures are made.

    Raises:
      UserError: it is none of `NAMES` and no file.
    """
    if background not in NAMES and not pathlib.Path(background).is_file():
        raise UserError(
            f"--background {background} is neither a picture's file nor a name; "
            f"{did_you_mean(background, NAMES)}"
        )


def behind(
    background: str,
    image: str | os.PathLike[str],
    mask: str | os.PathLike[str] | None,
    who: Person,
) -> Background:
    """A frame without anybody, as large as the person's picture; four channels if some of it is
    transparent.

    Args:
      background: "own": the picture with the person filled in if there is a mask, else what its
        background is, transparent or magenta; "magenta"; "transparent"; or a picture's file, as
        much of whose middle is taken as has the frame's shape.
      image: the person's picture.
      mask: file, or None.
      who: its person.

    Raises:
      UserError: a file cannot be read.
    """
    check(background)
    height, width = who.frame
    if background not in NAMES:
        picture = Image.fromarray(_opaque(reader.read_rgba(pathlib.Path(background))))
        return np.asarray(ImageOps.fit(picture, (width, height), Image.Resampling.LANCZOS))
    if background == "own":
        picture = reader.read_rgba(image)
        if mask is not None:
            return _without(_opaque(picture), persons.read_picture(image, mask)[1], who)
        background = "transparent" if persons.has_holes(picture) else "magenta"
    if background == "transparent":
        return np.zeros((height, width, 4), np.uint8)
    return np.broadcast_to(np.array(MAGENTA, np.uint8), (height, width, 3))


def _opaque(picture):
    """Without an alpha channel that says nothing."""
    return picture[..., :3] if np.all(picture[..., 3] == 255) else picture


def _without(picture, mask, who):
    """The picture without the person, and with whomever else its mask has."""
    person = cropping.near(mask, who.body.joints[who.body.visible, :2])
    grown = max(round(GROWN * who.square.extent), 2)
    return inpainting.fill(picture, scipy.ndimage.maximum_filter(person, 2 * grown + 1))


def put(image: UInt8[np.ndarray, "S S 3"], square: Square, frame: Background) -> Background:
    """A frame with a generated person, cut from its magenta ground, in its place."""
    return cropping.paste(matting.cut(image, MAGENTA), square.corner, square.extent, frame)


def on_colour(
    frame: Background, colour: tuple[int, int, int] = MAGENTA
) -> UInt8[np.ndarray, "H W 3"]:
    """The frame with a colour where it is transparent."""
    if frame.shape[-1] == 3:
        return frame
    page = Image.new("RGBA", frame.shape[1::-1], (*colour, 255))
    return np.asarray(Image.alpha_composite(page, Image.fromarray(frame)).convert("RGB"))
