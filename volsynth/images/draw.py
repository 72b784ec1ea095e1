"""Pictures for people to look at: skeletons, overlays, PNG files. NumPy and Pillow.

Pictures are uint8 [H, W, 3] RGB. Joints are in pixels of the picture they are drawn on, x right and
y down, the centre of pixel (row i, column j) at (j + 0.5, i + 0.5), z away from the camera. The
person's right is drawn in warm colours, the left in cool ones, head and torso in grey.
"""

import os
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
"""An 8-bit RGB colour."""

WHITE: Colour = (255, 255, 255)
"""The colour of an empty page."""

NEUTRAL: Colour = (125, 125, 130)
"""The colour of head and torso, which belong to neither side of the body."""

INK: Colour = (40, 40, 45)
"""The colour of text, and of the rings around joints."""

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
"""Colours [12, 3] of the background, of the parts in their order, and of the offcut: what of the
person belongs to no part."""
assert len(PART_COLOURS) == NUM_PARTS + 2

# From nothing to most, as ever brighter levels: a print in grey says the same.
_HEAT = np.array([(12, 8, 30), (85, 25, 110), (190, 55, 85), (245, 140, 45), (255, 245, 200)])

_OUTLINE = 0.45
"""Brightness of an outline relative to its limb: dark outlines keep crossing limbs apart."""

_TORSO_ALPHA = 110
"""Opacity of the torso, of 255: limbs behind it shine through."""

_FAR = 16.0
"""The largest coordinate of a joint that is drawn, in picture sides; larger ones are mistakes."""


class _Item(NamedTuple):
    """A shape to draw. Larger depth is further away; of equal depths the smaller rank is.

    Attributes:
      depth: z, in pixels of the picture.
      rank: order of drawing among shapes of equal depth, such as those of poses without depth.
      kind: "torso", "head", "limb" or "joint".
      points: the joints that the shape connects, (x, y) in pixels.
      radius: half the width of a limb, or the radius of a joint's dot, in pixels.
      colour: colour of the shape's inside.
    """

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
      side: side of the picture in pixels.
      background: colour of the square, 8-bit RGB.

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
    image = check_picture("overlay_skeleton", image)
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


def overlay_label(
    image: UInt8[np.ndarray, "H W 3"], text: str, point: Float[np.ndarray, "2"]
) -> UInt8[np.ndarray, "H W 3"]:
    """A copy of a picture with a dark label above a point; it is moved into the picture.

    Raises:
      UserError: the picture is not uint8 RGB.
    """
    image = check_picture("overlay_label", image)
    height, width = image.shape[:2]
    # Readable once the picture fits on a screen, and hardly in the way before.
    size = max(10.0, 0.035 * max(height, width))
    font = ImageFont.load_default(size=size)
    page = Image.fromarray(image.copy())
    across = font.getlength(text) / 2 + 0.3 * size
    x = np.clip(point[0], across, max(width - across, across))
    y = np.clip(point[1] - 1.4 * size, 0, max(height - 1.4 * size, 0))
    pen = ImageDraw.Draw(page)
    pen.rounded_rectangle((x - across, y, x + across, y + 1.3 * size), 0.3 * size, fill=INK)
    pen.text((x, y + 0.65 * size), text, WHITE, font=font, anchor="mm")
    return np.array(page)


def check_picture(caller: str, image: np.ndarray) -> np.ndarray:
    """The picture as an array, if it is uint8 [H, W, 3] and not empty.

    Raises:
      UserError: it is something else; the line begins with `caller`.
    """
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3 or 0 in image.shape:
        raise UserError(
            f"{caller}: a picture must be uint8 [H, W, 3], got {image.dtype} {image.shape}. "
            f"Convert floats in [-1, 1] with to_uint8."
        )
    return image


def _as_pose(joints: np.ndarray, visible: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Joints with depth, zero if they have none, and which of them can be drawn."""
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
    """All shapes to draw, from the farthest to the nearest."""
    xy, z = joints[:, :2], joints[:, 2]
    extent = float(np.linalg.norm(np.ptp(xy[visible], axis=0)))
    # Widths follow the figure, but stay visible on tiny ones and slender beyond the frame.
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
    """The colour of a joint's dot; shoulders and hips have that of the limb at them."""
    limb = name.replace("shoulder", "elbow").replace("hip", "knee")
    return _SIDE_COLOURS.get(limb, NEUTRAL)


def _draw(layer: Image.Image, item: _Item, oversample: int) -> None:
    """Draws a shape on a layer that is `oversample` times as large as the picture."""
    pen = ImageDraw.Draw(layer)
    # Pillow counts from pixel centres, the package from the corner of the picture.
    points = item.points * oversample - 0.5
    radius = item.radius * oversample
    edge = max(0.35 * radius, 0.3 * oversample)
    # Each shape is drawn twice, first darker and larger: what remains of that is its outline.
    dark = tuple(round(_OUTLINE * level) for level in item.colour)
    if item.kind == "torso":
        # A pen replaces pixels, alpha and all; only compositing lets what is below shine through.
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
        _disc(pen, points[0], radius, INK)
        _disc(pen, points[0], 0.6 * radius, item.colour)


def _disc(pen: ImageDraw.ImageDraw, centre: np.ndarray, radius: float, colour: Colour) -> None:
    x, y = centre
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _capsule(pen: ImageDraw.ImageDraw, ends: np.ndarray, radius: float, colour: Colour) -> None:
    """A thick line with round ends; Pillow's own wide lines have square ones."""
    direction = ends[1] - ends[0]
    length = float(np.linalg.norm(direction))
    if length > 0.0:
        normal = np.array([-direction[1], direction[0]]) * (radius / length)
        corners = (ends[0] + normal, ends[1] + normal, ends[1] - normal, ends[0] - normal)
        pen.polygon([tuple(corner) for corner in corners], fill=colour)
    for end in ends:
        _disc(pen, end, radius, colour)


def png_path(path: str | os.PathLike[str]) -> Path:
    """Checks the name of a PNG file to be written, before the picture is made.

    Raises:
      UserError: the name does not end in .png.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise UserError(f"a picture's name must end in .png, got {str(path)!r}.")
    return path


def save_png(path: str | os.PathLike[str], image: Image.Image | UInt8[np.ndarray, "H W 3"]) -> None:
    """Writes a PNG file in one step, so that no partial file remains; makes its folder if needed.

    Raises:
      UserError: the name does not end in .png, or the array is not uint8 RGB.
      OSError: the file cannot be written; what stood there before still does.
    """
    path = png_path(path)
    if not isinstance(image, Image.Image):
        image = Image.fromarray(check_picture("save_png", image))
    files.write_atomically(path, lambda file: image.save(file, format="PNG"))
