"""Models that look at two pictures of a person, and people of whom there are one or two."""

import dataclasses
import pathlib

import jax.numpy as jnp
import numpy as np
import own_pictures
import pytest

from volsynth import cli, conventions, fields
from volsynth.config import config_from_dict
from volsynth.errors import UserError
from volsynth.export.exported_model import Model
from volsynth.generation import animate, generate, persons, render
from volsynth.generation.source import Source, read_person
from volsynth.generation.targets import Targets
from volsynth.images import reader

ONE = ("source_image", "source_joints", "source_visible", "target_joints", "target_visible")
TWO = (*ONE, "also_image", "also_joints", "also_visible")
SIDE = 32


def _run(parameters, batch):
    """The left half of the source's picture, and the right one of the further picture."""
    del parameters
    left = jnp.arange(SIDE)[:, None] < SIDE / 2
    return jnp.where(left, batch["source_image"], batch.get("also_image", 0.0))


def _model(inputs=TWO):
    card = {"task": "image", "image_size": SIDE}
    card["inputs"] = {name: fields.BATCH[name].describe() for name in inputs}
    config = config_from_dict({"system": "none", "data": {"image_size": SIDE}})
    return Model(pathlib.Path("model"), config, card, {}, _run, True)


POSE = (np.zeros((1, 15, 3), np.float32), np.ones((1, 15), bool))
GREY, LIGHT = (np.full((1, SIDE, SIDE, 3), value, np.float32) for value in (-0.5, 0.5))


def _levels(image):
    """The level of the left and the right half of an image of two colours."""
    np.testing.assert_array_equal(
        image[..., :16, :], image[..., :1, :1, :1] + 0 * image[..., :16, :]
    )
    return float(image[0, 0, 0, 0]), float(image[0, 0, -1, 0])


def test_a_further_picture_is_given_beside_the_first():
    model = _model()
    assert model.looks_at_two
    assert _levels(model(GREY, POSE, POSE, (LIGHT, POSE))) == (-0.5, 0.5)
    # Who has one picture shows it twice.
    assert _levels(model(GREY, POSE, POSE)) == (-0.5, -0.5)


def test_mistakes_with_a_further_picture_are_one_line():
    one = _model(ONE)
    assert not one.looks_at_two
    with pytest.raises(UserError, match="looks at one picture of the person: leave out `also`"):
        one(GREY, POSE, POSE, (LIGHT, POSE))
    with pytest.raises(UserError, match=r"also must be a pair \(images, pose\)"):
        _model()(GREY, POSE, POSE, (LIGHT,))
    with pytest.raises(UserError, match=r"also_pose must be a pair \(joints, visible\)"):
        _model()(GREY, POSE, POSE, (LIGHT, POSE[:1]))
    with pytest.raises(UserError, match=r"also_image must have the shape \[B, 32, 32, 3\]"):
        _model()(GREY, POSE, POSE, (LIGHT[:, :16], POSE))


@pytest.fixture(scope="module")
def brought(tmp_path_factory):
    """Two pictures of a person, with masks and poses."""
    found = []
    for shot in (1, 2):
        folder = tmp_path_factory.mktemp("picture")
        files, _ = own_pictures.bring(folder, shot=shot)
        found.append(Source(files["image"], files["mask"], files["pose"]))
    return found


@pytest.fixture
def _two(monkeypatch):
    monkeypatch.setattr(render, "load_generator", lambda path, program=None: _model())


def test_a_person_is_read_with_a_further_picture_of_the_same_size(brought):
    front, back = brought
    both = Source(front.image, front.mask, front.pose, also=back)
    person = read_person(both, lambda extent: SIDE)
    alone, other = read_person(front, SIDE), read_person(back, SIDE)
    np.testing.assert_array_equal(person.image, alone.image)
    np.testing.assert_array_equal(person.also.image, other.image)
    np.testing.assert_array_equal(person.also.joints, other.joints)
    # Only the first picture is asked for its background.
    assert person.picture is not None
    assert person.also.picture is None
    assert read_person(both, SIDE, keep_picture=False).picture is None
    assert alone.also is None


def test_the_person_of_a_further_picture_is_found_in_it(brought, monkeypatch):
    front, back = brought
    own_pictures.photograph(monkeypatch, back)
    given = read_person(dataclasses.replace(front, also=back), SIDE)
    found = read_person(dataclasses.replace(front, also=Source(back.image)), SIDE)
    np.testing.assert_array_equal(found.also.image, given.also.image)
    np.testing.assert_allclose(found.also.joints, given.also.joints, atol=1.2)


def test_the_fields_of_a_person_are_those_of_both_pictures(brought):
    front, back = (read_person(one, SIDE) for one in brought)
    with_back = persons.dataclasses.replace(front, also=back)
    batch = render.person_fields(with_back, further=True)
    assert set(batch) | {"target_joints", "target_visible"} == set(TWO)
    np.testing.assert_array_equal(batch["also_image"][0], conventions.to_float(back.image))
    np.testing.assert_array_equal(batch["also_joints"][0], back.joints)
    twice = render.person_fields(front, further=True)
    for kind in ("image", "joints", "visible"):
        np.testing.assert_array_equal(twice[f"also_{kind}"], twice[f"source_{kind}"])
    assert set(render.person_fields(with_back, further=False)) == set(ONE[:3])


@pytest.mark.usefixtures("_two")
def test_pictures_are_made_of_both(tmp_path, brought):
    front, back = brought
    out = tmp_path / "out.png"
    arguments = ["--image", front.image, "--mask", front.mask, "--source-pose", front.pose]
    further = ["--also", back.image, "--also-mask", back.mask, "--also-pose", back.pose]
    wanted = ["--pose", "walking", "--frame", "square", "--out", out]
    command = ["generate", "--model", "m", *arguments, *further, *wanted]
    assert cli.main([*map(str, command)]) == 0
    made = reader.read_rgb(out)
    one, other = (read_person(each, SIDE).image for each in brought)
    np.testing.assert_array_equal(made[:, :16], one[:, :16])
    np.testing.assert_array_equal(made[:, 16:], other[:, 16:])
    assert np.any(one[:, 16:] != other[:, 16:])


def test_a_model_of_one_picture_refuses_a_further_one(tmp_path, brought, monkeypatch):
    monkeypatch.setattr(render, "load_generator", lambda path, program=None: _model(ONE))
    front, back = brought
    both = Source(front.image, front.mask, front.pose, also=back)
    message = "model looks at one picture of a person: leave out --also"
    with pytest.raises(UserError, match=message):
        generate.generate("m", both, Targets(["walking"]), tmp_path / "out.png")
    with pytest.raises(UserError, match=message):
        animate.animate("m", both, "walking", tmp_path / "out.gif")
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("option", ["--also-mask", "--also-pose"])
def test_what_belongs_to_a_further_picture_is_not_given_alone(option, capsys):
    command = ["generate", "--model", "m", "--image", "i", "--pose", "walking", "--out", "o.png"]
    assert cli.main([*command, option, "f"]) == 2
    assert "belong to --also, the picture; give it, too" in capsys.readouterr().err
