"""Squares in a picture, turned by any angle: cut out for a network, and its results put back.

Points are (x, y) in pixels of the picture, counted from its top left corner, so that the centre of
the first pixel is (0.5, 0.5).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image


class Region(NamedTuple):
    """A square in a picture, which may reach beyond it.

    Attributes:
      centre: its middle, in pixels of the picture.
      side: its side, in pixels of the picture.
      turn: the angle by which it is turned clockwise, in radians.
    """

    centre: Float[np.ndarray, "2"]
    side: float
    turn: float = 0.0

    @property
    def rotation(self) -> Float[np.ndarray, "2 2"]:
        """The matrix that turns directions in the square to those in the picture."""
        cosine, sine = np.cos(self.turn), np.sin(self.turn)
        return np.array([[cosine, -sine], [sine, cosine]])

    @property
    def corner(self) -> Float[np.ndarray, "2"]:
        """The square's own top left corner, in pixels of the picture."""
        return self.centre - self.rotation @ np.full(2, self.side / 2)

    def to_picture(self, points: Float[np.ndarray, "*N 2"]) -> Float[np.ndarray, "*N 2"]:
        """Maps points from shares of the square's side, in [0, 1], to pixels of the picture."""
        return self.corner + self.side * points @ self.rotation.T


def around(centre: Float[np.ndarray, "2"], top: Float[np.ndarray, "2"], margin: float) -> Region:
    """The square around a circle, turned so that one point of the circle is above the middle.

    Args:
      centre: the middle of the circle.
      top: the point of the circle.
      margin: the side of the square as a multiple of the circle's diameter.
    """
    x, y = top - centre
    return Region(centre, float(2 * margin * np.hypot(x, y)), float(np.arctan2(x, -y)))


def cut(
    picture: UInt8[np.ndarray, "H W 3"], region: Region, side: int
) -> UInt8[np.ndarray, "side side 3"]:
    """Cuts a region out and scales it to a side in pixels; it is black beyond the picture."""
    height, width = picture.shape[:2]
    corners = region.to_picture(np.array([[0, 0], [0, 1], [1, 0], [1, 1.0]]))
    # No more of a large picture than the region's surroundings is gone through.
    low = np.clip(np.floor(corners.min(axis=0)) - 2, 0, (width - 1, height - 1)).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)) + 2, low + 1, (width, height)).astype(int)
    part = Image.fromarray(np.ascontiguousarray(picture[low[1] : high[1], low[0] : high[0]]))
    # Bilinear interpolation alone would skip pixels where it makes the picture much smaller.
    factor = max(int(region.side / side), 1)
    part = part.reduce(factor) if factor > 1 else part
    step = region.rotation * region.side / side / factor
    shift = (region.corner - low) / factor
    return np.asarray(_warped(part, (side, side), step, shift, Image.Resampling.BILINEAR))


def put_back(
    square: Float[np.ndarray, "S S"], region: Region, size: tuple[int, int]
) -> Float[np.ndarray, "H W"]:
    """Puts a square in [0, 1] back to its region of a picture; zero everywhere else.

    Args:
      square: such as a mask.
      region: where it belongs.
      size: the picture's height and width, in pixels.
    """
    step = region.rotation.T * len(square) / region.side
    page = Image.fromarray(square.astype(np.float32))
    made = _warped(page, size[::-1], step, -step @ region.corner, Image.Resampling.BICUBIC)
    # Bicubic interpolation overshoots at edges.
    return np.clip(np.asarray(made), 0, 1)


def _warped(image, size, step, shift, filter_):
    """The image whose pixel at `p` is the given image's at `step @ p + shift`."""
    data = (*step[0], shift[0], *step[1], shift[1])
    return image.transform(size, Image.Transform.AFFINE, data, filter_)
