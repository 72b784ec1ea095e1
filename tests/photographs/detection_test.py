"""Boxes of the detector: which are of one person, which squares show a picture whole."""

import numpy as np
import pytest

from volsynth.photographs import detection
from volsynth.photographs.detection import Detection
from volsynth.photographs.regions import Region
from volsynth.pretrained.blazepose import detector


def _merged_by_loops(boxes, points, scores):
    """The same in plain Python, box by box."""
    left, found = sorted(range(len(boxes)), key=lambda i: -scores[i]), []
    while left:
        best = boxes[left[0]]
        group = []
        for i in left:
            width = min(best[2], boxes[i][2]) - max(best[0], boxes[i][0])
            height = min(best[3], boxes[i][3]) - max(best[1], boxes[i][1])
            common = max(width, 0) * max(height, 0)
            areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (best, boxes[i])]
            if common / (sum(areas) - common) > detection.SAME:
                group.append(i)
        left = [i for i in left if i not in group]
        total = sum(scores[i] for i in group)
        found.append((group, sum(scores[i] * points[i] for i in group) / total))
    return found


def test_boxes_are_merged_as_by_loops():
    rng = np.random.default_rng(0)
    low = rng.random((60, 2))
    boxes = np.concatenate([low, low + rng.uniform(0.1, 0.5, (60, 2))], axis=1)
    points, scores = rng.random((60, 2, 2)), rng.uniform(0.5, 1, 60)
    found = [*detection.merge(boxes, points, scores)]
    wanted = _merged_by_loops(boxes, points, scores)
    assert 3 < len(found) < 60
    assert [[*group] for group, _ in found] == [group for group, _ in wanted]
    for (_, a), (_, b) in zip(found, wanted):
        np.testing.assert_allclose(a, b)


def test_no_boxes_and_boxes_without_area():
    none = np.zeros((0, 4)), np.zeros((0, 2, 2)), np.zeros(0)
    assert [*detection.merge(*none)] == []
    found = detection.merge(np.zeros((3, 4)), np.zeros((3, 2, 2)), np.ones(3))
    assert sorted(i for group, _ in found for i in group) == [0, 1, 2]


def test_anchors_are_the_centres_of_cells():
    anchors = detector.anchors()
    assert anchors.shape == (2254, 2)
    # The first grid's cells are 8 pixels wide, row by row, and have two anchors each.
    np.testing.assert_allclose(anchors[[0, 1, 2, 56]], [[4, 4], [4, 4], [12, 4], [4, 12]])
    np.testing.assert_allclose(anchors[1568], [8, 8])
    np.testing.assert_allclose(anchors[[1960, 1966, -1]], [[16, 16], [48, 16], [208, 208]])


@pytest.mark.parametrize("size", [(1000, 1000), (600, 900), (900, 200), (1, 700)])
def test_squares_cover_the_picture_and_overlap_by_half(size):
    levels = detection.squares(size)
    assert len(levels) == len(detection.SCALES)
    assert sum(map(len, levels)) <= 35
    for scale, found in zip(detection.SCALES, levels):
        for axis, length in ((1, size[0]), (0, size[1])):
            middles = sorted({region.centre[axis] for region in found})
            side = found[0].side
            assert side == pytest.approx(scale * max(size))
            assert middles[0] - side / 2 <= 1e-9
            assert middles[-1] + side / 2 >= length - 1e-9
            assert np.all(np.diff(middles) <= side / 2 + 1e-9)


@pytest.mark.parametrize(("side", "levels"), [(1, 1), (100, 1), (110, 2), (180, 3)])
def test_small_pictures_have_no_smaller_squares(side, levels):
    assert len(detection.squares((side, side // 2 + 1))) == levels


def test_whole_persons_are_told_from_those_that_a_square_cuts_off():
    square = Region(np.array([50.0, 50.0]), 40.0)

    def is_whole(centre, top, size=(200, 200), square=square):
        return detection.is_whole(Detection(1.0, np.array(centre), np.array(top)), square, size)

    assert is_whole([50.0, 50.0], [50.0, 35.0])
    assert not is_whole([50.0, 50.0], [50.0, 20.0])
    # Their feet are as far from the hips as the top is.
    assert not is_whole([50.0, 65.0], [50.0, 45.0])
    assert not is_whole([75.0, 50.0], [75.0, 40.0])
    # Where the picture ends, no square shows more.
    assert is_whole([50.0, 65.0], [50.0, 45.0], size=(70, 200))
    first = Region(np.array([20.0, 20.0]), 40.0)
    assert is_whole([20.0, 5.0], [20.0, 25.0], square=first)
    assert not is_whole([20.0, 35.0], [20.0, 15.0], square=first)


def test_scales_leave_no_size_between_them():
    for larger, smaller in zip(detection.SCALES, detection.SCALES[1:]):
        assert 0.5 * smaller >= 0.3 * larger - 1e-9
