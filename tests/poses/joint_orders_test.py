"""Orders of joints against published index lists, typed in anew, and against a rendered person."""

import numpy as np
import pytest

from data_prep.posed_people import plan
from data_prep.posed_people.rendering import records
from volsynth import skeleton
from volsynth.errors import UserError
from volsynth.poses import joint_orders

# Index in the order, for each of head_top, head, neck, right arm, left arm, right leg, left leg;
# None where it is a mean or derived.
PUBLISHED = {
    "human36m_32": [15, 14, 13, 25, 26, 27, 17, 18, 19, 1, 2, 3, 6, 7, 8],
    "human36m_17": [10, 9, 8, 14, 15, 16, 11, 12, 13, 1, 2, 3, 4, 5, 6],
    "mpi_inf_3dhp_28": [7, 6, 5, 14, 15, 16, 9, 10, 11, 23, 24, 25, 18, 19, 20],
    "mpi_inf_3dhp_17": [0, 16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13],
    "openpose_18": [None, None, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13],
    "openpose_25": [None, None, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14],
    "coco_17": [None, None, None, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15],
    "volsynth_15": list(range(15)),
}
SIZES = {name: int(name.rpartition("_")[2]) for name in PUBLISHED}


def test_every_order_is_tested():
    assert set(joint_orders.ORDERS) == set(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_joints_are_those_of_the_published_lists(name):
    count = SIZES[name]
    joints = np.random.default_rng(0).normal(size=(2, count, 3))
    ours, visible = joint_orders.to_skeleton(joints, np.ones((2, count), bool), name)
    assert visible.all()
    for at, index in enumerate(PUBLISHED[name]):
        if index is not None:
            np.testing.assert_array_equal(ours[:, at], joints[:, index], skeleton.JOINTS[at])


@pytest.mark.parametrize("name", PUBLISHED)
def test_right_and_left_are_told_apart_by_the_orders_own_names(name):
    order = joint_orders.find_order(name)
    mirrored = [
        order.joints.index(
            j.replace("right_", "left_") if j.startswith("right_") else j.replace("left_", "right_")
        )
        for j in order.joints
    ]
    joints = np.random.default_rng(1).normal(size=(SIZES[name], 2))
    seen = np.ones(SIZES[name], bool)
    ours, _ = joint_orders.to_skeleton(joints, seen, name)
    swapped, _ = joint_orders.to_skeleton(joints[mirrored], seen, name)
    np.testing.assert_allclose(swapped, ours[list(skeleton.MIRROR)])


def test_an_invisible_joint_takes_what_needs_it_with_it_and_no_more():
    joints = np.ones((17, 2))
    visible = np.ones(17, bool)
    visible[5] = False  # The left shoulder; the neck is the mean of both.
    _, ours = joint_orders.to_skeleton(joints, visible, "coco_17")
    gone = {skeleton.JOINTS[i] for i in np.flatnonzero(~ours)}
    assert gone == {"left_shoulder", "neck", "head_top"}


@pytest.mark.parametrize(
    ("hidden", "expected"),
    [((), (15.0, 1.0)), ((16,), (20.0, 1.0)), ((17,), (10.0, 1.0)), ((16, 17), (14.0, 2.0))],
)
def test_the_head_is_between_the_ears_or_where_one_ear_or_the_nose_is(hidden, expected):
    joints = np.zeros((18, 2))
    joints[0], joints[16], joints[17] = (14, 2), (10, 1), (20, 1)
    visible = np.ones(18, bool)
    visible[list(hidden)] = False
    ours, known = joint_orders.to_skeleton(joints, visible, "openpose_18")
    assert known[skeleton.INDEX["head"]]
    assert tuple(ours[skeleton.INDEX["head"]]) == expected


def test_a_head_without_a_known_point_is_not_known():
    visible = np.ones(18, bool)
    visible[[0, 16, 17]] = False
    ours, known = joint_orders.to_skeleton(np.ones((18, 2)), visible, "openpose_18")
    assert not known[[skeleton.INDEX["head"], skeleton.INDEX["head_top"]]].any()
    assert not ours[skeleton.INDEX["head_top"]].any()


def test_the_derived_top_of_the_head_is_on_the_line_beyond_the_head():
    joints = np.zeros((18, 3))
    joints[1] = (0, 200, 40)
    ours, _ = joint_orders.to_skeleton(joints, np.ones(18, bool), "openpose_18")
    np.testing.assert_allclose(ours[skeleton.INDEX["head_top"]], (0, -130, -26))


def test_the_derived_top_of_the_head_is_near_that_of_a_body():
    group = next(plan.groups(plan.SIZES["tiny"], "train"))
    batch = records.render_group(group, plan.SIZES["tiny"])
    for _, record in batch.records:
        ours = record["joints_mm"].astype(float)
        coco = np.zeros((18, 3))
        coco[1] = ours[skeleton.INDEX["neck"]]
        coco[16] = coco[17] = ours[skeleton.INDEX["head"]]
        found, _ = joint_orders.to_skeleton(coco, np.ones(18, bool), "openpose_18")
        top = skeleton.INDEX["head_top"]
        assert np.linalg.norm(found[top] - ours[top]) < 60


@pytest.mark.usefixtures("_unchecked")
def test_an_unknown_order_and_a_wrong_number_are_named():
    with pytest.raises(
        UserError, match="no order of joints 'human36_17'; did you mean 'human36m_17"
    ):
        joint_orders.to_skeleton(np.zeros((17, 2)), np.ones(17, bool), "human36_17")
    with pytest.raises(UserError, match=r"openpose_18 has 18 joints, got joints \(17, 2\)"):
        joint_orders.to_skeleton(np.zeros((17, 2)), np.ones(17, bool), "openpose_18")
    with pytest.raises(UserError, match=r"visible \(17,\)"):
        joint_orders.to_skeleton(np.zeros((18, 2)), np.ones(17, bool), "openpose_18")
