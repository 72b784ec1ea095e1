"""Landmarks moved to the mean of their heat maps, against loops."""

import numpy as np

from volsynth.photographs import landmarks


def _refined_by_loops(point, heat):
    height, width = heat.shape
    column, row = int(point[0] * width // 1), int(point[1] * height // 1)
    if not (0 <= column < width and 0 <= row < height):
        return point
    total = best = 0.0
    mean = np.zeros(2)
    for y in range(max(row - 3, 0), min(row + 4, height)):
        for x in range(max(column - 3, 0), min(column + 4, width)):
            total += heat[y, x]
            best = max(best, heat[y, x])
            mean += heat[y, x] * np.array([x, y])
    return mean / total / (width, height) if best >= 0.5 else point


def test_landmarks_are_refined_as_by_loops():
    rng = np.random.default_rng(0)
    points = rng.uniform(-0.1, 1.1, (200, 2))
    # Half of the maps are never sure.
    heat = rng.random((16, 16, 200)) ** 4 * np.where(np.arange(200) % 2, 1.0, 0.4)
    found = landmarks.refined(points, heat)
    wanted = [_refined_by_loops(points[i], heat[..., i]) for i in range(200)]
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    moved = np.any(found != points, axis=1)
    assert 50 < moved.sum() < 100


def test_probabilities_of_large_logits_are_finite():
    found = landmarks._probability(np.array([-5000.0, 0.0, 5000.0], np.float32))
    np.testing.assert_allclose(found, [0, 0.5, 1], atol=1e-6)
