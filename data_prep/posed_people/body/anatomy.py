"""The template body: its skeleton, and its surface as signed distance fields.

Body coordinates in metres: x to the person's left, y up, z forward, floor at y = 0. The template
stands with its legs apart and its arms lowered by 45 degrees, half way between hanging and raised,
so that no pose is far from it. Right and left are mirror images; the fields describe both at once
by folding x onto the left. All joints below are those of the left side.
"""

import numpy as np
from numpy.typing import ArrayLike

ARM_DIRECTION = np.array([np.sqrt(0.5), -np.sqrt(0.5), 0.0])
"""The direction of the left arm in the template, from shoulder to wrist."""

UPPER_ARM, LOWER_ARM = 0.285, 0.245
"""The lengths of upper arm and forearm (m)."""

# The joints of the left arm and the left leg, and those in the middle of the body (m).
SHOULDER = np.array([0.172, 1.412, -0.012])
ELBOW = SHOULDER + UPPER_ARM * ARM_DIRECTION
WRIST = ELBOW + LOWER_ARM * ARM_DIRECTION
HIP = np.array([0.092, 0.915, 0.0])
KNEE = np.array([0.120, 0.490, 0.004])
ANKLE = np.array([0.142, 0.088, -0.016])
PELVIS = np.array([0.0, 0.950, 0.0])
SPINE = np.array([0.0, 1.120, 0.0])
NECK = np.array([0.0, 1.445, -0.015])
SKULL_BASE = np.array([0.0, 1.560, -0.004])
HEAD = np.array([0.0, 1.640, 0.006])
HEAD_TOP = np.array([0.0, 1.752, -0.004])

_TORSO = np.array(
    [
        (0.780, 0.100, 0.070, -0.010),
        (0.840, 0.158, 0.098, -0.012),
        (0.900, 0.172, 0.112, -0.014),
        (0.980, 0.162, 0.104, -0.006),
        (1.080, 0.140, 0.094, 0.002),
        (1.180, 0.143, 0.098, 0.005),
        (1.280, 0.156, 0.108, 0.004),
        (1.350, 0.163, 0.104, -0.002),
        (1.410, 0.152, 0.082, -0.012),
        (1.450, 0.110, 0.060, -0.018),
        (1.490, 0.050, 0.050, -0.018),
    ]
)
"""Cross-sections of the torso from below upwards (m): height, half width, half depth, forward shift
of the centre."""


def smooth_min(a: np.ndarray, b: np.ndarray, k: float) -> np.ndarray:
    """The smaller of two distances, blended where they differ by less than `k` metres."""
    # The polynomial has no corner where one distance takes over, so that parts flow together.
    h = np.maximum(k - np.abs(a - b), 0.0) / k
    return np.minimum(a, b) - h * h * k * 0.25


def _ellipsoid(points: np.ndarray, centre: ArrayLike, radii: ArrayLike) -> np.ndarray:
    """Distance to an ellipsoid along the axes, to first order near its surface."""
    q = (points - np.asarray(centre)) / np.asarray(radii)
    outer = np.linalg.norm(q, axis=-1)
    inner = np.linalg.norm(q / np.asarray(radii), axis=-1)
    return outer * (outer - 1.0) / np.maximum(inner, 1e-9)


def _cone(
    points: np.ndarray, a: ArrayLike, b: ArrayLike, radius_a: float, radius_b: float
) -> np.ndarray:
    """Distance to a segment from `a` to `b` whose radius changes linearly along it."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    axis = b - a
    t = np.clip((points - a) @ axis / (axis @ axis), 0.0, 1.0)
    reach = np.linalg.norm(points - a - t[..., None] * axis, axis=-1)
    return reach - radius_a - t * (radius_b - radius_a)


def _fold(points: np.ndarray) -> np.ndarray:
    """Points of both sides, brought to the left side."""
    return np.stack([np.abs(points[..., 0]), points[..., 1], points[..., 2]], -1)


def torso_distance(points: np.ndarray) -> np.ndarray:
    """Signed distance [N] (m) of points [N, 3] (m) to the trunk, from pelvis to shoulder line."""
    p = _fold(points)
    y = p[..., 1]
    half_width, half_depth, shift = (np.interp(y, _TORSO[:, 0], _TORSO[:, i]) for i in (1, 2, 3))
    u, v = p[..., 0] / half_width, (p[..., 2] - shift) / half_depth
    # An exponent above 2 squares the section a little: a rib cage is no cylinder.
    radius = (np.abs(u) ** 2.3 + np.abs(v) ** 2.3) ** (1.0 / 2.3)
    d = (radius - 1.0) * np.minimum(half_width, half_depth)
    # The sections end at both heights; without this the torso would go on without end.
    d = np.maximum(d, np.maximum(y - _TORSO[-1, 0], _TORSO[0, 0] - y))
    # The buttocks, then the chest muscles: sections alone are the same in front and behind.
    d = smooth_min(d, _ellipsoid(p, (0.078, 0.885, -0.058), (0.078, 0.085, 0.072)), 0.05)
    return smooth_min(d, _ellipsoid(p, (0.075, 1.325, 0.052), (0.075, 0.065, 0.052)), 0.05)


def neck_distance(points: np.ndarray) -> np.ndarray:
    """Signed distance [N] (m) of points [N, 3] to the neck."""
    p = _fold(points)
    d = _cone(p, (0, 1.44, -0.020), (0, 1.60, 0.000), 0.055, 0.048)
    # The muscle from neck to shoulder, without which the neck stands on a board.
    slope = _cone(p, (0.02, 1.475, -0.025), (0.125, 1.425, -0.020), 0.035, 0.040)
    return smooth_min(d, slope, 0.06)


def arm_distance(points: np.ndarray) -> np.ndarray:
    """Signed distance [N] (m) of points [N, 3] to the nearer arm, without its hand."""
    p = _fold(points)
    belly = SHOULDER + 0.45 * UPPER_ARM * ARM_DIRECTION + np.array([0, 0, 0.006])
    bulk = ELBOW + 0.28 * LOWER_ARM * ARM_DIRECTION
    end = WRIST + 0.02 * ARM_DIRECTION
    d = _cone(p, SHOULDER + 0.008 * ARM_DIRECTION, belly, 0.056, 0.046)
    d = smooth_min(d, _cone(p, belly, ELBOW, 0.046, 0.038), 0.004)
    d = smooth_min(d, _cone(p, ELBOW, bulk, 0.038, 0.040), 0.004)
    return smooth_min(d, _cone(p, bulk, end, 0.040, 0.026), 0.004)


def leg_distance(points: np.ndarray) -> np.ndarray:
    """Signed distance [N] (m) of points [N, 3] to the nearer leg, without its foot."""
    p = _fold(points)
    thigh = HIP + 0.35 * (KNEE - HIP) + np.array([0.004, 0, 0.006])
    calf = KNEE + 0.30 * (ANKLE - KNEE) + np.array([0.002, 0, -0.014])
    d = _cone(p, HIP + np.array([0.004, -0.01, 0]), thigh, 0.086, 0.078)
    d = smooth_min(d, _cone(p, thigh, KNEE, 0.078, 0.054), 0.006)
    d = smooth_min(d, _cone(p, KNEE, calf, 0.054, 0.055), 0.006)
    return smooth_min(d, _cone(p, calf, ANKLE + np.array([0, -0.01, 0]), 0.055, 0.037), 0.006)


def body_distance(points: np.ndarray) -> np.ndarray:
    """Signed distance [N] (m) of points [N, 3] to trunk, neck, arms and legs, as one skin."""
    d = smooth_min(torso_distance(points), neck_distance(points), 0.04)
    d = smooth_min(d, arm_distance(points), 0.035)
    return smooth_min(d, leg_distance(points), 0.030)


def head_distance(points: np.ndarray) -> np.ndarray:
    """Signed distance [N] (m) of points [N, 3] to the head: skull, jaw, nose and ears."""
    p = _fold(points)
    d = _ellipsoid(p, (0, 1.660, -0.012), (0.074, 0.093, 0.094))
    d = smooth_min(d, _ellipsoid(p, (0, 1.607, 0.024), (0.059, 0.082, 0.068)), 0.03)
    d = smooth_min(d, _ellipsoid(p, (0, 1.542, 0.062), (0.028, 0.022, 0.024)), 0.03)
    d = smooth_min(d, _ellipsoid(p, (0.034, 1.606, 0.058), (0.025, 0.030, 0.022)), 0.04)
    # Sockets: pushed in smoothly, which shades the eyes and lets the brow stand out.
    sockets = _ellipsoid(p, (0.034, 1.648, 0.104), (0.020, 0.012, 0.016))
    d = -smooth_min(-d, sockets, 0.012)
    nose = _cone(p, (0, 1.652, 0.086), (0, 1.606, 0.106), 0.008, 0.013)
    d = smooth_min(d, nose, 0.014)
    return smooth_min(d, _ellipsoid(p, (0.075, 1.625, -0.008), (0.010, 0.032, 0.018)), 0.008)


def hand_distance(points: np.ndarray) -> np.ndarray:
    """Signed distance [N] (m) of points [N, 3] to the left hand, in the hand's own frame.

    The wrist is at 0, the fingers point to -y, the palm faces +z and the thumb is at +x.
    """
    d = _ellipsoid(points, (0.002, -0.052, -0.002), (0.040, 0.056, 0.017))
    d = smooth_min(d, _cone(points, (0, 0.02, 0), (0, -0.03, 0), 0.025, 0.023), 0.02)
    # Fingers from index to little finger, slightly bent towards the palm and spread.
    for x, length in ((0.028, 0.062), (0.010, 0.074), (-0.009, 0.068), (-0.026, 0.050)):
        knuckle, bend = (
            np.array([x, -0.092, 0.0]),
            np.array([x * 1.12, -0.092 - 0.6 * length, 0.008]),
        )
        tip = np.array([x * 1.12, -0.092 - length, 0.024])
        d = smooth_min(d, _cone(points, knuckle, bend, 0.0105, 0.0095), 0.006)
        d = smooth_min(d, _cone(points, bend, tip, 0.0095, 0.008), 0.006)
    thumb = smooth_min(
        _cone(points, (0.022, -0.025, 0.004), (0.050, -0.062, 0.016), 0.014, 0.011),
        _cone(points, (0.050, -0.062, 0.016), (0.056, -0.098, 0.024), 0.011, 0.009),
        0.008,
    )
    return smooth_min(d, thumb, 0.012)


def foot_distance(points: np.ndarray) -> np.ndarray:
    """Signed distance [N] (m) of points [N, 3] to the left foot in its shoe.

    The ankle is at 0, the sole at y = -0.088, and the toes point to +z.
    """
    p = points
    d = _cone(p, (0, -0.048, -0.038), (0.004, -0.056, 0.090), 0.038, 0.041)
    d = smooth_min(d, _cone(p, (0.004, -0.060, 0.090), (-0.006, -0.064, 0.152), 0.040, 0.030), 0.03)
    d = smooth_min(d, _cone(p, (0, 0.025, -0.004), (0, -0.040, 0.010), 0.036, 0.040), 0.03)
    # Cut off flat, as a sole is: people stand on it without sinking into the floor.
    return np.maximum(d, -0.088 - p[..., 1])
