"""Outfits: what a person wears, drawn at random from the person's number."""

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
SHOE_COLOURS = np.array(
    [(30, 30, 34), (236, 236, 232), (120, 74, 42), (196, 40, 40), (40, 80, 170), (120, 124, 130)],
    float,
)
PATTERNS = ("plain", "stripes", "pinstripes", "checks", "blocks", "dots")
MARKS = ("disc", "square", "star", "band", "ring", "triangle", "cross", "heart")
TOPS = ("long", "short", "sleeveless")
BOTTOMS = ("trousers", "shorts", "skirt", "leggings")


class Fabric(NamedTuple):
    """A pattern of two colours [3] RGB with a period in metres."""

    pattern: str
    base: np.ndarray
    second: np.ndarray
    period: float


class Outfit(NamedTuple):
    """Clothes of one person.

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
    """A palette colour well apart from others, so that the two can be told apart at 64 pixels."""
    far = np.min([np.linalg.norm(PALETTE - o, axis=1) for o in others], axis=0) > 110
    return PALETTE[rng.choice(np.flatnonzero(far))]


def _fabric(rng: np.random.Generator, base: np.ndarray, chances, *others: np.ndarray) -> Fabric:
    pattern = str(rng.choice(PATTERNS, p=chances))
    return Fabric(pattern, base, _distinct(rng, base, *others), float(rng.uniform(0.085, 0.15)))


def draw_outfit(person: Person, index: int, seed: int) -> Outfit:
    """Outfit 0 ("a") or 1 ("b") of a person: a pure function of (person's number, index, seed)."""
    rng = np.random.default_rng([seed, 2, person.number, index])
    # The two tops of a person never share their main colour.
    order = np.random.default_rng([seed, 3, person.number]).permutation(len(PALETTE))
    # Cloth in the colour of the skin would look like none.
    seen = np.linalg.norm(PALETTE[order] - person.skin, axis=1) > 95
    base = PALETTE[order[seen][index]]
    top_fabric = _fabric(rng, base, (0.36, 0.24, 0.06, 0.16, 0.10, 0.08), person.skin)
    chances = (0.42, 0.18, 0.32, 0.08) if person.female else (0.70, 0.30, 0.0, 0.0)
    bottom = str(rng.choice(BOTTOMS, p=chances))
    dress = bottom == "skirt" and rng.random() < 0.45
    below = PALETTE[rng.choice(TROUSER_COLOURS)]
    while min(np.linalg.norm(below - base), np.linalg.norm(below - person.skin)) < 90:
        below = PALETTE[rng.choice(TROUSER_COLOURS)]
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
        "skirt": 0.30,
        "leggings": 1.75,
    }
    return Outfit(
        top=top,
        top_fabric=top_fabric,
        sleeve=float(sleeve),
        neckline=float(rng.uniform(0.075, 0.095)),
        vee=float(rng.choice([0.0, 0.03, 0.07]))
        if top != "long"
        else float(rng.choice([0.0, 0.05])),
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
