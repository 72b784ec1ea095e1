"""One's own picture in other poses: where the person comes to, files, and mistakes in one line."""

import dataclasses
import json
import pathlib

import numpy as np
import own_pictures
import pytest
from PIL import Image

from volsynth import cli
from volsynth.errors import UserError
from volsynth.generation import estimation, generate, persons, render, sheet
from volsynth.generation.source import Source, read_person
from volsynth.generation.targets import Targets
from volsynth.images import reader
from volsynth.poses import keypoint_files, pose_library

MODEL = pathlib.Path("model")


@pytest.fixture
def brought(tmp_path):
    """A photograph with mask and pose: source, and the person's mask."""
    found, mask = own_pictures.bring(tmp_path)
    return Source(found["image"], found["mask"], found["pose"]), mask


@pytest.fixture(autouse=True)
def _dots(monkeypatch):
    """Every model puts dots on the joints."""
    monkeypatch.setattr(render, "load_generator", lambda path, program=None: own_pictures.dots())


def dots_of(path):
    """The mask of what was drawn on magenta."""
    pixels = reader.read_rgb(path).astype(int)
    return np.abs(pixels - (255, 0, 255)).max(axis=-1) > 100


@pytest.mark.parametrize("kind", ["mask", "alpha", "magenta"])
def test_the_person_comes_to_where_the_target_pose_is(tmp_path, kind):
    found, _ = own_pictures.bring(tmp_path, kind)
    source = Source(found["image"], found["mask"], found["pose"])
    out = tmp_path / "out.png"
    made = generate.generate(MODEL, source, Targets(["waving"]), out, background="magenta")
    assert made == {"pictures": [str(out)], "targets": ["waving"]}
    drawn = dots_of(out)
    assert drawn.shape == (160, 120)
    who = read_person(source, 32, None)
    (body,), square = persons.fit_poses([pose_library.named_pose("waving")], who)
    pixel = square.extent / 32
    # Each joint has its dot, and no dot is without a joint.
    rows, columns = np.indices(drawn.shape) + 0.5
    distance = np.min([np.hypot(columns - x, rows - y) for x, y in body.joints[:, :2]], axis=0)
    assert distance[drawn].max() < 2.5 * pixel
    for x, y in body.joints[:, :2]:
        near = np.hypot(columns - x, rows - y) < pixel
        assert drawn[near].mean() > 0.5
    # Feet stay on the ground, and the person as large as it was.
    (pose,) = keypoint_files.read(found["pose"])
    assert abs(body.joints[:, 1].max() - pose.joints_px[:, 1].max()) < 6
    centre = np.array([columns[drawn].mean(), rows[drawn].mean()])
    np.testing.assert_allclose(centre, body.joints[:, :2].mean(axis=0), atol=1.5 * pixel)


def test_the_same_pose_puts_the_person_where_it_was(tmp_path, brought):
    source, mask = brought
    targets = Targets(files=[source.pose])
    generate.generate(MODEL, source, targets, tmp_path / "o.png", background="magenta")
    drawn = dots_of(tmp_path / "o.png")
    (pose,) = keypoint_files.read(source.pose)
    rows, columns = np.indices(drawn.shape) + 0.5
    # Right and left limbs get one length, which perspective did not give them.
    for x, y in pose.joints_px:
        assert drawn[np.hypot(columns - x, rows - y) < 4].mean() > 0.25
    # Dots are wider than some limbs.
    assert mask[drawn].mean() > 0.65


def test_a_square_is_as_the_model_made_it(tmp_path, brought):
    targets = Targets(["standing"])
    generate.generate(MODEL, brought[0], targets, tmp_path / "o.png", frame="square")
    assert reader.read_rgb(tmp_path / "o.png").shape == (32, 32, 3)


@pytest.mark.parametrize("kind", ["mask", "alpha", "magenta"])
def test_the_background_is_the_pictures_own(tmp_path, kind):
    found, _ = own_pictures.bring(tmp_path, kind)
    source = Source(found["image"], found["mask"], found["pose"])
    generate.generate(MODEL, source, Targets(["waving"]), tmp_path / "o.png")
    made = np.asarray(Image.open(tmp_path / "o.png"))
    corner = made[:8, :8]
    if kind == "mask":
        np.testing.assert_array_equal(corner, reader.read_rgb(source.image)[:8, :8])
    elif kind == "alpha":
        assert made.shape == (160, 120, 4)
        np.testing.assert_array_equal(corner, 0)
        assert made[..., 3].max() == 255
    else:
        np.testing.assert_array_equal(corner, np.broadcast_to((255, 0, 255), (8, 8, 3)))
    generate.generate(MODEL, source, Targets(["waving"]), tmp_path / "s.png", sheet=True)
    sheet = reader.read_rgb(tmp_path / "s.png")
    # On a page of white what is transparent is white, too.
    assert np.all(sheet == (255, 0, 255), axis=-1).any() == (kind == "magenta")
    # The model's green dots are there in any case, and nothing of its magenta beside them.
    green = made[..., 1].astype(int) - np.maximum(made[..., 0], made[..., 2])
    assert (green > 90).sum() > 50


@pytest.mark.parametrize("is_sheet", [False, True])
def test_pictures_are_decoded_once(tmp_path, brought, monkeypatch, is_sheet):
    decoded = []
    real_decoded = reader._decoded
    monkeypatch.setattr(reader, "_decoded", lambda path: decoded.append(path) or real_decoded(path))
    out = tmp_path / "o.png"
    generate.generate(MODEL, brought[0], Targets(["waving"]), out, sheet=is_sheet, background="own")
    assert decoded == [brought[0].image, brought[0].mask]


def test_several_poses_are_a_sheet_or_a_folder(tmp_path, brought):
    source, _ = brought
    targets = Targets(["standing", "standing"], [source.pose, pose_library.POSES_FILE])
    made = generate.generate(MODEL, source, targets, tmp_path / "all")
    assert made["targets"][:4] == ["standing", "standing-2", "pose", "poses-standing"]
    assert len(made["pictures"]) == 3 + 14
    assert sorted(map(str, (tmp_path / "all").iterdir())) == sorted(made["pictures"])
    # A name that was given as it is and one that was numbered are two.
    for name in ("standing", "standing-2"):
        keypoint_files.write(tmp_path / f"{name}.json", [pose_library.named_pose("sitting")])
    files = [tmp_path / "standing.json", tmp_path / "standing-2.json"]
    made = generate.generate(MODEL, source, Targets(["standing"], files), tmp_path / "b")
    assert made["targets"] == ["standing", "standing-2", "standing-2-2"]
    assert len(list((tmp_path / "b").iterdir())) == 3
    targets = Targets(["standing", "sitting"])
    for frame, cell in (("square", sheet.SQUARE_CELL), ("original", sheet.FRAME_CELL)):
        generate.generate(MODEL, source, targets, tmp_path / "s.png", frame=frame, sheet=True)
        found = reader.read_rgb(tmp_path / "s.png")
        height, width, _ = found.shape
        assert 3 * cell < width < 3.3 * cell
        assert 2 * cell < height < 2.4 * cell
        # On magenta, or before the picture's own background.
        on_magenta = np.all(found == (255, 0, 255), axis=-1).mean()
        assert (on_magenta > 0.2) == (frame == "square")


def test_names_in_files_of_poses_lead_nowhere_else(tmp_path, brought):
    source, _ = brought
    entries = json.loads(source.pose.read_text())
    entries["poses"] = [{**entries["poses"][0], "action": "../../x/.y"}] * 2
    (tmp_path / "odd.json").write_text(json.dumps(entries))
    targets = Targets(files=[tmp_path / "odd.json"])
    made = generate.generate(MODEL, source, targets, tmp_path / "all")
    assert made["targets"] == ["odd-.._.._x_.y", "odd-.._.._x_.y-2"]
    assert {pathlib.Path(path).parent for path in made["pictures"]} == {tmp_path / "all"}


def test_an_estimator_stands_in_for_files_of_poses(tmp_path, monkeypatch, brought):
    source, mask = brought
    own_pictures.estimator(monkeypatch, source, mask)
    by_file = read_person(source, 32, None)
    lone = Source(source.image, source.mask, None, pathlib.Path("e"))
    by_estimator = read_person(lone, 32, estimation.load_estimator("e"))
    np.testing.assert_allclose(by_estimator.joints[:, :2], by_file.joints[:, :2], atol=0.02)
    np.testing.assert_allclose(by_estimator.joints[:, 2], by_file.joints[:, 2], atol=1.2)
    other, _ = own_pictures.bring(tmp_path, "alpha")
    targets = Targets(images=[other["image"]])
    made = generate.generate(MODEL, lone, targets, tmp_path / "o.png")
    assert made["targets"] == ["picture"]


def test_a_picture_and_the_name_of_a_pose_are_enough(tmp_path, monkeypatch, brought, capsys):
    source, _ = brought
    own_pictures.photograph(monkeypatch, source)
    given, found, other = (tmp_path / name for name in ("given.png", "found.png", "other.png"))
    generate.generate(MODEL, source, Targets(["waving"]), given)
    arguments = ["generate", "--model", "m", "--image", str(source.image)]
    assert cli.main([*arguments, "--pose", "waving", "--out", str(found)]) == 0
    difference = reader.read_rgb(given).astype(int) - reader.read_rgb(found)
    assert (np.abs(difference).max(axis=-1) > 60).mean() < 0.01
    # So is a picture of somebody in the pose.
    arguments += ["--target-image", str(source.image)]
    assert cli.main([*arguments, "--out", str(other)]) == 0
    capsys.readouterr()
    # Of a person whom nobody chose, the number is a mistake.
    assert cli.main([*arguments, "--out", str(other), "--person", "2"]) == 2
    assert "1 persons were found, so that --person must be from 1 to 1" in capsys.readouterr().err


def test_mistakes_about_sources_and_targets(tmp_path, brought):
    source, _ = brought

    def fails(message, source=source, targets=("standing",), out="o.png", **options):
        if not isinstance(targets, Targets):
            targets = Targets(targets)
        with pytest.raises(UserError, match=message):
            generate.generate(MODEL, source, targets, tmp_path / out, **options)

    numbered = dataclasses.replace(source, person=2)
    fails("picture.jpg: --person 2 chooses among .* the mask says already", source=numbered)
    numbered = Source(source.image, pose=source.pose, person=2)
    fails("picture.jpg: --person 2 chooses among .* the joints say already", source=numbered)
    fails("--person must be 1 .* got 0", source=Source(source.image, person=0))
    fails("0 target poses; from 1 to 100 are allowed", targets=())
    fails("101 target poses", targets=["standing"] * 101, out="folder")
    fails("there is no pose 'stand'; did you mean 'standing'", targets=["stand"])
    fails("--background beach.jpg is neither a picture's file", background="beach.jpg")
    fails("--background magenta is for pictures in the frame", background="magenta", frame="square")
    fails("a picture's name must end in .png", out="o.jpg")
    fails("--out of 2 poses must be a folder, or with --sheet one PNG", targets=["standing"] * 2)
    fails("--out of 1 poses must be one PNG", out="folder")
    fails("--out of 2 poses must be one PNG", targets=["standing"] * 2, out="f", sheet=True)
    (tmp_path / "none.json").write_text(json.dumps(
        {"format": "volsynth-keypoints", "version": 1, "poses": []}
    ))  # fmt: skip
    fails("none.json has no pose", targets=Targets(files=[tmp_path / "none.json"]))
    (tmp_path / "file").write_text("")
    fails("cannot write .*file/o.png", out="file/o.png")
    entries = json.loads(source.pose.read_text())
    entries["poses"][0].pop("joints_mm")
    (tmp_path / "flat.json").write_text(json.dumps(entries))
    flat = Targets(files=[tmp_path / "flat.json"])
    fails("flat.json: pose 0 .*without depth cannot be turned", targets=flat, turn=30)


def test_the_command_line_takes_what_the_function_takes(tmp_path, brought, capsys):
    source, _ = brought
    arguments = ["generate", "--model", "m", "--image", str(source.image)]
    arguments += ["--source-pose", str(source.pose), "--pose", "standing", "--pose", "sitting"]
    masked = [*arguments, "--mask", str(source.mask)]
    out = str(tmp_path / "sheet.png")
    plain = [*masked, "--background", "magenta", "--out", str(tmp_path / "plain")]
    assert cli.main(plain) == 0
    for name in ("standing", "sitting"):
        assert np.all(reader.read_rgb(tmp_path / "plain" / f"{name}.png")[0] == (255, 0, 255))
    capsys.readouterr()
    assert cli.main([*masked, "--out", out, "--sheet", "--turn", "20", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "pictures": [out],
        "targets": ["standing", "sitting"],
    }
    assert cli.main([*masked, "--out", out, "--sheet", "--person", "0"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "--person must be 1 (the largest person) or more, got 0" in err
