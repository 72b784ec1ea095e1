"""Skirts and long hair, which hang off the body, as thin shells that are seen from both sides."""

import numpy as np

from data_prep.posed_people.body import skinning
from data_prep.posed_people.body.arithmetic import smoothstep
from data_prep.posed_people.body.outfit import Outfit
from data_prep.posed_people.body.person import Person
from data_prep.posed_people.body.skinning import LEFT_LEG, RIGHT_LEG, limb_bone
from data_prep.posed_people.body.template import HAIR, SKIRT, Mesh, make_mesh

AROUND = 28
"""The number of points that a skirt has around the body."""


def _grid_triangles(rows: int, columns: int, closed: bool) -> np.ndarray:
    """Triangles between rows (downwards) of points that run counter-clockwise seen from above."""
    i, j = np.meshgrid(
        np.arange(rows - 1), np.arange(columns if closed else columns - 1), indexing="ij"
    )
    a, b = i * columns + j, i * columns + (j + 1) % columns
    c, d = a + columns, b + columns
    quads = np.stack([a, c, d, b], -1).reshape(-1, 4)
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def _two_sided(
    points: np.ndarray, triangles: np.ndarray, inward: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Adds a second layer, moved inward and turned round.

    The rasteriser draws front faces only, and a shell is seen from both sides.
    """
    both = np.concatenate([points, points + inward])
    return both, np.concatenate([triangles, triangles[:, ::-1] + len(points)])


def skirt(outfit: Outfit) -> Mesh:
    """The skirt of an outfit, in template coordinates."""
    height = np.linspace(1.035, outfit.skirt, 14)
    angle = np.linspace(0, 2 * np.pi, AROUND, endpoint=False)
    fall = np.clip((0.90 - height) / 0.45, 0, 1)
    hip = smoothstep(-height, -1.035, -0.90)
    half_width = 0.163 + 0.035 * hip + (0.035 + 0.07 * outfit.flare) * fall
    half_depth = 0.113 + 0.040 * hip + (0.005 + 0.10 * outfit.flare) * fall
    # Seven folds, deeper the lower and wider the skirt.
    folds = 1 + 0.05 * outfit.flare * fall[:, None] * np.sin(7 * angle)[None]
    x = half_width[:, None] * np.sin(angle)[None] * folds
    z = half_depth[:, None] * np.cos(angle)[None] * folds - 0.012
    y = np.broadcast_to(height[:, None], x.shape)
    points = np.stack([x, y, z], -1).reshape(-1, 3)
    # Inner and outer layer must not lie in one place, where rounding would choose between them.
    inward = -0.006 * np.stack([np.sin(angle), 0 * angle, np.cos(angle)], -1)
    inward = np.tile(inward, (len(height), 1))
    points, triangles = _two_sided(points, _grid_triangles(len(height), AROUND, True), inward)
    return _hang_skirt(points, triangles)


def _hang_skirt(points: np.ndarray, triangles: np.ndarray) -> Mesh:
    """Makes a mesh of a skirt that hangs on pelvis and thighs."""
    x, y = points[:, 0], points[:, 1]
    drop = smoothstep(-y, -0.99, -0.80)
    # In the middle both legs pull, so that a skirt is stretched between them and not torn.
    left = smoothstep(x, -0.10, 0.10)
    weights = np.zeros((len(points), skinning.NUM_BONES))
    weights[:, : skinning.CHEST + 1] = skinning.trunk_weights(points)[:, :3] * (1 - drop[:, None])
    for limb, share in ((RIGHT_LEG, 1 - left), (LEFT_LEG, left)):
        # Long skirts follow the bent knee, but not fully: cloth hangs.
        below = smoothstep(-y, -0.53, -0.40) * 0.8
        half = 1 - smoothstep(-y, -0.90, -0.78)
        weights[:, limb_bone(limb, skinning.HALF_ROOT)] = drop * share * half
        weights[:, limb_bone(limb, skinning.SWING)] = drop * share * (1 - half) * (1 - below)
        weights[:, limb_bone(limb, skinning.HALF_JOINT)] = drop * share * (1 - half) * below
    member = np.where(drop > 0, smoothstep(-y, -0.99, -0.77), 0.0)
    along = np.clip((0.915 - y) / 0.425, 0, 1.99)
    limb = np.where(x > 0, LEFT_LEG, RIGHT_LEG)
    return make_mesh(points, triangles, member, along, weights, SKIRT, limb)


def hair(person: Person) -> Mesh | None:
    """Hair beyond what lies on the skull; None for short styles."""
    style = person.hair_style
    if style in ("bob", "long"):
        return _curtain(1.50 if style == "bob" else 1.26)
    if style == "ponytail":
        return _tail()
    if style == "bun":
        return _ball(np.array([0.0, 1.728, -0.098]), np.array([0.042, 0.040, 0.038]))
    return None


def _hair_weights(points: np.ndarray) -> np.ndarray:
    """Skinning weights [V, NUM_BONES] of hair, which hangs on head, neck and back."""
    lowered = points + np.array([0.0, 0.02, 0.0])
    weights = np.zeros((len(points), skinning.NUM_BONES))
    # As if it were 2 cm higher: long hair follows the head before it follows the back.
    weights[:, :5] = skinning.trunk_weights(lowered)
    return weights


def _as_hair(points: np.ndarray, triangles: np.ndarray) -> Mesh:
    """Makes a mesh of hair."""
    zero = np.zeros(len(points))
    return make_mesh(points, triangles, zero, zero, _hair_weights(points), HAIR, zero)


def _curtain(bottom: float) -> Mesh:
    """Open hair, from the crown down to a height (m), open at the face."""
    height = np.linspace(1.715, bottom, 16)
    reach = np.interp(height, (1.30, 1.42, 1.49, 1.56, 1.66, 1.715), (60, 68, 92, 112, 112, 100))
    angle = np.radians(reach)[:, None] * np.linspace(-1, 1, 22)[None]
    wide = np.interp(
        height, (1.26, 1.40, 1.48, 1.56, 1.66, 1.715), (0.10, 0.108, 0.105, 0.102, 0.097, 0.080)
    )
    deep = np.interp(
        height, (1.26, 1.34, 1.42, 1.52, 1.62, 1.70), (0.136, 0.140, 0.132, 0.112, 0.116, 0.104)
    )
    wavy = 1 + 0.02 * np.sin(angle * 9)
    x, z = wide[:, None] * np.sin(angle) * wavy, -deep[:, None] * np.cos(angle) * wavy - 0.004
    y = np.broadcast_to(height[:, None], x.shape) + 0.012 * np.cos(2 * angle) * (
        height[:, None] < 1.6
    )
    points = np.stack([x, y, z], -1).reshape(-1, 3)
    inward = np.stack([-x, 0 * x, -z], -1).reshape(-1, 3) * 0.10
    # Seen from above the columns run from the right over the back to the left: clockwise.
    triangles = _grid_triangles(*x.shape, False)
    return _as_hair(*_two_sided(points, triangles, inward))


def _tail() -> Mesh:
    """A ponytail."""
    t = np.linspace(0, 1, 12)
    centre = np.stack(
        [0 * t, 1.705 - 0.30 * t**1.3, -0.112 - 0.060 * np.sin(np.pi * np.minimum(t * 1.3, 1))], -1
    )
    radius = 0.034 * np.sin(np.pi * np.clip(0.12 + 0.86 * t, 0, 1)) ** 0.6
    return _as_hair(*_tube(centre, radius, np.array([1.0, 0, 0]), np.array([0, 0, 1.0])))


def _ball(centre: np.ndarray, radii: np.ndarray) -> Mesh:
    """A bun: a tube whose ends are closed."""
    # Not to the poles, where the rings would shrink to a point without normals.
    t = np.linspace(0.02, np.pi - 0.02, 9)
    path = centre + np.stack([0 * t, np.cos(t) * radii[1], 0 * t], -1)
    return _as_hair(
        *_tube(path, np.sin(t) * radii[0], np.array([1.0, 0, 0]), np.array([0, 0, 1.0]))
    )


def _tube(
    centre: np.ndarray, radius: np.ndarray, across: np.ndarray, depth: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A tube around a path [R, 3] that runs downwards."""
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    ring = np.sin(angle)[:, None] * across + np.cos(angle)[:, None] * depth
    points = centre[:, None] + radius[:, None, None] * ring[None]
    return points.reshape(-1, 3), _grid_triangles(len(centre), len(angle), True)
