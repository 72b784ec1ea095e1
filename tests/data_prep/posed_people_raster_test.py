"""The rasteriser against closed forms: a sphere's depth, barycentric weights, coverage."""

import numpy as np
import pytest

from data_prep.posed_people.body import surface
from data_prep.posed_people.rendering import raster

K = np.array([[120.0, 0, 31.0], [0, 118.0, 33.0], [0, 0, 1.0]])
SIZE = 64
CENTRE, RADIUS = np.array([60.0, -40.0, 1500.0]), 300.0


def _sphere(cell=12.0):
    def distance(points):
        return np.linalg.norm(points, axis=-1) - RADIUS

    edge = np.full(3, RADIUS + 3 * cell)
    points, triangles = surface.extract(distance, -edge, edge, cell)
    # Mesh coordinates are right-handed with y up; the camera's have y down and z away.
    return points * [1, -1, -1] + CENTRE, triangles


def _analytic_depth():
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    ray = np.stack([(x - K[0, 2]) / K[0, 0], (y - K[1, 2]) / K[1, 1], np.ones_like(x)], -1)
    a, b = np.sum(ray * ray, -1), ray @ CENTRE
    inside = b * b - a * (CENTRE @ CENTRE - RADIUS**2)
    return np.where(inside > 0, (b - np.sqrt(np.maximum(inside, 0))) / a, 0)


def test_depth_of_a_sphere():
    points, triangles = _sphere()
    hits = raster.rasterize(points, triangles, K, SIZE)
    depth = np.zeros(SIZE * SIZE)
    depth[hits.sample] = hits.depth
    expected = _analytic_depth().ravel()
    both = (depth > 0) & (expected > 0)
    assert np.mean((depth > 0) == (expected > 0)) > 0.99
    assert np.quantile(np.abs(depth - expected)[both], 0.9) < 1.5
    assert np.max(np.abs(depth - expected)[both]) < 40


def test_interpolated_positions_project_to_their_sample():
    points, triangles = _sphere()
    hits = raster.rasterize(points, triangles, K, SIZE)
    where = raster.interpolate(points, triangles, hits)
    y, x = np.divmod(hits.sample, SIZE)
    xy = raster.project(where, K)
    assert np.max(np.abs(xy - np.stack([x + 0.5, y + 0.5], -1))) < 0.02
    np.testing.assert_allclose(where[:, 2], hits.depth, rtol=1e-5)


def test_two_triangles_cover_a_square_once():
    corners = np.array([[-1, -1, 4], [1, -1, 4], [1, 1, 4], [-1, 1, 4]], float)
    triangles = np.array([[0, 2, 1], [0, 3, 2]])
    k = np.array([[40.0, 0, 16], [0, 40.0, 16], [0, 0, 1]])
    first, second = (raster.rasterize(corners, triangles[[i]], k, 32).sample for i in (0, 1))
    assert len(first) + len(second) == 20 * 20
    assert not set(first) & set(second)


@pytest.mark.parametrize("turned", [False, True])
def test_back_faces_are_not_drawn(turned):
    corners = np.array([[-1, -1, 4], [1, -1, 4], [1, 1, 4]], float)
    triangle = np.array([[0, 2, 1]])[:, :: -1 if turned else 1]
    k = np.array([[40.0, 0, 16], [0, 40.0, 16], [0, 0, 1]])
    assert (len(raster.rasterize(corners, triangle, k, 32).sample) == 0) == turned


def test_the_nearer_triangle_wins_whatever_the_order():
    near = np.array([[-1, -1, 4], [1, -1, 4], [1, 1, 4]], float)
    far = near * [1.5, 1.5, 1.5]
    k = np.array([[40.0, 0, 16], [0, 40.0, 16], [0, 0, 1]])
    for points, winner in ((np.concatenate([near, far]), 0), (np.concatenate([far, near]), 1)):
        hits = raster.rasterize(points, np.array([[0, 2, 1], [3, 5, 4]]), k, 32)
        assert set(hits.triangle) == {winner}
        np.testing.assert_allclose(hits.depth, 4.0, rtol=1e-5)
