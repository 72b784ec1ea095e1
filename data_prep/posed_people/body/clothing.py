"""The colours of a dressed body: patterns of cloth, marks, skin, shoes.

A garment's pattern is a function of template coordinates only, so that it is sewn to the body and
moves with it; nothing here sees a pose, a camera or a pixel.
"""

import numpy as np

from data_prep.posed_people.body import anatomy
from data_prep.posed_people.body.outfit import Fabric, Outfit
from data_prep.posed_people.body.person import Person


def pattern_at(fabric: Fabric, across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Colours [N, 3] of cloth at places of a garment.

    Args:
      fabric: the cloth.
      across: [N] the places around the garment (m).
      down: [N] the places along it (m).
    """
    a, b = across / fabric.period, down / fabric.period
    if fabric.pattern == "stripes":
        second = (b % 1.0) < 0.5
    elif fabric.pattern == "pinstripes":
        second = ((a * 2.0) % 1.0) < 0.28
    elif fabric.pattern == "checks":
        second = ((a % 1.0) < 0.5) != ((b % 1.0) < 0.5)
    elif fabric.pattern == "dots":
        row = np.floor(b * 1.2)
        # Every second row is shifted by half a dot.
        u, v = (a * 1.2 + 0.5 * row) % 1.0 - 0.5, (b * 1.2) % 1.0 - 0.5
        second = u * u + v * v < 0.075
    elif fabric.pattern == "blocks":
        # Blocks divide at a height of the body, not by the period: a top has two halves.
        second = down < 1.14
    else:
        second = np.zeros(np.shape(a), bool)
    return np.where(second[..., None], fabric.second, fabric.base)


def mark_covers(mark: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Whether places lie on a chest mark.

    Args:
      mark: one of `outfit.MARKS`.
      x: [N] places from the centre of the mark to the person's left (m).
      y: [N] places from the centre upwards (m).
    """
    r = np.hypot(x, y)
    angle = np.arctan2(x, y)
    if mark == "disc":
        return r < 0.058
    if mark == "ring":
        return (r < 0.072) & (r > 0.032)
    if mark == "square":
        return np.maximum(np.abs(x), np.abs(y)) < 0.052
    if mark == "star":
        # A star is one point of it, turned five times.
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


def _limb_coordinates(
    points: np.ndarray, along: np.ndarray, arm: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Metres across (around the limb) and down (along it), by template positions."""
    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    down_arm = along * anatomy.UPPER_ARM
    d = anatomy.ARM_DIRECTION
    lateral = (x - anatomy.SHOULDER[0]) * -d[1] + (y - anatomy.SHOULDER[1]) * d[0]
    centre = anatomy.HIP[0] + (anatomy.ANKLE[0] - anatomy.HIP[0]) * (anatomy.HIP[1] - y) / 0.83
    across = np.where(arm, np.arctan2(lateral, z) * 0.048, np.arctan2(x - centre, z) * 0.075)
    return across, np.where(arm, 1.4 - down_arm, y)


def body_colours(
    person: Person,
    outfit: Outfit,
    points: np.ndarray,
    member: np.ndarray,
    along: np.ndarray,
    arm: np.ndarray,
) -> np.ndarray:
    """Colours of the skin piece: trunk, neck, arms and legs.

    Args:
      person: who wears it.
      outfit: what they wear.
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
    # Angles times a radius, so that patterns have metres as their unit on trunk and limbs.
    across = np.where(limb, limb_across, np.arctan2(x, z) * 0.15)
    down = np.where(limb & arm, limb_down, y)
    # Skin everywhere first; clothes are painted over it from the inside out.
    colour = np.broadcast_to(person.skin, points.shape).copy()
    on_leg = ~arm & (limb | (y < 1.0))
    sock = on_leg & (along > outfit.sock_height)
    colour[sock] = outfit.sock
    # Up to the hem and beyond: where a top is short, no gap opens at the waist.
    lower = ~arm & ((on_leg & (along < outfit.leg)) | ((y > 0.80) & (y < 1.045)))
    colour[lower] = pattern_at(outfit.bottom_fabric, across[lower], down[lower])
    # After what is worn below, since tops hang over trousers.
    upper = _covered_by_top(outfit, x, y, z, member, along, arm)
    colour[upper] = pattern_at(outfit.top_fabric, across[upper], down[upper])
    clad = upper | lower
    colour[clad] *= _creases(member[clad], along[clad], across[clad], down[clad])[:, None]
    # In front of the trunk only: at 0.5 a point belongs to the arm.
    mark = upper & (z > 0.02) & (member < 0.5)
    mark[mark] = mark_covers(outfit.mark, x[mark], y[mark] - 1.275)
    colour[mark] = outfit.mark_colour
    return colour


def _creases(
    member: np.ndarray, along: np.ndarray, across: np.ndarray, down: np.ndarray
) -> np.ndarray:
    """Shade [N], near 1, of the folds that cloth keeps around elbows, knees and the waist."""
    joint = np.where(member > 0.5, np.exp(-(((along - 1.0) / 0.28) ** 2)), 0.0)
    waist = np.where(member > 0.5, 0.0, np.exp(-(((down - 1.03) / 0.09) ** 2)))
    folds = np.sin(120 * down + 45 * across + 1.5 * np.sin(21 * across + 35 * down))
    return 1.0 - (0.11 * joint + 0.06 * waist) * np.maximum(folds, 0.0) ** 2


def _covered_by_top(
    outfit: Outfit,
    x: np.ndarray,
    y: np.ndarray,
    z: np.ndarray,
    member: np.ndarray,
    along: np.ndarray,
    arm: np.ndarray,
) -> np.ndarray:
    """Whether points [N] of the skin are under the top."""
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
    # Soles differ from the shoes, so that the way a foot points can be seen.
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
