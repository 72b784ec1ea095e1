"""Slow references in float64 numpy and scipy, written from definitions rather than the code."""

import itertools

import numpy as np
from scipy import ndimage


def similarity_fit(source, target):
    """Scale, rotation, translation after Umeyama 1991, for one pair of [N, 3] point sets."""
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    count = len(source)
    mean_source, mean_target = source.mean(0), target.mean(0)
    covariance = np.zeros((3, 3))
    variance = 0.0
    for x, y in zip(source - mean_source, target - mean_target):
        covariance += np.outer(y, x) / count
        variance += x @ x / count
    u, d, vt = np.linalg.svd(covariance)
    s = np.array([1.0, 1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = u @ np.diag(s) @ vt
    scale = np.sum(d * s) / variance
    return scale, rotation, mean_target - scale * rotation @ mean_source


def random_rotation(rng):
    """A rotation matrix, uniformly distributed: a unit quaternion."""
    w, x, y, z = (q := rng.standard_normal(4)) / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def rotation_about(axis, angle):
    """Rodrigues' formula."""
    x, y, z = np.asarray(axis, np.float64) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def line_voxels(start, end):
    """Every unit voxel that a segment (in voxel units) passes through, as index tuples.

    The segment is cut wherever it crosses a plane between voxels; every piece lies in one voxel.
    """
    start, end = np.asarray(start, np.float64), np.asarray(end, np.float64)
    cuts = [0.0, 1.0]
    for a, b in zip(start, end):
        for plane in range(int(np.ceil(min(a, b))), int(np.floor(max(a, b))) + 1):
            if a != b:
                cuts.append((plane - a) / (b - a))
    cuts = sorted(cuts)
    middles = [(t0 + t1) / 2 for t0, t1 in itertools.pairwise(cuts) if t1 > t0] or [0.5]
    return {tuple(np.floor(start + t * (end - start)).astype(int)) for t in middles}


def draw_and_dilate(lines, shape, in_depth, in_plane):
    """Lines drawn into a volume and dilated, first by 3x3x3 ones and then by 3x3x1 ones.

    The canvas reaches far beyond the volume, so lines outside of it count as well.

    Args:
      lines: pairs of end points, (h, w, d) in voxels.
      shape: (H, W, D) of the result.
      in_depth: how often by 3x3x3.
      in_plane: how often by 3x3x1.
    """
    margin = 2 * max(shape) + in_depth + in_plane
    canvas = np.zeros([n + 2 * margin for n in shape], bool)
    for start, end in lines:
        for voxel in line_voxels(start, end):
            canvas[tuple(np.add(voxel, margin))] = True
    for count, ones in ((in_depth, (3, 3, 3)), (in_plane, (3, 3, 1))):
        if count:
            canvas = ndimage.binary_dilation(canvas, np.ones(ones, bool), iterations=count)
    return canvas[tuple(slice(margin, margin + n) for n in shape)]


def heatmap(joint, shape, side, sigma):
    """One 3D Gaussian, voxel by voxel."""
    result = np.zeros(shape)
    for h, w, d in np.ndindex(*shape):
        centre = (
            (w + 0.5) * side / shape[1],
            (h + 0.5) * side / shape[0],
            (d + 0.5) * side / shape[2],
        )
        squared = sum((a - float(b)) ** 2 for a, b in zip(centre, joint))
        result[h, w, d] = np.exp(-squared / (2 * sigma**2))
    return result


def sample(volume, positions):
    """[N, C] by scipy: linear between centres, zero beyond the border."""
    channels = [
        ndimage.map_coordinates(
            np.asarray(volume[..., c], np.float64),
            np.asarray(positions, np.float64).T,
            order=1,
            mode="grid-constant",
            cval=0,
        )
        for c in range(volume.shape[-1])
    ]
    return np.stack(channels, axis=-1)


def sample_nearest(volume, positions):
    """[N, C]: the voxel that each position lies in, one at a time; zero beyond the border."""
    result = np.zeros((len(positions), volume.shape[-1]))
    for n, position in enumerate(np.asarray(positions, np.float64)):
        index = tuple(int(np.floor(p + 0.5)) for p in position)
        if all(0 <= i < size for i, size in zip(index, volume.shape)):
            result[n] = volume[index]
    return result


def source_positions(matrix, offset, shape, side):
    """The positions that target voxels come from, in source voxels [N, 3], by pixels (x, y, z)."""
    step = np.array([side / n for n in shape])
    positions = []
    for index in np.ndindex(*shape):
        h, w, d = (np.array(index) + 0.5) * step
        x, y, z = np.asarray(matrix, np.float64) @ (w, h, d) + np.asarray(offset, np.float64)
        positions.append(np.array([y, x, z]) / step - 0.5)
    return np.array(positions)


def warp(volume, masks, matrix, offset, valid, side, sample=sample):
    """Masked copies of one [H, W, D, C] volume, each sampled with its own transform; maximum."""
    shape = volume.shape[:3]
    moved = []
    for part in range(len(masks)):
        masked = volume * (masks[part] & valid[part])[..., None]
        positions = source_positions(matrix[part], offset[part], shape, side)
        moved.append(sample(masked, positions).reshape(volume.shape))
    return np.max(moved, axis=0)


def nearest_neighbour(features, target, neighbourhood):
    """Mean over pixels of the smallest L1 distance within a square that stays in the image."""
    features, target = np.asarray(features, np.float64), np.asarray(target, np.float64)
    batch, height, width, _ = features.shape
    radius = neighbourhood // 2
    total = 0.0
    for b, i, j in np.ndindex(batch, height, width):
        rows = range(max(i - radius, 0), min(i + radius + 1, height))
        columns = range(max(j - radius, 0), min(j + radius + 1, width))
        total += min(
            np.abs(features[b, i, j] - target[b, r, c]).sum() for r in rows for c in columns
        )
    return total / (batch * height * width)


def convolution(x, kernel, stride=1, dilation=1):
    """ "SAME" correlation of [B, ..., C] in any number of axes, one kernel tap at a time.

    The output has ceil(n / stride) values an axis; where the padding is odd, the end gets more.
    """
    x, kernel = np.asarray(x, np.float64), np.asarray(kernel, np.float64)
    sizes, taps = x.shape[1:-1], kernel.shape[:-2]
    counts = [-(-n // stride) for n in sizes]
    totals = [
        max((count - 1) * stride + (k - 1) * dilation + 1 - n, 0)
        for count, k, n in zip(counts, taps, sizes)
    ]
    x = np.pad(x, [(0, 0), *((t // 2, t - t // 2) for t in totals), (0, 0)])
    y = np.zeros((x.shape[0], *counts, kernel.shape[-1]))
    for tap in np.ndindex(*taps):
        window = tuple(
            slice(t * dilation, t * dilation + (count - 1) * stride + 1, stride)
            for t, count in zip(tap, counts)
        )
        y += x[(slice(None), *window)] @ kernel[tap]
    return y
