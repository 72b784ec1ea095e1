"""Outfits: what a person wears, drawn at random from the person's number."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from data_prep.posed_people.body.person import Person

PALETTE = np.array(
    [
        (200, 34, 40), (232, 108, 28), (242, 196, 36), (120, 180, 48), (24, 128, 72),
        (20, 140, 150), (60, 150, 226), (32, 70, 172), (26, 34, 84), (96, 56, 150),
        (240, 240, 236), (36, 36, 40), (128, 132, 138), (232, 212, 170), (126, 78, 44),
        (122, 24, 44), (244, 166, 150), (160, 206, 232),
    ],
    float,
)  # fmt: skip
"""Distinct colours, none of them near the magenta of the background."""

TROUSER_COLOURS = (7, 8, 11, 12, 13, 14, 4, 0, 17, 10, 3)
"""The numbers, in PALETTE, of the colours that trousers and skirts may have."""

SHOE_COLOURS = np.array(
    [(30, 30, 34), (236, 236, 232), (120, 74, 42), (196, 40, 40), (40, 80, 170), (120, 124, 130)],
    float,
)
"""The colours of shoes (RGB)."""

PATTERNS = ("plain", "stripes", "pinstripes", "checks", "blocks", "dots")
"""The patterns of cloth."""

MARKS = ("disc", "square", "star", "band", "ring", "triangle", "cross", "heart")
"""The marks on the chest; each person in each outfit has one."""

TOPS = ("long", "short", "sleeveless")
"""The kinds of tops, by their sleeves."""

BOTTOMS = ("trousers", "shorts", "skirt", "leggings")

"""The kinds of clothes below the waist."""


class Fabric(NamedTuple):
    """Cloth with a pattern of two colours.

    Attributes:
      pattern: one of PATTERNS.
      base: [3] RGB of the main colour.
      second: [3] RGB of the other colour.
      period: how often the pattern repeats itself (m).
    """

    pattern: str
    base: np.ndarray
    second: np.ndarray
    period: float


class Outfit(NamedTuple):
    """The clothes of one person.

    Attributes:
      top: one of TOPS.
      top_fabric: cloth of the top.
      sleeve: where sleeves end along the arm (1 is the elbow, 2 the wrist).
      neckline: radius (m) of the opening at the neck.
      vee: how far (m) the opening is drawn down in front.
      hem: height (m, template) where the top ends.
      bottom: one of BOTTOMS.
      bottom_fabric: cloth of trousers or skirt; the top's in a dress.
      leg: where trousers, or what is worn under a skirt, end along the leg (1 is the knee).
      skirt: height (m, template) of the skirt's hem.
      flare: how wide the skirt falls, 0 to 1.
      loose: looseness of the clothes, 0 to 1.
      shoe: [3] RGB.
      sock: [3] RGB.
      sock_height: where socks end, along the leg.
      mark: one of MARKS.
      mark_colour: [3] RGB.
    """

    top: str
    top_fabric: Fabric
    sleeve: float
    neckline: float
    vee: float
    hem: float
    bottom: str
    bottom_fabric: Fabric
    leg: float
    skirt: float
    flare: float
    loose: float
    shoe: np.ndarray
    sock: np.ndarray
    sock_height: float
    mark: str
    mark_colour: np.ndarray


def _distinct(rng: np.random.Generator, *others: np.ndarray) -> np.ndarray:
    """Draws a palette colour that is well apart from others.

    The two can then be told apart in a picture of 64 pixels.
    """
    # Distance in RGB; below about 110, two colours look alike in a small picture.
    far = np.min([np.linalg.norm(PALETTE - o, axis=1) for o in others], axis=0) > 110
    return PALETTE[rng.choice(np.flatnonzero(far))]


def _fabric(
    rng: np.random.Generator, base: np.ndarray, chances: Sequence[float], *others: np.ndarray
) -> Fabric:
    """Draws cloth of a main colour; its second colour is apart from it and from others."""
    pattern = str(rng.choice(PATTERNS, p=chances))
    return Fabric(pattern, base, _distinct(rng, base, *others), float(rng.uniform(0.085, 0.15)))


def draw_outfit(person: Person, index: int, seed: int) -> Outfit:
    """Draws outfit 0 ("a") or 1 ("b") of a person, a pure function of its arguments.

    Args:
      person: who wears it; only the number, skin and sex of the person matter.
      index: the number of the outfit.
      seed: the seed of the data set.
    """
    # The order of all draws below is part of the data set: another order would be other clothes.
    rng = np.random.default_rng([seed, 2, person.number, index])
    base = _top_colour(person, index, seed)
    top_fabric = _fabric(rng, base, (0.36, 0.24, 0.06, 0.16, 0.10, 0.08), person.skin)
    chances = (0.42, 0.18, 0.32, 0.08) if person.female else (0.70, 0.30, 0.0, 0.0)
    bottom = str(rng.choice(BOTTOMS, p=chances))
    # A dress is a skirt of the cloth of its top.
    dress = bottom == "skirt" and rng.random() < 0.45
    below = _bottom_colour(rng, person, base)
    # Skirts have a pattern more often than trousers do.
    plain = (
        (0.74, 0.04, 0.06, 0.12, 0.0, 0.04)
        if bottom == "skirt"
        else (0.88, 0.0, 0.06, 0.06, 0.0, 0.0)
    )
    top = str(rng.choice(TOPS, p=(0.36, 0.46, 0.18) if person.female else (0.40, 0.52, 0.08)))
    sleeve = {"long": rng.uniform(1.80, 1.96), "short": rng.uniform(0.45, 0.75), "sleeveless": 0.0}[
        top
    ]
    leg = {
        "trousers": rng.uniform(1.86, 2.0),
        "shorts": rng.uniform(0.50, 0.92),
        # What is worn under the skirt ends high on the thigh.
        "skirt": 0.30,
        "leggings": 1.75,
    }
    return Outfit(
        top=top,
        top_fabric=top_fabric,
        sleeve=float(sleeve),
        neckline=float(rng.uniform(0.075, 0.095)),
        # Long sleeves go with a less open neck.
        vee=float(rng.choice([0.0, 0.03, 0.07]))
        if top != "long"
        else float(rng.choice([0.0, 0.05])),
        # Above a skirt, so that the skirt covers the hem; over trousers it hangs.
        hem=1.03 if bottom == "skirt" else float(rng.uniform(0.90, 0.97)),
        bottom=bottom,
        bottom_fabric=top_fabric if dress else _fabric(rng, below, plain, base),
        leg=float(leg[bottom]),
        skirt=float(rng.uniform(0.44, 0.72)),
        flare=float(rng.uniform(0.1, 1.0)),
        loose=float(rng.uniform(0.1, 1.0)),
        shoe=SHOE_COLOURS[rng.integers(len(SHOE_COLOURS))],
        sock=np.array([(238, 238, 236), (40, 40, 44)][rng.integers(2)], float),
        sock_height=float(rng.uniform(1.80, 1.96)),
        mark=str(rng.choice(MARKS)),
        mark_colour=_distinct(rng, top_fabric.base, top_fabric.second),
    )


def _top_colour(person: Person, index: int, seed: int) -> np.ndarray:
    """The main colour of a top; the two tops of a person never share it."""
    # Random numbers of the person alone: both outfits take from the same order of colours.
    order = np.random.default_rng([seed, 3, person.number]).permutation(len(PALETTE))
    # Cloth in the colour of the skin would look like none.
    seen = np.linalg.norm(PALETTE[order] - person.skin, axis=1) > 95
    return PALETTE[order[seen][index]]


def _bottom_colour(rng: np.random.Generator, person: Person, top: np.ndarray) -> np.ndarray:
    """Draws the colour of what is worn below, apart from the top and from the skin."""
    colour = PALETTE[rng.choice(TROUSER_COLOURS)]
    while min(np.linalg.norm(colour - top), np.linalg.norm(colour - person.skin)) < 90:
        colour = PALETTE[rng.choice(TROUSER_COLOURS)]
    return colour
