"""Random changes of training images and poses: how much is changed, and what is drawn for each.

Turning, shifting and scaling move image, mask and pose together; source and target are moved
independently. Colours change alike in both (Knoche 2019, section 4.1). Occluders cover part of the
picture, for estimators that have to guess what they do not see (Sárándi et al., arXiv 1808.09316).

What happens to a sample is a pure function of the seed, the step and its row of the batch, drawn by
NumPy. `augment_images` then changes the fields of a batch.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from volsynth.errors import UserError, did_you_mean

# The largest value of each setting.
_MOST = {
    "rotate": 180.0,
    "translate": 0.5,
    "scale": 1.0,
    "hue": 0.5,
    "brightness": 1.0,
    "contrast": 1.0,
    "saturation": 1.0,
    "occlude": 1.0,
}

_LARGEST = 1 / 3  # The largest share of the picture that an occluder covers.
_LONGEST = 1 / 0.3  # The largest ratio of an occluder's sides.


@dataclasses.dataclass(frozen=True)
class Augment:
    """The largest changes of a sample; with zero a property stays as it is.

    Attributes:
      rotate: largest turn in the image plane about its centre, to either side, in degrees.
      translate: largest shift along x and along y, to either side, as a share of the image's side.
      scale: images are scaled by factors from 1 / (1 + scale) to 1 + scale, alike along all axes;
        enlarging is as likely as reducing.
      hue: largest turn of the colour circle, to either side, as a share of it.
      brightness: largest change of all values, to either side, as a share of their range.
      contrast: distances from middle grey are multiplied by 1 - contrast to 1 + contrast. It is not
        about the mean of the image, which would give one person two colours in two images.
      saturation: saturations of HSV are multiplied by 1 - saturation to 1 + saturation.
      occlude: probability that an image is partly covered.

    Raises:
      UserError: a value is out of its range.
    """

    rotate: float = 0.0
    translate: float = 0.0
    scale: float = 0.0
    hue: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    occlude: float = 0.0

    def __post_init__(self) -> None:
        for name, most in _MOST.items():
            value = getattr(self, name)
            # Python's booleans are numbers, but True is surely no degree.
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not (number and 0 <= value <= most):
                raise UserError(
                    f"config.data.augment.{name} must lie in [0, {most:g}], 0 for none, "
                    f"got {value!r}."
                )

    @property
    def moves(self) -> bool:
        """Whether poses and the positions of pixels change."""
        return any((self.rotate, self.translate, self.scale))

    @property
    def colours(self) -> bool:
        """Whether the person's colours change."""
        return any((self.hue, self.brightness, self.contrast, self.saturation))

    @property
    def changes(self) -> bool:
        """Whether anything changes."""
        return self.moves or self.colours or self.occlude > 0


NONE = Augment()
"""The settings that change nothing."""


def from_config(data: Any) -> Augment:
    """The settings in the section `data` of a config.

    Raises:
      UserError: a value is out of its range, or its name is unknown.
    """
    section = dict(data["augment"])
    for name in section:
        if name not in _MOST:
            raise UserError(f"config.data.augment has no key {name!r}; {did_you_mean(name, _MOST)}")
    return Augment(**section)


class AugmentParams(NamedTuple):
    """The changes of each of N images; lengths are shares of the image's side.

    Attributes:
      angle: turn in radians, from x towards y, which is clockwise to the eye, [N].
      shift: shift along x and y, after turning and scaling, [N, 2].
      factor: factor of the size, [N].
      hue: turn of the colour circle, where 1 is the whole circle, [N].
      saturation: factor of the saturation, [N].
      contrast: factor of distances from middle grey, [N].
      brightness: addition to all values, where 1 is the whole range, [N].
      covered: whether there is an occluder, bool [N].
      centre: centre of the occluder, x and y, [N, 2].
      extent: half the occluder's width and half its height, [N, 2].
      round: whether the occluder is an ellipse rather than a rectangle, bool [N].
      noisy: whether the occluder is filled with noise rather than one colour, bool [N].
      colour: colour of the occluder in [-1, 1], [N, 3].
      noise: seed of the occluder's noise, int32 [N, 2].
    """

    angle: Any
    shift: Any
    factor: Any
    hue: Any
    saturation: Any
    contrast: Any
    brightness: Any
    covered: Any
    centre: Any
    extent: Any
    round: Any
    noisy: Any
    colour: Any
    noise: Any

    def for_roles(self, roles: Sequence[tuple[int, int]], drawn: int = 2) -> "AugmentParams":
        """The changes of the images of some roles, where N counts those of each role in turn.

        Args:
          roles: for each role, which of those that were drawn it is, from 0 on, and how many images
            an example has of it: the frames of a clip are all changed alike.
          drawn: the number of roles that were drawn, `images` of `draw`.
        """

        def chosen(values):
            parts = np.split(values, drawn)
            return np.concatenate([np.repeat(parts[place], n, axis=0) for place, n in roles])

        return AugmentParams(*map(chosen, self))


_SHARED, _OWN = 4, 16  # The counts of random numbers of an example, and of each of its images.


def draw(
    settings: Augment, seed: int, step: int, rows: Sequence[int], images: int = 2
) -> AugmentParams:
    """Draws the changes of the first images and then of the next in some rows of a step's batch.

    Which rows are asked for together changes nothing: each has a stream of its own, apart from the
    one that pairs are drawn from. What is drawn for one setting does not depend on the others.

    Args:
      settings: the largest changes.
      seed: seed of the run.
      step: number of the step.
      rows: numbers of the rows, counted in the batch of all hosts.
      images: number of images of an example; 2 of pairs, the source and the target.

    Returns:
      The changes of N = images * len(rows) images.
    """
    # All numbers are drawn, whatever the settings: a setting that is switched off must not change
    # what the others get. The counter's last word keeps the streams apart from that of the pairs.
    uniform = np.array(
        [
            np.random.Generator(np.random.Philox(key=[seed, step], counter=[0, 0, row, 1])).random(
                _SHARED + images * _OWN
            )
            for row in rows
        ]
    )
    # The numbers of the colours come once for all images of an example, those of moves for each.
    shared = np.tile(uniform[:, :_SHARED], (images, 1)).T
    own = np.concatenate(np.split(uniform[:, _SHARED:], images, axis=1)).T

    def around(numbers, most):
        return most * (2 * numbers - 1)

    # The area is uniform, and so is the logarithm of the aspect; what does not fit is cut to fit.
    area = _LARGEST * own[5]
    aspect = np.exp(around(own[6], np.log(_LONGEST)))
    is_round = own[9] < 0.5
    box = np.where(is_round, 4 / np.pi, 1) * area
    extent = np.minimum(np.sqrt([box * aspect, box / aspect]), 1) / 2
    return AugmentParams(
        angle=around(own[0], np.radians(settings.rotate)),
        shift=around(own[1:3], settings.translate).T,
        # Uniform in the logarithm: enlarging is as likely as reducing.
        factor=np.exp(around(own[3], np.log1p(settings.scale))),
        hue=around(shared[0], settings.hue),
        saturation=1 + around(shared[1], settings.saturation),
        contrast=1 + around(shared[2], settings.contrast),
        brightness=around(shared[3], settings.brightness),
        covered=own[4] < settings.occlude,
        centre=(extent + own[7:9] * (1 - 2 * extent)).T,
        extent=extent.T,
        round=is_round,
        noisy=own[10] < 0.5,
        colour=around(own[11:14], 1).T,
        # Seeds of TensorFlow's noise are two integers of 32 bits.
        noise=(own[14:16] * 2**31).astype(np.int32).T,
    )


def move_points(points: np.ndarray, params: AugmentParams, side: int) -> np.ndarray:
    """Moves points as `augment_images` moves the images in which they lie.

    Args:
      points: points in pixels, [N, J, 3]; x and y turn, depth is scaled about side / 2.
      params: changes of N images.
      side: side of the images, pixels.

    Returns:
      The points, in the dtype they came in.
    """
    shift = np.pad(params.shift, ((0, 0), (0, 1)))[:, None]
    moved = _turned(points - np.float64(side / 2), params) * params.factor[:, None, None]
    moved += side * (0.5 + shift)
    return moved.astype(points.dtype)


def turn_directions(directions: np.ndarray, params: AugmentParams) -> np.ndarray:
    """Turns directions as `augment_images` turns images; they keep their lengths.

    Args:
      directions: [N, J, 3] in a unit of length, such as joints from the pelvis.
      params: changes of N images.

    Returns:
      The directions, in the dtype they came in.
    """
    return _turned(directions, params).astype(directions.dtype)


def _turned(points, params):
    """Points [N, J, 3], turned in the image plane about the origin, in double precision."""
    cos, sin = np.cos(params.angle), np.sin(params.angle)
    turn = np.moveaxis(np.array([[cos, -sin], [sin, cos]]), -1, 0)
    # In double precision, so that what is turned by nothing stays as it is.
    points = points.astype(np.float64)
    plane = np.einsum("nab,njb->nja", turn, points[..., :2])
    return np.concatenate([plane, points[..., 2:]], axis=-1)
