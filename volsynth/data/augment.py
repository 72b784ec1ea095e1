"""How training images and poses are changed at random; `pixels` then does it to the images.

Turning, shifting and scaling take image, mask and pose together, of source and target by draws of
their own; colours change alike in both (seed 000, section 4.1). Occluders cover part of the
picture, for estimators that have to guess what they do not see (Sárándi et al., arXiv 1808.09316).

What happens to a sample is a pure function of the seed, the step and its row of the batch, drawn by
NumPy.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from volsynth.errors import UserError, did_you_mean
from volsynth.fields import ROLES

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

_LARGEST = 1 / 3  # Share of the picture that an occluder covers.
_LONGEST = 1 / 0.3  # One side of an occluder over the other.


@dataclasses.dataclass(frozen=True)
class Augment:
    """How much is changed; zero leaves a thing as it is.

    Attributes:
      rotate: degrees in the image plane, about its centre, to either side.
      translate: share of the image's side, along x and along y.
      scale: factors from 1 / (1 + scale) to 1 + scale, of all axes; enlarging is as likely as
        reducing.
      hue: share of the colour circle, to either side.
      brightness: share of the range of values, to either side.
      contrast: distances from middle grey times 1 - contrast to 1 + contrast. It is not about the
        mean of the image, which would give one person two colours in two images.
      saturation: of HSV, times 1 - saturation to 1 + saturation.
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

    def __post_init__(self):
        for name, most in _MOST.items():
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not (number and 0 <= value <= most):
                raise UserError(
                    f"config.data.augment.{name} must lie in [0, {most:g}], 0 for none, "
                    f"got {value!r}."
                )

    @property
    def moves(self) -> bool:
        """Whether poses and the places of pixels change."""
        return any((self.rotate, self.translate, self.scale))

    @property
    def colours(self) -> bool:
        """Whether the person's colours change."""
        return any((self.hue, self.brightness, self.contrast, self.saturation))

    @property
    def changes(self) -> bool:
        """Whether anything does."""
        return self.moves or self.colours or self.occlude > 0


NONE = Augment()


def of_config(data: Mapping[str, Any]) -> Augment:
    """From `config.data`; nothing for configs from before there was an `augment` in it.

    Raises:
      UserError: a value is out of its range, or its name is unknown.
    """
    section = dict(data.get("augment", {}))
    for name in section:
        if name not in _MOST:
            raise UserError(f"config.data.augment has no key {name!r}; {did_you_mean(name, _MOST)}")
    return Augment(**section)


class AugmentParams(NamedTuple):
    """What is done to each of N images; lengths are shares of the image's side.

    Attributes:
      angle: [N] radians, from x towards y, which is clockwise to the eye.
      shift: [N, 2] along x and y, after turning and scaling.
      factor: [N] of size.
      hue: [N] added, where 1 is the whole circle.
      saturation: [N] factor.
      contrast: [N] factor.
      brightness: [N] added, where 1 is the whole range.
      covered: [N] bool, whether there is an occluder.
      centre: [N, 2] of the occluder, x and y.
      extent: [N, 2] half its width and half its height.
      round: [N] bool, an ellipse rather than a rectangle.
      noisy: [N] bool, filled with noise rather than one colour.
      colour: [N, 3] that one colour, in [-1, 1].
      noise: [N, 2] int32, seed of the noise.
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

    def of_roles(self, roles: Sequence[str]) -> "AugmentParams":
        """What is done to the images of some roles, where N counts those of each role in turn."""
        places = [ROLES.index(role) for role in roles]
        return AugmentParams(
            *(np.concatenate([np.split(v, len(ROLES))[place] for place in places]) for v in self)
        )


_SHARED, _OWN = 4, 16  # Random numbers of a pair, and of each of its images.


def draw(settings: Augment, seed: int, step: int, rows: Sequence[int]) -> AugmentParams:
    """What is done to the sources and then to the targets of these rows of a step's batch.

    Which rows are asked for together changes nothing: each has a stream of its own, apart from the
    one that pairs are drawn from. What one setting gives does not depend on the others either.

    Args:
      settings: how much.
      seed: of the run.
      step: whose batch.
      rows: numbers of the rows, counted in the batch of all hosts.

    Returns:
      N = 2 * len(rows).
    """
    uniform = np.array(
        [
            np.random.Generator(np.random.Philox(key=[seed, step], counter=[0, 0, row, 1])).random(
                _SHARED + 2 * _OWN
            )
            for row in rows
        ]
    )
    shared = np.tile(uniform[:, :_SHARED], (2, 1)).T
    own = np.concatenate(np.split(uniform[:, _SHARED:], 2, axis=1)).T

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
        noise=(own[14:16] * 2**31).astype(np.int32).T,
    )


def move_points(points: np.ndarray, params: AugmentParams, side: int) -> np.ndarray:
    """Points moved as `augment_images` moves the images they lie in.

    Args:
      points: [N, J, 3] pixels; x and y turn, depth is scaled about side / 2.
      params: what is done to N images.
      side: of the images, pixels.

    Returns:
      The points, in the dtype they came in.
    """
    shift = np.pad(params.shift, ((0, 0), (0, 1)))[:, None]
    moved = _turned(points - np.float64(side / 2), params) * params.factor[:, None, None]
    moved += side * (0.5 + shift)
    return moved.astype(points.dtype)


def turn_directions(directions: np.ndarray, params: AugmentParams) -> np.ndarray:
    """Directions turned as `augment_images` turns images; they keep their lengths.

    Args:
      directions: [N, J, 3] in a unit of length, such as joints from the pelvis.
      params: what is done to N images.

    Returns:
      The directions, in the dtype they came in.
    """
    return _turned(directions, params).astype(directions.dtype)


def _turned(points, params):
    """Points turned in the image plane about the origin."""
    cos, sin = np.cos(params.angle), np.sin(params.angle)
    turn = np.moveaxis(np.array([[cos, -sin], [sin, cos]]), -1, 0)
    # In double precision, so that what is turned by nothing stays as it is.
    points = points.astype(np.float64)
    plane = np.einsum("nab,njb->nja", turn, points[..., :2])
    return np.concatenate([plane, points[..., 2:]], axis=-1)
