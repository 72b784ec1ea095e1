"""A z-buffer rasteriser for triangle meshes in NumPy: all rows, then all fragments, in flat passes.

A sample belongs to a triangle if its centre does. Two triangles that share an edge compute its
crossing with a row from the same two numbers in the same order, so there are neither gaps nor
doubly covered samples between them.
"""

from typing import NamedTuple

import numpy as np


class Hits(NamedTuple):
    """The triangles that are visible at the N covered samples, ordered by sample.

    Attributes:
      sample: [N] int64, the number of the sample: row * size + column.
      triangle: [N] int64, the number of the triangle that is seen there.
      depth: [N] float32, along z in the unit of the points.
      corners: [N, 3] float32, weights of the triangle's corners, correct in perspective.
    """

    sample: np.ndarray
    triangle: np.ndarray
    depth: np.ndarray
    corners: np.ndarray


def project(points: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Pixel coordinates [N, 2] of points [N, 3] in camera coordinates."""
    return points[:, :2] / points[:, 2:] * intrinsics[[0, 1], [0, 1]] + intrinsics[:2, 2]


def rasterize(points: np.ndarray, triangles: np.ndarray, intrinsics: np.ndarray, size: int) -> Hits:
    """Finds the nearest triangle that faces the camera at every sample.

    Args:
      points: [V, 3] in camera coordinates, all of them in front of the camera.
      triangles: [T, 3], corners counter-clockwise seen from outside.
      intrinsics: [3, 3] intrinsics of the sample grid.
      size: side of the sample grid, samples.

    Returns:
      The covered samples.
    """
    xyw = np.empty((len(points), 3))
    xyw[:, :2] = project(points, intrinsics)
    # 1/z, not z, is linear over a triangle in the image.
    xyw[:, 2] = 1.0 / points[:, 2]
    x, y = xyw[:, 0], xyw[:, 1]
    i, j, k = triangles.T
    # y points down in the image: what is counter-clockwise from outside has a negative area here.
    area = (x[j] - x[i]) * (y[k] - y[i]) - (x[k] - x[i]) * (y[j] - y[i])
    front = np.flatnonzero(area < -1e-9)
    corners = xyw[triangles[front]]
    row_triangle, row_y, left, right = _rows(corners, size)
    gradient_x, gradient_y = _gradients(corners, area[front])
    sample, fragment_row, column = _fragments(row_y, left, right, size)
    origin = corners[:, 0]
    dx, dy, base = gradient_x[:, 2], gradient_y[:, 2], origin[:, 2]
    at_row = base - origin[:, 0] * dx + (0.5 - origin[:, 1]) * dy
    w_row = at_row[row_triangle] + (row_y * dy[row_triangle]) + 0.5 * dx[row_triangle]
    w = (w_row[fragment_row] + column * dx[row_triangle][fragment_row]).astype(np.float32)
    # Zero is 1/z at an infinite distance: everything is nearer.
    nearest = np.zeros(size * size, np.float32)
    np.maximum.at(nearest, sample, w)
    owner = np.full(size * size, -1, np.int64)
    # Equal to the bit: both sides are the same numbers, rounded once.
    wins = np.flatnonzero(w == nearest[sample])
    owner[sample[wins]] = row_triangle[fragment_row[wins]]
    hit = np.flatnonzero(owner >= 0)
    return _resolve(hit, owner[hit], corners, gradient_x, gradient_y, front, size)


def _rows(corners: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """All sample rows of all triangles: triangle, row, and where in x the row begins and ends."""
    # Stable, so that corners of one height keep their order on every machine.
    order = np.argsort(corners[:, :, 1], axis=1, kind="stable")
    top, mid, low = (corners[np.arange(len(corners)), order[:, n]] for n in range(3))
    first = np.clip(np.ceil(top[:, 1] - 0.5), 0, size).astype(np.int64)
    last = np.clip(np.ceil(low[:, 1] - 0.5), 0, size).astype(np.int64)
    count = last - first
    triangle = np.repeat(np.arange(len(corners)), count)
    row = np.arange(len(triangle)) - np.repeat(np.cumsum(count) - count, count) + first[triangle]
    # A level edge has no slope; no row crosses it, and the value is never used.
    with np.errstate(divide="ignore", invalid="ignore"):
        long = (low[:, 0] - top[:, 0]) / (low[:, 1] - top[:, 1])
        upper = (mid[:, 0] - top[:, 0]) / (mid[:, 1] - top[:, 1])
        lower = (low[:, 0] - mid[:, 0]) / (low[:, 1] - mid[:, 1])
    y = row + 0.5
    above = y < mid[triangle, 1]
    start = np.where(above[:, None], top[triangle, :2], mid[triangle, :2])
    slope = np.where(above, upper[triangle], lower[triangle])
    a = top[triangle, 0] + (y - top[triangle, 1]) * long[triangle]
    b = start[:, 0] + (y - start[:, 1]) * slope
    return triangle, row, np.minimum(a, b), np.maximum(a, b)


def _fragments(
    row_y: np.ndarray, left: np.ndarray, right: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Expands rows into samples: number of the sample, its row in the list of rows, its column."""
    first = np.clip(np.ceil(left - 0.5), 0, size).astype(np.int64)
    last = np.clip(np.ceil(right - 0.5), 0, size).astype(np.int64)
    count = last - first
    row = np.repeat(np.arange(len(row_y)), count)
    column = np.arange(len(row)) + (first - np.cumsum(count) + count)[row]
    return row_y[row] * size + column, row, column


def _gradients(corners: np.ndarray, area: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Change per sample, rightwards and downwards, of corner weights 1 and 2 and 1/z: [T, 3]."""
    e1, e2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    x = np.stack([e2[:, 1], -e1[:, 1], e1[:, 2] * e2[:, 1] - e2[:, 2] * e1[:, 1]], -1)
    y = np.stack([-e2[:, 0], e1[:, 0], e2[:, 2] * e1[:, 0] - e1[:, 2] * e2[:, 0]], -1)
    return x / area[:, None], y / area[:, None]


def _resolve(
    hit: np.ndarray,
    owner: np.ndarray,
    corners: np.ndarray,
    gradient_x: np.ndarray,
    gradient_y: np.ndarray,
    front: np.ndarray,
    size: int,
) -> Hits:
    """Depth and corner weights at the covered samples."""
    y, x = np.divmod(hit, size)
    dx = (x + 0.5 - corners[owner, 0, 0]).astype(np.float32)
    dy = (y + 0.5 - corners[owner, 0, 1]).astype(np.float32)
    # Rounding, and slivers, can put a sample slightly outside: clamp, so that weights stay convex.
    b1, b2 = (
        np.clip(
            dx * gradient_x[:, n].astype(np.float32)[owner]
            + dy * gradient_y[:, n].astype(np.float32)[owner],
            0.0,
            1.0,
        )
        for n in (0, 1)
    )
    flat = np.stack([np.maximum(1.0 - b1 - b2, 0.0), b1, b2], -1)
    # Weights are linear in the image after division by z; dividing by their sum brings them back.
    w = flat * corners[:, :, 2].astype(np.float32)[owner]
    total = np.sum(w, -1)
    depth = np.sum(flat, -1) / total
    return Hits(hit, front[owner], depth, w / total[:, None])


def interpolate(attributes: np.ndarray, triangles: np.ndarray, hits: Hits) -> np.ndarray:
    """Values [N, K] of vertex attributes [V, K] at the covered samples."""
    corners = triangles[hits.triangle]
    weights = hits.corners
    # Three sums instead of a product of arrays [N, 3, K], which takes three times the memory.
    values = attributes[corners[:, 0]] * weights[:, :1]
    values += attributes[corners[:, 1]] * weights[:, 1:2]
    values += attributes[corners[:, 2]] * weights[:, 2:]
    return values
