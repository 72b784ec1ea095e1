"""Poses given to other bodies, against bodies whose sizes and limbs are known."""

import numpy as np
import pytest

from data_prep.posed_people import library
from data_prep.posed_people.body import kinematics, skinning
from data_prep.posed_people.motion import actions
from volsynth import skeleton
from volsynth.errors import UserError
from volsynth.poses import retargeting
from volsynth.poses.retargeting import Body

ALL = np.ones(15, bool)
SCALES = np.ones((skinning.NUM_BONES, 3))


def body(action="idle", t=0.0, scales=SCALES):
    """A rendered person's joints, mm, facing the camera."""
    joints = kinematics.solve(actions.ACTIONS[action](t, library.STYLE), scales).joints
    return Body(1000.0 * joints * (1, -1, -1), ALL, False)


def flat(of):
    return Body(of.joints * (1, 1, 0), of.visible, True)


def without(of, *names):
    visible = of.visible.copy()
    visible[[skeleton.INDEX[name] for name in names]] = False
    return of._replace(visible=visible, joints=np.where(visible[:, None], of.joints, 1e4))


def bones(joints, limb):
    """Lengths of upper and lower segments, right and left."""
    upper, lower = {"arm": ("shoulder", "elbow"), "leg": ("hip", "knee")}[limb]
    tip = {"arm": "wrist", "leg": "ankle"}[limb]
    at = lambda side, name: joints[skeleton.INDEX[f"{side}_{name}"]]  # noqa: E731
    return [
        np.linalg.norm(at(side, a) - at(side, b))
        for side in ("right", "left")
        for a, b in ((upper, lower), (lower, tip))
    ]


@pytest.mark.parametrize("action", ["idle", "sit", "wave", "kick", "crawl"])
def test_the_average_body_has_the_size_one_in_every_pose(action):
    found = retargeting.body_size(body(action))
    assert abs(found - 1) < 0.02
    assert retargeting.body_size(body(action)._replace(joints=body(action).joints * 0.3)) == (
        pytest.approx(0.3 * found)
    )


def test_a_size_needs_no_depth_where_most_bones_lie_in_the_picture():
    for action in ("idle", "wave", "jumping_jack"):
        assert abs(retargeting.body_size(flat(body(action))) - 1) < 0.06
    # Seen from the side shoulders and hips have no width.
    side = retargeting.turn_body(body(), 90)
    assert abs(retargeting.body_size(flat(side)) - 1) < 0.06


def test_joints_that_are_not_known_have_no_influence_on_a_size():
    assert (
        abs(retargeting.body_size(without(body(), "left_wrist", "head", "right_ankle")) - 1) < 0.02
    )


def test_poses_whose_size_cannot_be_told():
    few = without(body(), *set(skeleton.JOINTS) - {"right_hip", "right_knee", "left_hip"})
    with pytest.raises(UserError, match="3 of 15 joints are known, and too few"):
        retargeting.body_size(few)
    with pytest.raises(UserError, match="lie all in one place"):
        retargeting.body_size(Body(np.ones((15, 3)), ALL, False))


def test_a_body_that_takes_its_own_pose_keeps_it():
    for action in ("idle", "dance"):
        own = body(action)
        np.testing.assert_allclose(retargeting.retarget(own, own).joints, own.joints, atol=15)


def test_limbs_get_the_lengths_of_the_source_and_keep_their_directions():
    scales = SCALES.copy()
    for limb in (2, 3):
        for bone in (3, 5):
            scales[skinning.limb_bone(limb, bone)] *= 1.2
    source = body("idle", scales=scales)
    target = body("kick", 0.5)
    found = retargeting.retarget(target._replace(joints=0.1 * target.joints), source)
    np.testing.assert_allclose(bones(found.joints, "leg"), bones(source.joints, "leg"), rtol=1e-6)
    np.testing.assert_allclose(bones(found.joints, "arm"), bones(source.joints, "arm"), rtol=1e-6)
    for a, b in ((10, 11), (13, 14), (4, 5)):
        wanted, got = (j[b] - j[a] for j in (target.joints, found.joints))
        cosine = wanted @ got / np.linalg.norm(wanted) / np.linalg.norm(got)
        assert cosine > 1 - 1e-9


def test_a_source_seen_on_one_side_has_the_same_limbs_on_the_other():
    source = without(body(), "left_wrist", "left_elbow")
    found = retargeting.retarget(body("wave"), source)
    np.testing.assert_allclose(bones(found.joints, "arm")[2:], bones(source.joints, "arm")[:2])


def test_without_depth_a_pose_is_scaled_as_it_is():
    target = body("wave")
    found = retargeting.retarget(flat(target), body()._replace(joints=2 * body().joints))
    ratio = found.joints[1:, :2] / flat(target).joints[1:, :2]
    assert np.ptp(ratio[np.isfinite(ratio)]) < 1e-9
    assert found.flat
    assert not found.joints[:, 2].any()


def test_what_a_target_lacks_it_lacks():
    target = without(body("wave"), "right_elbow", "left_hip")
    found = retargeting.retarget(target, body())
    np.testing.assert_array_equal(found.visible, target.visible)
    target = without(body("wave"), "right_elbow")
    found = retargeting.retarget(target, body())
    wrist = skeleton.INDEX["right_wrist"]
    np.testing.assert_allclose(found.joints[wrist], body("wave").joints[wrist], atol=25)


def test_a_quarter_turn_to_the_left_shows_the_right_side():
    found = retargeting.turn_body(body(), 90)
    # What pointed at the camera (-z) points to the person's left, which is the picture's right.
    right, left = (found.joints[skeleton.INDEX[f"{side}_shoulder"]] for side in ("right", "left"))
    assert right[2] < left[2]
    ankle, knee = (found.joints[skeleton.INDEX[f"left_{name}"]] for name in ("ankle", "knee"))
    assert knee[0] > ankle[0]
    np.testing.assert_array_equal(found.joints[:, 1], body().joints[:, 1])
    np.testing.assert_array_equal(
        retargeting.turn_body(flat(body()), 0).joints, flat(body()).joints
    )
    with pytest.raises(UserError, match="without depth cannot be turned"):
        retargeting.turn_body(flat(body()), 10)


def test_boxes_hold_rendered_people_and_not_much_more(tiny):
    from volsynth.data import pipeline

    split = tiny.split("train")
    batch = pipeline.evaluation_batches(split, np.array([[n, n] for n in range(12)]), 12)
    batch = next(iter(batch))
    for joints, visible, mask in zip(
        batch["source_joints"], batch["source_visible"], batch["source_mask"]
    ):
        own = Body(joints.astype(float), visible, False)
        low, high = retargeting.bounding_box([own], retargeting.body_size(own))
        rows, columns = np.nonzero(np.reshape(mask, mask.shape[:2]))
        seen_low = np.array([columns.min(), rows.min()])
        seen_high = np.array([columns.max() + 1, rows.max() + 1])
        # Of 32 pixels; hair and skirts may stand out.
        assert np.all(low < seen_low + 1.5)
        assert np.all(high > seen_high - 1.5)
        assert np.all(high - low < (seen_high - seen_low) + 10)


def test_bodies_stand_where_the_source_does():
    source = body()._replace(joints=body().joints * 0.2 + (300, 400, 0))
    target = retargeting.retarget(body("sit"), source)
    shift = retargeting.standing_offset([target], source, 0.2, (1000, 1000))
    moved = target.joints[:, :2] + shift
    assert moved[:, 1].max() == pytest.approx(source.joints[:, 1].max())
    middle = lambda xs: (xs.min() + xs.max()) / 2  # noqa: E731
    assert middle(moved[:, 0]) == pytest.approx(middle(source.joints[:, 0]))


@pytest.mark.parametrize("lacks", [("ankle",), ("knee", "ankle")])
def test_bodies_without_feet_have_their_hips_where_the_source_has_them(lacks):
    source = body()._replace(joints=body().joints * 0.2 + (500, 500, 0))
    target = _without(*lacks)._replace(joints=body().joints * 0.2)
    np.testing.assert_allclose(
        retargeting.standing_offset([target], source, 0.2, (1000, 1000)), (500, 500), atol=1e-9
    )
    # Those of a head and arms come to the lowest joint, for want of another.
    head = _without("hip", "knee", "ankle")._replace(joints=body().joints * 0.2)
    lowest = source.joints[:, 1].max() - head.joints[head.visible, 1].max()
    shift = retargeting.standing_offset([head], source, 0.2, (2000, 1000))
    assert shift[1] == pytest.approx(lowest)


def test_bodies_are_moved_into_the_frame_or_to_its_middle():
    source = body()._replace(joints=body().joints * 0.2 + (40, 400, 0))
    wide = retargeting.retarget(Body(library.joints_of(library._T_POSE), ALL, False), source)
    shift = retargeting.standing_offset([wide], source, 0.2, (1000, 900))
    low, high = retargeting.bounding_box([wide], 0.2)
    np.testing.assert_allclose(low[0] + shift[0], 0, atol=1e-9)
    shift = retargeting.standing_offset([wide], source, 0.2, (100, 100))
    np.testing.assert_allclose((low + high) / 2 + shift, (50, 50))


def _without(*names):
    """A body whose joints of these names are known on neither side."""
    hidden = [name.partition("_")[2] in names for name in skeleton.JOINTS]
    return body()._replace(visible=~np.array(hidden))


@pytest.mark.parametrize(
    ("lacks", "loses"),
    [((), ()), (("ankle",), ("ankle",)), (("knee",), ("knee", "ankle")), (("elbow",), ())],
)
def test_legs_end_where_those_of_the_source_end(lacks, loses):
    found = retargeting.end_legs(body(), _without(*lacks))
    np.testing.assert_array_equal(found.visible, _without(*loses).visible)
    # One leg is enough to know both.
    one = body().visible.copy()
    one[skeleton.INDEX["right_knee"]] = one[skeleton.INDEX["left_ankle"]] = False
    assert retargeting.end_legs(body(), body()._replace(visible=one)).visible.all()


@pytest.mark.parametrize("lacks", [("ankle",), ("knee", "ankle"), ("hip", "knee", "ankle")])
def test_bodies_that_are_cut_off_end_where_the_frame_ends(lacks):
    source = _without(*lacks)._replace(joints=body().joints * 0.2 + (400, 400, 0))
    target = _without(*lacks)._replace(joints=body().joints * 0.2)
    raised = target._replace(joints=target.joints - (0, 30, 0))
    shift = retargeting.cut_off_offset([target, raised], source, 0.2, (500, 1000))
    ends = {1: "right_knee", 2: "right_hip"}.get(len(lacks))
    low = raised.joints[skeleton.INDEX[ends], 1] if ends else raised.joints[raised.visible, 1].max()
    # At the edge in the pose that is highest, and below it in the others.
    assert low + shift[1] == pytest.approx(500, abs=3)
    assert shift[0] == pytest.approx(400)
    # As far as there is room, bodies are moved into the frame.
    shift = retargeting.cut_off_offset([target], source, 0.2, (500, 420))
    _, high = retargeting.bounding_box([target], 0.2)
    assert high[0] + shift[0] == pytest.approx(420)
