"""The sizes that a model of any size takes, and those that are chosen for a person."""

import pathlib

import numpy as np
import pytest

from volsynth import fields
from volsynth.errors import UserError
from volsynth.export.exported_model import Model
from volsynth.generation import render


def _model(step):
    """A model that gives the source back, of sizes from 32 pixels on or of that size alone."""
    names = ("source_image", "source_joints", "source_visible", "target_joints", "target_visible")
    card = {"task": "image", "image_size": 32, "size_step": step}
    card["inputs"] = {name: fields.BATCH[name].describe() for name in names}
    return Model(
        pathlib.Path("m"), None, card, {}, lambda _, batch: {"image": batch["source_image"]}, True
    )


def _call(model, side):
    pose = (np.zeros((1, 15, 3), np.float32), np.ones((1, 15), bool))
    return model(np.zeros((1, side, side, 3), np.float32), pose, pose)["image"].shape


@pytest.mark.parametrize(("wanted", "side"), [(1, 32), (32, 32), (33, 48), (300.5, 304)])
def test_the_next_size_that_fits(wanted, side):
    assert _model(16).fitting_size(wanted) == side
    assert _model(0).fitting_size(wanted) == 32


def test_a_model_of_any_size_takes_multiples_of_its_step():
    assert _call(_model(16), 32) == (1, 32, 32, 3)
    assert _call(_model(16), 80) == (1, 80, 80, 3)
    for side in (16, 40):
        with pytest.raises(
            UserError, match=f"of 32 pixels or of a larger multiple of 16, got {side}"
        ):
            _call(_model(16), side)
    with pytest.raises(UserError, match=r"source_image must have the shape \[B, 32, 32, 3\]"):
        _call(_model(0), 48)


def test_a_person_is_shown_as_large_as_in_the_picture_if_nobody_says_how_large():
    side = render.choose_side(_model(16), None)
    assert [side(extent) for extent in (10.0, 100.0, 5000.0)] == [32, 112, render.MOST_OWN_SIZE]
    assert render.choose_side(_model(16), 64) == 64
    assert render.choose_side(_model(0), None) == render.choose_side(_model(0), 32) == 32


@pytest.mark.parametrize(
    ("step", "size", "allowed"), [(16, 40, "a multiple of 16 from 32 on"), (0, 48, "32")]
)
def test_a_size_that_a_model_does_not_take_is_one_line(step, size, allowed):
    with pytest.raises(UserError, match=f"--size must be {allowed} for this model, got {size}"):
        render.choose_side(_model(step), size)
