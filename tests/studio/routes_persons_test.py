"""The studio's server: pictures, guesses of poses and persons as a page asks for them."""

import numpy as np
import own_pictures
import pytest
from PIL import Image
from visiting import joints_of, named, pixels, png

from volsynth.generation import estimation, persons
from volsynth.generation.bodies import to_body
from volsynth.generation.source import Source
from volsynth.images import cropping
from volsynth.poses import pose_library, retargeting
from volsynth.skeleton import HIPS, INDEX

# --- pictures ------------------------------------------------------------------------------------


def test_a_guess_stands_in_the_persons_box_and_has_depth(visit, brought):
    file, _, mask = brought
    page = visit()
    found = page.post("/picture", file.read_bytes()).json()
    assert (found["width"], found["height"], found["background"]) == (120, 160, "known")
    px, mm = (np.array(found["pose"][key]) for key in ("joints_px", "joints_mm"))
    assert found["pose"]["from"] == "guess"
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    # Head and feet reach beyond their joints.
    assert rows[0] < px[:, 1].min() < rows[0] + 0.12 * np.ptp(rows)
    assert rows[-1] > px[:, 1].max() > rows[-1] - 0.12 * np.ptp(rows)
    assert (px[:, 0].min() + px[:, 0].max()) / 2 == pytest.approx(columns[[0, -1]].mean(), abs=1)
    standing = named("standing")
    np.testing.assert_allclose(mm, standing - standing[list(HIPS)].mean(axis=0), atol=0.06)
    scale = np.ptp(px[:, 1]) / np.ptp(mm[:, 1])
    np.testing.assert_allclose(px - px[0], (mm - mm[0])[:, :2] * scale, atol=0.2)
    answer = page.post("/person", {"picture": found["picture"], "joints_px": px.tolist(),
                                   "joints_mm": mm.tolist()})  # fmt: skip
    assert answer.status_code == 201
    assert not answer.json()["flat"]


def test_a_guess_of_whoever_stands_at_the_edge_stays_in_the_picture():
    mask = np.zeros((100, 40), bool)
    mask[5:100, 38:40] = True
    pose = estimation.guess_pose(mask, "x")
    assert pose.joints_px.min() >= 0
    assert np.all(pose.joints_px <= (40, 100))


def test_an_estimator_finds_the_pose_at_the_edge_at_most(visit, brought):
    side, rng = own_pictures.SIDE, np.random.default_rng(0)
    px, mm = rng.uniform(-9, side, (15, 2)), rng.normal(0, 300, (15, 3))
    page = visit(estimator=own_pictures.finder(px, mm))
    assert page.get("/about").json()["estimator"] is True
    pose = page.post("/picture", brought[0].read_bytes()).json()["pose"]
    square = persons.Crop(*cropping.square_around_mask(brought[2]), side)
    wanted = px * square.extent / side + square.corner
    assert wanted.min() < 0
    np.testing.assert_allclose(pose["joints_px"], np.clip(wanted, 0, (120, 160)), atol=0.06)
    np.testing.assert_allclose(pose["joints_mm"], mm, atol=0.06)
    assert pose["from"] == "estimator"


def test_a_background_that_is_not_known_waits_for_a_mask(visit, brought):
    file, pose, mask = brought
    page = visit()
    opaque = png(np.asarray(Image.open(file).convert("RGB")))
    first = page.post("/picture", opaque).json()
    assert (first["background"], first["pose"]) == ("unknown", None)
    refused = page.post("/person", {"picture": first["picture"], **joints_of(pose)})
    assert refused.status_code == 422
    assert "background is not known" in refused.json()["error"]
    address = f"/picture/{first['picture']}/mask"
    for wrong, line in (
        (png(mask[:9].astype(np.uint8) * 255), "must have one size, got 120 x 160 and 120 x 9"),
        (png(np.zeros_like(mask, np.uint8)), "the mask: there is nobody"),
        (b"no picture", "the mask cannot be read as a picture"),
    ):
        refused = page.post(address, wrong)
        assert refused.status_code == 422
        assert line in refused.json()["error"]
    second = page.post(address, png(mask.astype(np.uint8) * 255)).json()
    assert second["background"] == "known"
    assert page.post("/person", {"picture": second["picture"], **joints_of(pose)}).is_success


def test_a_photograph_needs_no_mask_and_no_joints(visit, monkeypatch, tmp_path):
    files, mask = own_pictures.bring(tmp_path)
    source = Source(files["image"], files["mask"], files["pose"])
    (person,) = own_pictures.photograph(monkeypatch, source)
    person.known[4] = False
    person.joints_px[4] = (-7, 20)
    page = visit()
    found = page.post("/picture", files["image"].read_bytes()).json()
    assert found["background"] == "known"
    pose = found["pose"]
    assert pose["from"] == "networks"
    np.testing.assert_array_equal(pose["visible"], np.arange(15) != 4)
    # What is not known has a place where somebody can take hold of it.
    np.testing.assert_allclose(pose["joints_px"], np.maximum(person.joints_px, 0), atol=0.06)
    known = [px if seen else None for px, seen in zip(pose["joints_px"], pose["visible"])]
    body = {"picture": found["picture"], "joints_px": known, "joints_mm": pose["joints_mm"]}
    assert page.post("/person", body).is_success
    shown = pixels(page.get(f"/picture/{found['picture']}")).astype(int)
    assert np.ptp(shown[~mask], axis=-1).max() == 0
    # An exported estimator takes the networks' place for joints, not for the mask.
    page = visit(estimator=own_pictures.finder(np.full((15, 2), 16.0), np.zeros((15, 3))))
    found = page.post("/picture", files["image"].read_bytes()).json()
    assert (found["background"], found["pose"]["from"]) == ("known", "estimator")


def test_a_picture_is_shown_small_with_a_pale_background(visit, brought):
    page = visit()
    name = page.post("/picture", brought[0].read_bytes()).json()["picture"]
    shown, mask = pixels(page.get(f"/picture/{name}")).astype(int), brought[2]
    whole = np.asarray(Image.open(brought[0]).convert("RGB"))
    np.testing.assert_array_equal(shown[mask], whole[mask])
    assert np.ptp(shown[~mask], axis=-1).max() == 0
    assert shown[~mask].min() >= 0.75 * 225 - 1
    large = np.zeros((10, 3000, 3), np.uint8)
    large[:, :1500] = 200
    name = page.post("/picture", png(large)).json()["picture"]
    shown = pixels(page.get(f"/picture/{name}"))
    assert shown.shape == (3, 1024, 3)
    assert (shown[1, 0, 0], shown[1, -1, 0]) == (200, 0)


# --- persons -------------------------------------------------------------------------------------


def test_a_person_of_the_command_line_is_there_at_once(visit, brought, who):
    page = visit(who=who(own_pictures.SIDE))
    person = page.get("/about").json()["person"]
    shown = pixels(page.get(f"/person/{person['person']}"))
    np.testing.assert_array_equal(shown, who(own_pictures.SIDE).image)
    assert page.render(person["person"], person["joints_mm"]).shape == (32, 32, 3)


def test_a_person_is_as_the_command_line_makes_it(visit, brought, who):
    page = visit()
    answer = page.post("/picture", brought[0].read_bytes()).json()
    answer = page.post("/person", {"picture": answer["picture"], **joints_of(brought[1])}).json()
    own = who(own_pictures.SIDE)
    np.testing.assert_array_equal(pixels(page.get(f"/person/{answer['person']}")), own.image)
    joints = np.array(answer["joints_mm"])
    np.testing.assert_allclose(joints[list(HIPS)].mean(axis=0), 0, atol=0.06)
    size = retargeting.body_size(own.body)
    across = (own.body.joints - own.body.joints[0])[:, :2] / size
    np.testing.assert_allclose((joints - joints[0])[:, :2], across, atol=0.02 * np.ptp(across))
    # The lengths of the two sides are one, and lead to the same size.
    lengths = {tuple(b[:2]): mm for b, mm in zip(retargeting.BONES, answer["bones"])}
    sides = [(INDEX[f"{side}_hip"], INDEX[f"{side}_knee"]) for side in ("left", "right")]
    assert lengths[sides[0]] == lengths[sides[1]]
    thighs = [np.linalg.norm(joints[a] - joints[b]) for a, b in sides]
    assert lengths[sides[0]] == pytest.approx(np.mean(thighs), abs=0.3)


def test_a_person_of_whom_some_joints_are_unknown_is_told_whole(visit, brought):
    file, pose, _ = brought
    page = visit()
    picture = page.post("/picture", file.read_bytes()).json()["picture"]
    given = joints_of(pose)
    lost = INDEX["right_wrist"]
    given["joints_px"][lost] = None
    found = page.post("/person", {"picture": picture, **given}).json()
    whole = page.post("/person", {"picture": picture, **joints_of(pose)}).json()
    joints, all_joints = np.array(found["joints_mm"]), np.array(whole["joints_mm"])
    rest = np.arange(15) != lost
    # The wrist tells the size, too.
    np.testing.assert_allclose(joints[rest], all_joints[rest], atol=40)
    standing = named("standing")
    hand = standing[lost] - standing[INDEX["right_elbow"]]
    np.testing.assert_allclose(joints[lost] - joints[INDEX["right_elbow"]], hand, atol=8)
    flat = page.post("/person", {"picture": picture, "joints_px": given["joints_px"]}).json()
    assert flat["flat"]
    assert np.ptp([joint[2] for i, joint in enumerate(flat["joints_mm"]) if i != lost]) == 0
    assert flat["bones"] == [mm for *_, mm in retargeting.BONES]


def test_hips_that_are_unknown_are_where_they_would_be():
    body = to_body(pose_library.named_pose("standing"))
    visible = body.visible.copy()
    visible[list(HIPS)] = False
    half = body._replace(joints=np.where(visible[:, None], body.joints * 2 + 5, 0), visible=visible)
    whole = retargeting.complete_body(half, body)
    np.testing.assert_allclose(whole, body.joints * 2 + 5, atol=0.2)
