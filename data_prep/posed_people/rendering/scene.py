"""The room with its four cameras and its light, and the picture that a camera takes of a figure."""

from typing import NamedTuple

import numpy as np

from data_prep.posed_people.body import arithmetic, figure
from data_prep.posed_people.rendering import raster
from volsynth.conventions import MAGENTA

OVERSAMPLING = 2
"""The number of samples that a pixel has along each axis."""

MARGIN = 0.08
"""The free border on each side of the person, as a share of the image's side."""

MAX_PURPLE = 110.0
"""The largest excess of both red and blue over green that a pixel of a person has: more of it would
pass for the magenta of the background."""


class Camera(NamedTuple):
    """A camera: X_cam = R (X_world - t), millimetres; z of the world is up, and its floor z = 0.

    Attributes:
      name: the id of the camera.
      rotation: [3, 3] R, from world to camera axes.
      position: [3] t, the position of the camera (mm).
      focal: focal length in pixels of its 1000 x 1000 sensor.
      centre: [2] principal point (pixels).
    """

    name: str
    rotation: np.ndarray
    position: np.ndarray
    focal: float
    centre: np.ndarray


def _camera(
    name: str, x: float, y: float, z: float, focal: float, centre: tuple[float, float]
) -> Camera:
    """A camera at a place, which looks at the middle of the room at the height of hips."""
    position = np.array([x, y, z])
    forward = np.array([0.0, 0.0, 950.0]) - position
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    return Camera(
        name,
        np.stack([right, np.cross(forward, right), forward]),
        position,
        focal,
        np.array(centre),
    )


CAMERAS = (
    _camera("c0", 3050.0, 3400.0, 1610.0, 1146.2, (507.3, 501.8)),
    _camera("c1", -3250.0, 3650.0, 1450.0, 1143.7, (511.9, 498.4)),
    _camera("c2", 3100.0, -2950.0, 1740.0, 1148.9, (503.6, 505.5)),
    _camera("c3", -3500.0, -3300.0, 1360.0, 1142.1, (498.2, 509.7)),
)
"""The four cameras in the corners of the room."""


class Placement(NamedTuple):
    """The place where a figure stands.

    Attributes:
      position: [2] on the floor (mm).
      heading: the direction it faces (rad, from the x of the world).
    """

    position: np.ndarray
    heading: float


def to_world(points: np.ndarray, placement: Placement) -> np.ndarray:
    """World coordinates (mm) of points [N, 3] in a figure's own frame (m)."""
    c, s = np.cos(placement.heading), np.sin(placement.heading)
    # Columns: where the figure's left, up and forward point in the world.
    axes = np.array([[-s, 0.0, c], [c, 0.0, s], [0.0, 1.0, 0.0]])
    return 1000.0 * arithmetic.transform(points, axes) + np.array([*placement.position, 0.0])


def to_camera(points: np.ndarray, camera: Camera) -> np.ndarray:
    """Camera coordinates [N, 3] of world points [N, 3] (mm)."""
    return arithmetic.transform(points - camera.position, camera.rotation)


def crop_intrinsics(points: np.ndarray, camera: Camera, size: int) -> np.ndarray:
    """Intrinsics [3, 3] of the square of `size` pixels around all camera points [V, 3]."""
    xy = points[:, :2] / points[:, 2:] * camera.focal
    low, high = xy.min(0), xy.max(0)
    scale = size * (1 - 2 * MARGIN) / np.max(high - low)
    # The principal point of the sensor drops out: the crop is centred on the person.
    offset = 0.5 * size - 0.5 * (low + high) * scale
    focal = camera.focal * scale
    return np.array([[focal, 0, offset[0]], [0, focal, offset[1]], [0, 0, 1]]).astype(np.float32)


def vertex_normals(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Area-weighted unit normals [V, 3] of a posed mesh."""
    corners = points[triangles]
    face = arithmetic.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    flat = triangles.T.ravel()
    normals = np.stack(
        # Faster than adding at indices, as `template.normals_of` does: this runs for every image.
        [np.bincount(flat, np.tile(face[:, n], 3), minlength=len(points)) for n in range(3)],
        -1,
    ).astype(np.float32)
    return normals / np.maximum(np.sqrt(np.sum(normals**2, 1, keepdims=True)), 1e-12)


def shade(albedo: np.ndarray, normals: np.ndarray, view: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Lit colours [N, 3]: a key light over the camera's left shoulder, sky light, darker rims.

    Args:
      albedo: [N, 3] RGB, 0 to 255.
      normals: [N, 3] unit normals in camera coordinates.
      view: [N, 3] unit directions towards the camera.
      up: [3] the world's up in camera coordinates.
    """
    key = up * 0.75 + np.array([-0.55, 0.0, -0.75])
    key = (key / np.linalg.norm(key)).astype(np.float32)
    diffuse = np.clip(np.sum(normals * key, -1) * 0.8 + 0.2, 0.0, 1.0)
    sky = 0.5 + 0.5 * np.sum(normals * up, -1)
    facing = np.clip(np.sum(normals * view, -1), 0.0, 1.0)
    # Darker rims set a limb off from a body of the same colour behind it.
    light = (0.30 + 0.16 * sky + 0.62 * diffuse) * (0.62 + 0.38 * np.sqrt(facing))
    return albedo * light[:, None]


class Picture(NamedTuple):
    """A rendered image and its labels, as the fields of the same names in `volsynth.data.schema`.

    Attributes:
      image: [S, S, 3] uint8 RGB, magenta where there is no person.
      mask: [S, S, 1] uint8, 1 where the person is.
      parts: [S, S, 1] uint8, labels of body parts.
      depth: [S, S, 1] uint16, mm.
    """

    image: np.ndarray
    mask: np.ndarray
    parts: np.ndarray
    depth: np.ndarray


def render(
    dressed: figure.Figure,
    points: np.ndarray,
    camera_up: np.ndarray,
    intrinsics: np.ndarray,
    size: int,
    ambient_only: bool = False,
) -> Picture:
    """Draws a figure, with labels.

    Args:
      dressed: the person in an outfit.
      points: [V, 3] its points in camera coordinates (mm).
      camera_up: [3] the world's up in camera coordinates.
      intrinsics: [3, 3] of the image.
      size: side of the image, pixels.
      ambient_only: whether colours are shown without any light, for tests.
    """
    mesh, fine = dressed.mesh, size * OVERSAMPLING
    # Pixel centres lie at half numbers, so that finer samples only scale the intrinsics.
    grid = intrinsics.astype(float) * np.array([[OVERSAMPLING], [OVERSAMPLING], [1.0]])
    hits = raster.rasterize(points, mesh.triangles, grid, fine)
    normals = vertex_normals(points, mesh.triangles)
    attributes = np.concatenate(
        [mesh.points, mesh.member[:, None], mesh.along[:, None], normals], 1, dtype=np.float32
    )
    values = raster.interpolate(attributes, mesh.triangles, hits)
    piece, limb = mesh.piece[hits.triangle], mesh.limb[hits.triangle]
    colour = figure.colours(dressed, piece, limb, values[:, :5])
    if not ambient_only:
        y, x = np.divmod(hits.sample, fine)
        ray = np.stack(
            [(x + 0.5 - grid[0, 2]) / grid[0, 0], (y + 0.5 - grid[1, 2]) / grid[1, 1]], -1
        )
        view = -np.concatenate([ray, np.ones((len(ray), 1))], 1).astype(np.float32)
        view /= np.sqrt(np.sum(view**2, 1, keepdims=True))
        normal = values[:, 5:8]
        # Interpolated normals are shorter than one between vertices.
        normal = normal / np.maximum(np.sqrt(np.sum(normal**2, 1, keepdims=True)), 1e-6)
        colour = shade(colour, normal, view, camera_up.astype(np.float32))
    # Labels and colours come from template coordinates, not from the picture: they are exact.
    label = figure.parts(piece, limb, values[:, :5])
    return _downsample(hits, colour, label, size)


def _downsample(hits: raster.Hits, colour: np.ndarray, label: np.ndarray, size: int) -> Picture:
    """Averages the covered samples of each pixel.

    A pixel of which less than half is covered is background.
    """
    y, x = np.divmod(hits.sample, size * OVERSAMPLING)
    pixel = (y // OVERSAMPLING) * size + x // OVERSAMPLING
    covered = np.bincount(pixel, minlength=size * size)
    # A pixel is all person or all background: magenta must not mix into an edge.
    mask = covered * 2 >= OVERSAMPLING**2
    mean = np.stack([np.bincount(pixel, colour[:, n], minlength=size * size) for n in range(3)], -1)
    mean = np.clip(mean / np.maximum(covered, 1)[:, None], 0, 255)
    purple = np.minimum(mean[:, 0], mean[:, 2]) - MAX_PURPLE
    mean[:, 1] = np.maximum(mean[:, 1], purple)
    image = np.where(mask[:, None], np.round(mean), MAGENTA).astype(np.uint8)
    # Label and depth are those of the pixel's nearest sample: averages of labels mean nothing.
    # From far to near: the last one written to a pixel is the nearest.
    order = np.argsort(-hits.depth, kind="stable")
    nearest = np.zeros(size * size, np.int64)
    nearest[pixel[order]] = order
    parts = np.where(mask, label[nearest], 0).astype(np.uint8)
    depth = np.where(mask, np.round(hits.depth[nearest]), 0).astype(np.uint16)
    shape = (size, size, 1)
    return Picture(
        image.reshape(size, size, 3),
        mask.astype(np.uint8).reshape(shape),
        parts.reshape(shape),
        depth.reshape(shape),
    )
