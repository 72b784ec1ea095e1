"""Triangle meshes of signed distance fields by surface nets: one vertex in each crossed cell."""

from collections.abc import Callable

import numpy as np

Distance = Callable[[np.ndarray], np.ndarray]
"""A distance field: points [N, 3] to signed distances [N], negative inside."""


def extract(
    distance: Distance, low: np.ndarray, high: np.ndarray, cell: float
) -> tuple[np.ndarray, np.ndarray]:
    """The zero surface of a distance field inside a box.

    Args:
      distance: the distance field.
      low: the smallest corner of the box, [3].
      high: the largest corner, [3]; the surface must not reach it.
      cell: the grid spacing, which is also about the edge length of the result.

    Returns:
      Vertices [V, 3] float64 on the surface, and triangles [T, 3] int32 whose corners run
      counter-clockwise seen from outside.
    """
    counts = np.ceil((np.asarray(high) - low) / cell).astype(int) + 1
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in counts), indexing="ij"), -1)
    values = distance((low + grid * cell).reshape(-1, 3)).reshape(counts)
    sums = np.zeros((*(counts - 1), 3))
    hits = np.zeros(counts - 1)
    faces = []
    for axis in range(3):
        _add_crossings(values, axis, sums, hits)
    # Vertices have the order of their cells, so that the mesh is the same on every machine.
    index = np.full(hits.shape, -1)
    index[hits > 0] = np.arange(np.count_nonzero(hits))
    for axis in range(3):
        faces.append(_faces(values, axis, index))
    # The mean of the crossings lies inside of a curved surface; the steps below put it onto it.
    vertices = low + cell * (sums[hits > 0] / hits[hits > 0][:, None])
    for _ in range(3):
        vertices = _project(distance, vertices, 0.05 * cell)
    quads = np.concatenate(faces)
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    return vertices, triangles.astype(np.int32)


def _add_crossings(values: np.ndarray, axis: int, sums: np.ndarray, hits: np.ndarray) -> None:
    """Adds the crossing of every grid edge along `axis` to the (up to four) cells around it."""
    v = np.moveaxis(values, axis, 0)
    a, b = v[:-1], v[1:]
    at = np.argwhere((a < 0) != (b < 0))
    t = a[tuple(at.T)] / (a[tuple(at.T)] - b[tuple(at.T)])
    crossing = at.astype(float)
    crossing[:, 0] += t
    order = [axis, *(i for i in range(3) if i != axis)]
    crossing_xyz, at_xyz = np.empty_like(crossing), np.empty_like(at)
    crossing_xyz[:, order], at_xyz[:, order] = crossing, at
    for da in (0, 1):
        for db in (0, 1):
            cell = at_xyz.copy()
            cell[:, order[1]] -= da
            cell[:, order[2]] -= db
            ok = np.all((cell >= 0) & (cell < hits.shape), axis=1)
            key = tuple(cell[ok].T)
            # Several crossings fall into one cell, which plain indexing would add only once.
            np.add.at(sums, key, crossing_xyz[ok])
            np.add.at(hits, key, 1.0)


def _faces(values: np.ndarray, axis: int, index: np.ndarray) -> np.ndarray:
    """One quadrilateral [Q, 4] around every crossed grid edge along `axis`."""
    b, c = (axis + 1) % 3, (axis + 2) % 3
    v = np.transpose(values, (axis, b, c))
    cells = np.transpose(index, (axis, b, c))
    at = np.argwhere((v[:-1] < 0) != (v[1:] < 0))
    # Edges on the border of the box have fewer than four cells around them.
    at = at[(at[:, 1] > 0) & (at[:, 2] > 0)]
    at = at[(at[:, 1] < cells.shape[1]) & (at[:, 2] < cells.shape[2])]
    i, j, k = at.T
    quad = np.stack(
        [cells[i, j - 1, k - 1], cells[i, j, k - 1], cells[i, j, k], cells[i, j - 1, k]], 1
    )
    # The order of the corners tells outside from inside, by the direction of the crossing.
    outward = v[i, j, k] < 0
    quad[~outward] = quad[~outward][:, ::-1]
    return quad


def _project(distance: Distance, points: np.ndarray, step: float) -> np.ndarray:
    """Moves every point towards the surface by one Newton step along the gradient."""
    gradient = np.stack(
        [distance(points + e) - distance(points - e) for e in step * np.eye(3)], -1
    ) / (2 * step)
    # Blended fields are flatter than a distance; the bound keeps steps short where they nearly
    # vanish.
    length2 = np.maximum(np.sum(gradient**2, -1), 0.25)
    return points - gradient * (distance(points) / length2)[:, None]
