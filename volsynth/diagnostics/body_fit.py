"""The match of capsule bodies (`ops.body`) with labelled people, and the best proportions.

Two shares are measured: intersection over union of the bodies' silhouettes with the masks, and the
share of the person's pixels at which the raster, on the body or beside it, has the labelled part.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from PIL import Image

from volsynth import conventions
from volsynth.data import decoding, pipeline, prepared
from volsynth.errors import UserError
from volsynth.images import draw, grids
from volsynth.ops.body import raster
from volsynth.ops.body.capsules import Proportions

FIELDS = tuple(f"target_{kind}" for kind in ("image", "joints", "visible", "mask", "parts"))

STEPS = (0.2, 0.1, 0.05, 0.02)
"""The shares by which a fit changes a proportion, one after the other."""

_BATCH = 128


class People(NamedTuple):
    """Labelled pictures of people, all on the device.

    Attributes:
      image: pictures in [-1, 1].
      joints: pixels.
      visible: which joints are known.
      mask: the person.
      parts: 1 + index of the part that is seen, 0 for background.
    """

    image: Float[Array, "n s s 3"]
    joints: Float[Array, "n j 3"]
    visible: Bool[Array, "n j"]
    mask: Bool[Array, "n s s"]
    parts: Int[Array, "n s s"]


class Match(NamedTuple):
    """The agreement of bodies with people.

    Attributes:
      silhouette_iou: mean intersection over union of the silhouettes.
      right_parts: share of the people's pixels that have the right part.
    """

    silhouette_iou: float
    right_parts: float


def load(split: prepared.Split, count: int, seed: int = 0) -> People:
    """Random records of a split.

    Args:
      split: the split, of a data set with labels of parts.
      count: number of records; at most as many as there are.
      seed: decides which.

    Raises:
      UserError: the data set has no labels of parts.
    """
    rng = np.random.Generator(np.random.Philox(key=[seed, 2]))
    numbers = np.sort(rng.permutation(split.records)[:count])
    if "parts" not in decoding.stored_fields(split, numbers[0]):
        raise UserError(
            "this data set has no labels of parts, which bodies are compared with; "
            "posed_people has them."
        )
    pairs = np.stack([numbers, numbers], axis=1)
    batches = pipeline.evaluation_batches(split, pairs, _BATCH, FIELDS)
    rows = [[batch[name][batch["valid"]] for name in FIELDS] for batch in batches]
    return People(*(jnp.asarray(np.concatenate(column)) for column in zip(*rows)))


def _rows(people, start, count):
    return People(*(values[start : start + count] for values in people))


@jax.jit
def _sums(people: People, proportions: Proportions):
    """IoU of each person, and numbers of right pixels and of pixels."""
    size = people.mask.shape[1]
    body = raster.raster(people.joints, people.visible, (size, size), float(size), proportions)
    inside = body.distance < 0
    both = jnp.sum(inside & people.mask, axis=(1, 2))
    either = jnp.sum(inside | people.mask, axis=(1, 2))
    right = jnp.sum((body.part + 1 == people.parts) & people.mask)
    return both / jnp.maximum(either, 1), right, jnp.sum(people.mask)


def match(people: People, proportions: Proportions) -> Match:
    """The agreement of bodies of some proportions with people."""
    slices = [_rows(people, i, _BATCH) for i in range(0, len(people.mask), _BATCH)]
    ious, right, pixels = zip(*(jax.device_get(_sums(part, proportions)) for part in slices))
    return Match(float(np.concatenate(ious).mean()), float(sum(right) / sum(pixels)))


def fit(
    people: People, start: Proportions, say: Callable[[str], None]
) -> tuple[Proportions, Match]:
    """The proportions whose bodies match people best, found one by one.

    Args:
      people: whom to match.
      start: where to begin.
      say: is told of the progress.

    Returns:
      The proportions with the largest sum of both shares, and these.
    """
    best, found = start, match(people, start)
    for step in STEPS:
        improved = True
        while improved:
            improved = False
            for name in Proportions._fields:
                for factor in (1 + step, 1 / (1 + step)):
                    value = round(getattr(best, name) * factor, 4)
                    other = best._replace(**{name: value})
                    seen = match(people, other)
                    if sum(seen) > sum(found) + 1e-5:
                        best, found, improved = other, seen, True
                        break
            say(
                f"step {step:g}: silhouette IoU {found.silhouette_iou:.4f}, right parts "
                f"{found.right_parts:.4f}"
            )
    return best, found


def sheet(people: People, proportions: Proportions, count: int, cell: int = 192) -> Image.Image:
    """Draws people, their labels, and the parts of their bodies of capsules."""
    size = people.mask.shape[1]
    cells = []
    for i in range(min(count, len(people.mask))):
        one = _rows(people, i, 1)
        body = raster.raster(one.joints, one.visible, (size, size), float(size), proportions)
        shown = np.where(np.asarray(body.distance[0]) < 0, np.asarray(body.part[0]) + 1, 0)
        cells.append(
            [
                conventions.to_uint8(np.asarray(one.image[0])),
                draw.PART_COLOURS[np.asarray(one.parts[0])],
                draw.PART_COLOURS[shown],
            ]
        )
    return grids.grid(cells, ["picture", "parts", "capsules"], cell=cell)
