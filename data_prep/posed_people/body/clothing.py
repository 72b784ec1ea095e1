"""What people wear: outfits drawn at random, and the colour of every point of a dressed body.

A garment's pattern is a function of template coordinates only, so that it is sewn to the body and
moves with it; nothing here sees a pose, a camera or a pixel.
"""

from typing import NamedTuple

import numpy as np

from data_prep.posed_people.body import anatomy
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


def smoothstep(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3 - 2 * t)


def pattern_at(fabric: Fabric, across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Colours [N, 3] of a cloth at places (m) across and down the garment."""
    a, b = across / fabric.period, down / fabric.period
    if fabric.pattern == "stripes":
        second = (b % 1.0) < 0.5
    elif fabric.pattern == "pinstripes":
        second = ((a * 2.0) % 1.0) < 0.28
    elif fabric.pattern == "checks":
        second = ((a % 1.0) < 0.5) != ((b % 1.0) < 0.5)
    elif fabric.pattern == "dots":
        row = np.floor(b * 1.2)
        u, v = (a * 1.2 + 0.5 * row) % 1.0 - 0.5, (b * 1.2) % 1.0 - 0.5
        second = u * u + v * v < 0.075
    elif fabric.pattern == "blocks":
        second = down < 1.14
    else:
        second = np.zeros(np.shape(a), bool)
    return np.where(second[..., None], fabric.second, fabric.base)


def mark_covers(mark: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Whether places (m, from its centre; x to the person's left, y up) lie on a chest mark."""
    r = np.hypot(x, y)
    angle = np.arctan2(x, y)
    if mark == "disc":
        return r < 0.058
    if mark == "ring":
        return (r < 0.072) & (r > 0.032)
    if mark == "square":
        return np.maximum(np.abs(x), np.abs(y)) < 0.052
    if mark == "star":
        wedge = np.abs((angle + np.pi / 5) % (2 * np.pi / 5) - np.pi / 5)
        return r * (np.cos(wedge) + 1.1 * np.sin(wedge)) < 0.075
    if mark == "triangle":
        return (y > -0.055) & (np.abs(x) < (0.075 - y) * 0.62)
    if mark == "cross":
        return (np.minimum(np.abs(x), np.abs(y)) < 0.019) & (
            np.maximum(np.abs(x), np.abs(y)) < 0.062
        )
    if mark == "heart":
        return (x / 0.062) ** 2 + (
            (y + 0.012) / 0.055 - 0.75 * np.sqrt(np.abs(x) / 0.062)
        ) ** 2 < 1.0
    return (np.abs(y) < 0.032) & (np.abs(x) < 0.125)


def _limb_coordinates(points: np.ndarray, along: np.ndarray, arm: np.ndarray):
    """Metres across (around the limb) and down (along it), from the template positions."""
    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    down_arm = along * anatomy.UPPER_ARM
    d = anatomy.ARM_DIRECTION
    lateral = (x - anatomy.SHOULDER[0]) * -d[1] + (y - anatomy.SHOULDER[1]) * d[0]
    centre = anatomy.HIP[0] + (anatomy.ANKLE[0] - anatomy.HIP[0]) * (anatomy.HIP[1] - y) / 0.83
    across = np.where(arm, np.arctan2(lateral, z) * 0.048, np.arctan2(x - centre, z) * 0.075)
    return across, np.where(arm, 1.4 - down_arm, y)


def body_colours(person: Person, outfit: Outfit, points, member, along, arm) -> np.ndarray:
    """Colours of the skin piece: trunk, neck, arms and legs.

    Args:
      person: who.
      outfit: wears what.
      points: [N, 3] template positions (m).
      member: [N] trunk 0 to limb 1.
      along: [N] position along the limb.
      arm: [N] bool, whether the nearer limb is an arm.

    Returns:
      [N, 3] RGB, 0 to 255.
    """
    x, y, z = points.T
    limb = member > 0.5
    limb_across, limb_down = _limb_coordinates(points, along, arm)
    across = np.where(limb, limb_across, np.arctan2(x, z) * 0.15)
    down = np.where(limb & arm, limb_down, y)
    colour = np.broadcast_to(person.skin, points.shape).copy()
    on_leg = ~arm & (limb | (y < 1.0))
    sock = on_leg & (along > outfit.sock_height)
    colour[sock] = outfit.sock
    # Up to the hem and beyond: where a top is short, no gap opens at the waist.
    lower = ~arm & ((on_leg & (along < outfit.leg)) | ((y > 0.80) & (y < 1.045)))
    colour[lower] = pattern_at(outfit.bottom_fabric, across[lower], down[lower])
    upper = _covered_by_top(outfit, x, y, z, member, along, arm)
    colour[upper] = pattern_at(outfit.top_fabric, across[upper], down[upper])
    clad = upper | lower
    colour[clad] *= _creases(member[clad], along[clad], across[clad], down[clad])[:, None]
    mark = upper & (z > 0.02) & (member < 0.5)
    mark[mark] = mark_covers(outfit.mark, x[mark], y[mark] - 1.275)
    colour[mark] = outfit.mark_colour
    return colour


def _creases(member, along, across, down) -> np.ndarray:
    """Shade [N] of the folds that cloth keeps around elbows, knees and the waist, near 1."""
    joint = np.where(member > 0.5, np.exp(-(((along - 1.0) / 0.28) ** 2)), 0.0)
    waist = np.where(member > 0.5, 0.0, np.exp(-(((down - 1.03) / 0.09) ** 2)))
    folds = np.sin(120 * down + 45 * across + 1.5 * np.sin(21 * across + 35 * down))
    return 1.0 - (0.11 * joint + 0.06 * waist) * np.maximum(folds, 0.0) ** 2


def _covered_by_top(outfit: Outfit, x, y, z, member, along, arm) -> np.ndarray:
    vee = np.where(z > 0.0, outfit.vee * np.clip(1 - np.abs(x) / 0.08, 0, 1), 0.0)
    opening = np.hypot(x, y - 1.50) < outfit.neckline + vee
    trunk = (y > outfit.hem) & ~opening & (y < 1.53)
    if outfit.top == "sleeveless":
        return trunk & ~(arm & ((member > 0.35) | (np.abs(x) > 0.165)))
    on_arm = arm & (member > 0.5)
    return np.where(on_arm, along < outfit.sleeve, trunk & (arm | (y > outfit.hem)))


def extremity_colours(
    person: Person, outfit: Outfit, points: np.ndarray, foot: np.ndarray
) -> np.ndarray:
    """Colours [N, 3] of hands (skin) and feet (shoes with soles, below a sock)."""
    colour = np.broadcast_to(person.skin, points.shape).copy()
    y, z = points[:, 1], points[:, 2] - anatomy.ANKLE[2]
    colour[foot] = outfit.shoe
    laces = foot & (z > 0.035) & (z < 0.10) & (y > 0.045) & ((z * 70) % 1.0 < 0.5)
    laces &= np.abs(np.abs(points[:, 0]) - anatomy.ANKLE[0]) < 0.018
    sole = (
        np.array([226.0, 226.0, 220.0])
        if np.sum(outfit.shoe) < 500
        else np.array([70.0, 70.0, 74.0])
    )
    colour[laces | (foot & (y < 0.020))] = sole
    collar = foot & (y > 0.082)
    cover = outfit.bottom_fabric.base if outfit.leg > 1.84 else outfit.sock
    colour[collar] = cover
    return colour
