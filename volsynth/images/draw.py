"""Pictures for people to look at: skeletons, overlays, labelled grids, PNG files. NumPy and Pillow.

Pictures are uint8 [H, W, 3] RGB. Joints are in pixels of the picture they are drawn on, x right and
y down, the centre of pixel (row i, column j) at (j + 0.5, i + 0.5), z away from the camera. The
person's right is drawn in warm colours, the left in cool ones, head and torso in grey.
"""

import os
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from volsynth import files
from volsynth.errors import UserError
from volsynth.skeleton import HIPS, INDEX, JOINTS, LIMBS, NUM_JOINTS, NUM_PARTS, SHOULDERS

Colour = tuple[int, int, int]

WHITE: Colour = (255, 255, 255)
NEUTRAL: Colour = (125, 125, 130)
_INK: Colour = (40, 40, 45)

# Orange against blue is the pair that people with any common colour blindness tell apart. Within a
# side, arm and leg differ in hue and a lower segment is lighter than the upper one.
_SIDE_COLOURS: dict[str, Colour] = {
    "right_elbow": (217, 72, 1),
    "right_wrist": (253, 150, 60),
    "right_knee": (190, 20, 40),
    "right_ankle": (240, 95, 85),
    "left_elbow": (25, 85, 175),
    "left_wrist": (85, 155, 225),
    "left_knee": (0, 115, 120),
    "left_ankle": (60, 180, 175),
}
# Ten colours that are told apart, one per part; what is no part stays dark.
PART_COLOURS = np.array(
    [
        (40, 40, 40),
        (255, 225, 170),
        (160, 160, 160),
        (230, 80, 60),
        (255, 150, 110),
        (50, 110, 220),
        (120, 180, 255),
        (190, 60, 130),
        (245, 140, 190),
        (40, 150, 130),
        (130, 215, 190),
        (70, 70, 85),
    ],
    np.uint8,
)
"""[12, 3]: the background, the parts in their order, and the offcut, which is what no part has."""
assert len(PART_COLOURS) == NUM_PARTS + 2

# From nothing to most, as ever brighter levels: a print in grey says the same.
_HEAT = np.array([(12, 8, 30), (85, 25, 110), (190, 55, 85), (245, 140, 45), (255, 245, 200)])

_OUTLINE = 0.45
"""Brightness of an outline relative to its limb: it keeps crossing limbs apart."""
_TORSO_ALPHA = 110

_FAR = 16.0
"""A joint further than this many picture sides away is not drawn."""


class _Item(NamedTuple):
    """One thing to draw. Larger depth is further away; of equal depths the smaller rank is."""

    depth: float
    rank: int
    kind: str
    points: np.ndarray
    radius: float
    colour: Colour


def heat_image(values: Float[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """Values in [0, 1] as colours from dark to bright; those outside are clipped, NaN becomes 0."""
    levels = np.clip(np.nan_to_num(np.asarray(values, np.float64), nan=0.0), 0.0, 1.0)
    stops = np.linspace(0.0, 1.0, len(_HEAT))
    channels = [np.interp(levels, stops, colours) for colours in _HEAT.T]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


def skeleton_image(
    joints: Float[np.ndarray, "15 C"],
    visible: Bool[np.ndarray, "15"],
    side: int,
    background: Colour = WHITE,
) -> UInt8[np.ndarray, "side side 3"]:
    """A stick figure on a plain square.

    Args:
      joints: (x, y) or (x, y, z) in pixels of the picture; with z, nearer limbs cover farther ones.
      visible: joints that are known; limbs that need another one are left out.
      side: of the picture, in pixels.
      background: 8-bit RGB.

    Raises:
      UserError: an argument has a wrong shape, or the side is not positive.
    """
    if side < 1:
        raise UserError(f"skeleton_image: the side must be at least 1 pixel, got {side}.")
    canvas = np.empty((side, side, 3), np.uint8)
    canvas[:] = background
    return overlay_skeleton(canvas, joints, visible)


def overlay_skeleton(
    image: UInt8[np.ndarray, "H W 3"],
    joints: Float[np.ndarray, "15 C"],
    visible: Bool[np.ndarray, "15"],
) -> UInt8[np.ndarray, "H W 3"]:
    """A copy of a picture with a stick figure on top; see `skeleton_image`.

    Line widths follow the size of the figure. Joints that are not finite or absurdly far outside
    count as not visible.

    Raises:
      UserError: an argument has a wrong shape or dtype.
    """
    image = _as_picture("overlay_skeleton", image)
    joints, visible = _as_pose(joints, visible, max(image.shape[:2]))
    if not visible.any():
        return image.copy()
    height, width = image.shape[:2]
    # Smooth edges matter least, and cost the most memory, in large photographs.
    oversample = int(np.clip(4096 // max(height, width), 1, 4))
    layer = Image.new("RGBA", (width * oversample, height * oversample))
    for item in _items(joints, visible, max(height, width)):
        _draw(layer, item, oversample)
    # Pillow multiplies by alpha before it averages, so edges do not darken.
    layer = layer.reduce(oversample)
    base = Image.fromarray(image).convert("RGBA")
    return np.array(Image.alpha_composite(base, layer).convert("RGB"))


def _as_picture(caller: str, image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3 or 0 in image.shape:
        raise UserError(
            f"{caller}: a picture must be uint8 [H, W, 3], got {image.dtype} {image.shape}. "
            f"Convert floats in [-1, 1] with to_uint8."
        )
    return image


def _as_pose(joints: np.ndarray, visible: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    joints = np.asarray(joints, np.float64)
    visible = np.asarray(visible, bool)
    if joints.shape not in ((NUM_JOINTS, 2), (NUM_JOINTS, 3)):
        raise UserError(f"joints must have shape [{NUM_JOINTS}, 2 or 3], got {joints.shape}.")
    if visible.shape != (NUM_JOINTS,):
        raise UserError(f"visible must have shape [{NUM_JOINTS}], got {visible.shape}.")
    if joints.shape[1] == 2:
        joints = np.concatenate([joints, np.zeros((NUM_JOINTS, 1))], axis=1)
    near = np.abs(np.nan_to_num(joints[:, :2], nan=np.inf)).max(axis=1) < _FAR * side
    return joints, visible & near & np.isfinite(joints[:, 2])


def _items(joints: np.ndarray, visible: np.ndarray, side: int) -> list[_Item]:
    """Everything to draw, back to front."""
    xy, z = joints[:, :2], joints[:, 2]
    extent = float(np.linalg.norm(np.ptp(xy[visible], axis=0)))
    radius = float(np.clip(0.017 * extent, 0.5, 0.025 * max(side, 20)))
    items = []
    dot_depth = z.copy()

    def add(rank: int, kind: str, indices: Sequence[int], radius: float, colour: Colour) -> None:
        indices = list(indices)
        if not visible[indices].all():
            return
        depth = float(dot_depth[indices[0]] if kind == "joint" else z[indices].mean())
        items.append(_Item(depth, rank, kind, xy[indices], radius, colour))
        if kind == "limb":
            # A dot is never hidden by a limb that ends in it.
            dot_depth[indices] = np.minimum(dot_depth[indices], depth)

    right, left = SHOULDERS
    add(0, "torso", (right, left, *reversed(HIPS)), 0.0, NEUTRAL)
    add(1, "head", (INDEX["head_top"], INDEX["head"]), radius, NEUTRAL)
    for a, b in LIMBS:
        # The head's own limb lies inside the disc that stands for it.
        if a != INDEX["head_top"]:
            add(2, "limb", (a, b), radius, _SIDE_COLOURS.get(JOINTS[b], NEUTRAL))
    for joint, name in enumerate(JOINTS):
        add(3, "joint", (joint,), 1.25 * radius, _joint_colour(name))
    return sorted(items, key=lambda item: (-item.depth, item.rank))


def _joint_colour(name: str) -> Colour:
    """Shoulders and hips take the colour of the limb that hangs from them."""
    limb = name.replace("shoulder", "elbow").replace("hip", "knee")
    return _SIDE_COLOURS.get(limb, NEUTRAL)


def _draw(layer: Image.Image, item: _Item, oversample: int) -> None:
    pen = ImageDraw.Draw(layer)
    # Pillow counts from pixel centres, the package from the corner of the picture.
    points = item.points * oversample - 0.5
    radius = item.radius * oversample
    edge = max(0.35 * radius, 0.3 * oversample)
    dark = tuple(round(_OUTLINE * level) for level in item.colour)
    if item.kind == "torso":
        sheet = Image.new("RGBA", layer.size)
        corners = [tuple(point) for point in points]
        ImageDraw.Draw(sheet).polygon(corners, fill=(*NEUTRAL, _TORSO_ALPHA))
        layer.alpha_composite(sheet)
    elif item.kind == "head":
        top, head = points
        size = max(0.62 * float(np.linalg.norm(top - head)), 2.0 * radius)
        centre = (top + head) / 2.0
        _disc(pen, centre, size + edge, dark)
        _disc(pen, centre, size, item.colour)
    elif item.kind == "limb":
        _capsule(pen, points, radius + edge, dark)
        _capsule(pen, points, radius, item.colour)
    else:
        _disc(pen, points[0], radius, _INK)
        _disc(pen, points[0], 0.6 * radius, item.colour)


def _disc(pen: ImageDraw.ImageDraw, centre: np.ndarray, radius: float, colour: Colour) -> None:
    x, y = centre
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _capsule(pen: ImageDraw.ImageDraw, ends: np.ndarray, radius: float, colour: Colour) -> None:
    direction = ends[1] - ends[0]
    length = float(np.linalg.norm(direction))
    if length > 0.0:
        normal = np.array([-direction[1], direction[0]]) * (radius / length)
        corners = (ends[0] + normal, ends[1] + normal, ends[1] - normal, ends[0] - normal)
        pen.polygon([tuple(corner) for corner in corners], fill=colour)
    for end in ends:
        _disc(pen, end, radius, colour)


def grid(
    rows: Sequence[Sequence[UInt8[np.ndarray, "_ _ 3"]]],
    column_titles: Sequence[str],
    row_titles: Sequence[str] | None = None,
    cell: int = 128,
    background: Colour = WHITE,
) -> Image.Image:
    """A table of pictures under column titles and, where given, beside row titles.

    Args:
      rows: pictures of any sizes; each is scaled to fill a square cell, its aspect kept.
      column_titles: one for each picture of a row; wrapped to two lines, then cut short.
      row_titles: one for each row.
      cell: side of a cell in pixels. Cells grow to the largest picture, so none is made smaller.
      background: 8-bit RGB of the page.

    Raises:
      UserError: there are no pictures, the numbers of titles and pictures differ, a picture is not
        uint8 RGB, or the cell is not positive.
    """
    pictures = [[_as_picture("grid", picture) for picture in row] for row in rows]
    _check_table(pictures, column_titles, row_titles, cell)
    cell = max(cell, *(max(picture.shape[:2]) for row in pictures for picture in row))
    font = ImageFont.load_default(size=max(10.0, min(cell / 9, 18.0)))
    line = round(font.getbbox("Ágjp")[3]) + 2
    gap = max(2, round(cell / 24))
    heads = [_wrap(title, font, cell) for title in column_titles]
    sides = [_wrap(title, font, cell) for title in row_titles or ()]
    widest = max((font.getlength(text) for side in sides for text in side), default=0.0)
    left = gap + (int(widest) + gap if sides else 0)
    top = 2 * gap + line * max(len(head) for head in heads)
    pitch = cell + gap
    size = (left + pitch * len(column_titles), top + pitch * len(pictures))
    page = Image.new("RGB", size, background)
    for column, head in enumerate(heads):
        # Titles stand on the pictures: a one-line title is level with the second line of two.
        y = top - gap - line * len(head)
        _write(page, head, (left + pitch * column + cell // 2, y), "ma", font, line)
    for index, side in enumerate(sides):
        y = top + pitch * index + (cell - line * len(side)) // 2
        _write(page, side, (left - gap, y), "ra", font, line)
    for index, row in enumerate(pictures):
        for column, picture in enumerate(row):
            scaled = _fill(picture, cell)
            x = left + pitch * column + (cell - scaled.width) // 2
            page.paste(scaled, (x, top + pitch * index + (cell - scaled.height) // 2))
    return page


def _write(
    page: Image.Image,
    lines: Sequence[str],
    place: tuple[int, int],
    anchor: str,
    font: ImageFont.FreeTypeFont,
    height: int,
) -> None:
    """Writes lines below one another from a place on, dark on a light page and light on a dark."""
    ink = WHITE if sum(page.getpixel((0, 0))) < 3 * 110 else _INK
    pen = ImageDraw.Draw(page)
    for number, text in enumerate(lines):
        pen.text((place[0], place[1] + height * number), text, ink, font=font, anchor=anchor)


def _check_table(
    pictures: Sequence[Sequence[np.ndarray]],
    column_titles: Sequence[str],
    row_titles: Sequence[str] | None,
    cell: int,
) -> None:
    if not pictures or not column_titles:
        raise UserError("grid: there is nothing to show: no rows or no columns.")
    for index, row in enumerate(pictures):
        if len(row) != len(column_titles):
            raise UserError(
                f"grid: row {index} has {len(row)} pictures for {len(column_titles)} column titles."
            )
    if row_titles is not None and len(row_titles) != len(pictures):
        raise UserError(f"grid: {len(row_titles)} row titles for {len(pictures)} rows.")
    if cell < 1:
        raise UserError(f"grid: the cell must be at least 1 pixel, got {cell}.")


def _fill(picture: np.ndarray, cell: int) -> Image.Image:
    """Scales a picture until its longer side fills the cell."""
    image = Image.fromarray(picture)
    longest = max(image.size)
    if cell % longest == 0:
        # A whole factor: every pixel stays what the network made it, a visible square.
        return image.resize(
            (image.width * cell // longest, image.height * cell // longest),
            Image.Resampling.NEAREST,
        )
    size = (max(1, round(edge * cell / longest)) for edge in image.size)
    return image.resize(tuple(size), Image.Resampling.LANCZOS)


def _wrap(title: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """At most two lines that fit the width, the last one cut short with an ellipsis if need be."""
    letters = max(1, int(width / max(font.getlength("n"), 1.0)))
    lines = textwrap.wrap(title, letters) or [""]
    if len(lines) > 2:
        lines = [lines[0], lines[1] + "…"]
    return [_shorten(text, font, width) for text in lines]


def _shorten(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    body = text.removesuffix("…")
    while body and font.getlength(text) > width:
        body = body[:-1]
        text = body + "…"
    return text


def png_path(path: str | os.PathLike[str]) -> Path:
    """The path of a picture, checked; for those who want to know before the picture is made.

    Raises:
      UserError: the name does not end in .png.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise UserError(f"a picture's name must end in .png, got {str(path)!r}.")
    return path


def save_png(path: str | os.PathLike[str], image: Image.Image | UInt8[np.ndarray, "H W 3"]) -> None:
    """Writes a PNG whole or not at all; makes its folder where there is none.

    Raises:
      UserError: the name does not end in .png, or the array is not uint8 RGB.
      OSError: the file cannot be written; what stood there before still does.
    """
    path = png_path(path)
    if not isinstance(image, Image.Image):
        image = Image.fromarray(_as_picture("save_png", image))
    files.write_atomically(path, lambda file: image.save(file, format="PNG"))
