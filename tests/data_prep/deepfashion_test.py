"""DeepFashion In-shop in miniature: its names, lists and kinds; images of rendered people."""

import dataclasses
import json

import numpy as np
import pytest
import small_sets
from PIL import Image
from seen_people import check_records, see

from data_prep.deepfashion import __main__ as command
from data_prep.deepfashion import names, reader
from data_prep.errors import BuildError
from volsynth import skeleton
from volsynth.data import decoding, pairing, prepared
from volsynth.ops import geometry
from volsynth.poses import keypoint_files

SIZE = 120
IMAGES = {
    # Person, shot: the path in img_highres.
    (0, 0): "MEN/Shirts_Polos/id_00001802/02_4_full.jpg",
    (0, 1): "MEN/Shirts_Polos/id_00001802/02_1_front.jpg",
    (0, 2): "MEN/Shirts_Polos/id_00001802/03_1_front.jpg",
    (1, 0): "WOMEN/Dresses/id_00000004/01_1_front.jpg",
    (1, 1): "WOMEN/Dresses/id_00000004/01_2_side.jpg",
    (2, 0): "WOMEN/Denim/id_00000009/01_7_additional.jpg",
}


def _line(name, sighting, hide=()):
    """A line of the public list, in the frame that it refers to."""
    scaled = sighting.joints_px * np.array(reader.FRAME) / SIZE - 0.5
    numbers = np.round(scaled).astype(int)
    numbers[list(hide)] = -1
    return f"{name}: {numbers[:, 1].tolist()}: {numbers[:, 0].tolist()}"


def _write(root):
    """The archive in its layout; the sightings by flattened names."""
    seen = {}
    for (person, shot), path in IMAGES.items():
        sighting = see(person, shot, size=SIZE, order="openpose_18").sighting
        small_sets.save(root / "img_highres" / path, sighting.image)
        mask = 255 * sighting.mask.astype(np.uint8)
        small_sets.save(root / "masks" / path.replace(".jpg", ".png"), mask)
        seen[names.flatten(path)] = sighting
    head = "name:keypoints_y:keypoints_x"
    train = [_line(name, sighting) for name, sighting in list(seen.items())[:-1]]
    cut_off = list(seen)[4]
    train[4] = _line(cut_off, seen[cut_off], hide=[10, 13])
    (root / "fasion-annotation-train.csv").write_text("\n".join([head, *train]) + "\n")
    (root / "fasion-annotation-test.csv").write_text(
        f"{head}\n{_line(list(seen)[5], seen[list(seen)[5]])}\n"
    )
    flat = list(seen)
    pairs = [(0, 1), (1, 0), (0, 2), (3, 4)]
    rows = "".join(f"{flat[a]},{flat[b]}\n" for a, b in pairs)
    (root / "fasion-pairs-train.csv").write_text("from,to\n" + rows)
    (root / "fasion-pairs-test.csv").write_text("from,to\n")
    poses = [
        # As an estimator gives them, around the pelvis.
        small_sets.pose_of(
            sighting, name, joints_px=None, intrinsics=None,
            joints_mm=sighting.joints_mm - sighting.joints_mm[8],
        )
        for name, sighting in seen.items()
    ]  # fmt: skip
    keypoint_files.write(root / "poses_3d.json", poses)
    return seen


def test_names_are_flattened_as_in_public_lists():
    path = "MEN/Shirts_Polos/id_00001802/02_4_full.jpg"
    assert names.flatten(path) == "fashionMENShirts_Polosid0000180202_4full.jpg"
    assert names.flatten(f"img/{path}") == names.flatten(path)
    assert names.flatten(names.flatten(path)) == names.flatten(path)
    assert names.parse(names.flatten(path)) == ("MEN/Shirts_Polos/id_00001802", "02")
    women = "fashionWOMENGraphic_Teesid0000022203_7additional.jpg"
    assert names.parse(women) == ("WOMEN/Graphic_Tees/id_00000222", "03")
    assert names.parse("holiday.jpg") is None


def test_paired_images_have_a_partner_and_the_whole_body(tmp_path):
    seen = _write(tmp_path)
    found = reader.find(tmp_path, "paired")
    sightings = [s for piece in found.pieces for s in piece.sightings()]
    assert [(s.person, s.outfit) for s in sightings] == [("MEN/Shirts_Polos/id_00001802", "02")] * 2
    assert found.left_out == []
    assert found.notes == []
    assert found.dropped == {
        "images without the whole body": 1,
        "pairs of two persons or outfits": 1,
        "pairs without two whole bodies": 1,
        "images without a partner, see single-256": 3,
    }
    for sighting, truth in zip(sightings, seen.values()):
        assert sighting.order == "openpose_18"
        # The list's numbers are whole ones of its frame, and JPEG is not exact.
        np.testing.assert_allclose(sighting.joints_px, truth.joints_px, atol=0.5)
        np.testing.assert_array_equal(sighting.mask, truth.mask)
        apart = geometry.project(sighting.joints_mm, sighting.camera.intrinsics) - truth.joints_px
        assert np.abs(apart).max() < 3


def test_single_images_have_none(tmp_path):
    _write(tmp_path)
    found = reader.find(tmp_path, "single")
    sightings = {s.outfit: (piece.split, s) for piece in found.pieces for s in piece.sightings()}
    assert {outfit: split for outfit, (split, _) in sightings.items()} == {
        "fashionMENShirts_Polosid0000180203_1front.jpg": "train",
        "fashionWOMENDressesid0000000401_1front.jpg": "train",
        "fashionWOMENDenimid0000000901_7additional.jpg": "test",
    }
    assert found.dropped["images with a partner, see paired-256"] == 2


def test_the_command_prepares_both_kinds_and_names_what_is_broken(tmp_path, capsys):
    root, data_dir = tmp_path / "source", tmp_path / "data"
    seen = _write(root)
    broken = "fashionMENDenimid0000008001_1front.jpg"
    gone = "fashionMENDenimid0000008101_1front.jpg"
    sighting = next(iter(seen.values()))
    y, x = _line(broken, sighting).split(":")[1:]
    with (root / "fasion-annotation-train.csv").open("a") as file:
        file.write(f"{gone}:{y}:{x}\nholiday.jpg:{y}:{x}\n")
        file.write(f"{broken}:{json.dumps(json.loads(y)[:17])}:{x}\n")
    (root / "img_highres" / IMAGES[2, 0]).write_bytes(b"\xff\xd8 no image")
    with (root / "fasion-pairs-test.csv").open("a") as file:
        file.write("a,b,c\n")
    arguments = ["--source", str(root), "--data-dir", str(data_dir), "--processes", "1"]
    assert command.main([*arguments, "--config", "single-64"]) == 1
    report = json.loads((data_dir / "deepfashion/single-64/1.0.0/report.json").read_text())
    assert report["records"] == {"train": 2}
    said = "\n".join(report["left_out"])
    assert len(report["left_out"]) == 5
    for line in (
        f"fasion-annotation-train.csv line 9 ({broken}): y must be 18 numbers (openpose_18)",
        "(holiday.jpg): is no name of an image of DeepFashion",
        f"{gone}: is missing",
        f"{IMAGES[2, 0]}: cannot be read as a picture (PNG, JPEG",
        "fasion-pairs-test.csv line 2: must be two names, got 3",
    ):
        assert line in said
    assert command.main([*arguments, "--config", "paired-64"]) == 1
    capsys.readouterr()
    split = prepared.open_prepared(str(data_dir), "deepfashion", "paired-64").split("train")
    fields = ["image", "mask", "joints_px", "original_px", "visible", "camera_intrinsics"]
    record = decoding.read_fields(split, [0, 1], fields)
    assert record["original_px"].shape == (2, 18, 2)
    assert record["visible"].all()
    shown = [see(0, shot, size=SIZE, order="openpose_18") for shot in range(2)]
    check_records(record, shown)
    middle = record["joints_px"][:, list(skeleton.HIPS)].mean(axis=1).astype(int)
    assert record["mask"][[0, 1], middle[:, 1], middle[:, 0], 0].all()
    # A single image is its own partner.
    single = prepared.open_prepared(str(data_dir), "deepfashion", "single-64").split("train")
    assert (np.diff(pairing.training_pairs(single, 0, 0, 8)) == 0).all()


def test_poses_in_space_may_have_another_order(tmp_path):
    seen = _write(tmp_path)
    ours = {name: see(*key, size=SIZE).sighting for key, name in zip(IMAGES, seen)}
    poses = [
        small_sets.pose_of(dataclasses.replace(s), name, joints_px=None) for name, s in ours.items()
    ]
    keypoint_files.write(tmp_path / "poses_3d.json", poses)
    found = reader.find(tmp_path, "paired")
    (first, _) = [s for piece in found.pieces for s in piece.sightings()]
    assert first.order == "volsynth_15"
    truth = next(iter(ours.values()))
    np.testing.assert_allclose(first.joints_mm, truth.joints_mm, atol=1e-3)
    np.testing.assert_allclose(first.joints_px[3:], truth.joints_px[3:], atol=0.5)


def test_without_masks_and_poses_in_space_the_summary_says_so(tmp_path):
    _write(tmp_path)
    (tmp_path / "poses_3d.json").unlink()
    for path in (tmp_path / "masks").rglob("*.png"):
        path.unlink()
    for path in sorted((tmp_path / "masks").rglob("*"), reverse=True):
        path.rmdir()
    (tmp_path / "masks").rmdir()
    white = see(0, 0, size=SIZE, background=(255, 255, 255)).sighting
    Image.fromarray(white.image).save(tmp_path / "img_highres" / IMAGES[0, 0], quality=95)
    found = reader.find(tmp_path, "paired")
    assert found.notes == [
        "2 of 2 poses have no depth: poses_3d.json has none for them",
        "there is no masks/: what has the colour of an image's border is background",
    ]
    first = next(found.pieces[0].sightings())
    assert np.mean(first.mask != white.mask) < 0.03


def test_lists_that_are_missing_are_named(tmp_path):
    _write(tmp_path)
    for name in ("annotation-test", "pairs-train"):
        (tmp_path / f"fasion-{name}.csv").unlink()
    found = reader.find(tmp_path, "single")
    assert found.left_out == [
        f"{tmp_path}/fasion-annotation-test.csv: is missing",
        f"{tmp_path}/fasion-pairs-train.csv: is missing",
    ]
    (tmp_path / "fasion-annotation-train.csv").unlink()
    with pytest.raises(BuildError, match=r"has no keypoints: fasion-annotation-train\.csv and"):
        reader.find(tmp_path, "single")
