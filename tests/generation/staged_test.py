"""Rendering: the source encoded once, still frames, and batches of one size."""

import dataclasses
import pathlib

import jax
import numpy as np
import own_pictures
import pytest

from volsynth import systems
from volsynth.config import load_config
from volsynth.export import exported_model
from volsynth.generation import motions, persons, render, staged
from volsynth.generation.bodies import to_body
from volsynth.generation.source import Source, read_person
from volsynth.poses import pose_library
from volsynth.system import Stages

NAMES = ["standing", "walking", "walking", "waving", "walking", "sitting", "kicking"]


@pytest.fixture(scope="module")
def volumetric():
    """A small volumetric model of random numbers, by its code."""
    config = load_config("configs/volumetric.py:smoke", [])
    side = config.data.image_size
    run, layout = forward.forward(systems.make(config), side)
    rng = np.random.default_rng(0)
    numbers = {
        name: 0.2 * rng.standard_normal(shape).astype(np.float32) for name, shape in layout.items()
    }
    card = {"task": "image", "image_size": side, "inputs": dict.fromkeys(own_pictures.FIELDS)}
    return exported_model.Model(pathlib.Path("m"), config, card, numbers, run, False)


@pytest.fixture
def source(tmp_path):
    found, _ = own_pictures.bring(tmp_path)
    return Source(found["image"], found["mask"], found["pose"])


def test_looking_at_the_source_once_makes_the_same_pictures(tmp_path, source, volumetric):
    who = read_person(source, volumetric.image_size, None)
    poses = motions.read_motion(own_pictures.write_motion(tmp_path / "m.json", NAMES))
    bodies, square = persons.fit_poses(poses, who)
    made = {}
    for maker in (staged.render_staged, render.render_whole):
        make = maker(volumetric, who, square, 3)
        made[maker] = np.stack(list(render.render_frames(make, bodies, 3))).astype(int)
    once, whole = made.values()
    assert len(once) == len(NAMES)
    assert np.abs(once - whole).max() <= 1
    # The pictures are of different poses, or the comparison would be of nothing.
    assert np.abs(np.diff(whole, axis=0)).max(axis=(1, 2, 3)).tolist() != [0] * 6
    np.testing.assert_array_equal(once[1], once[2])


def test_a_still_pose_is_made_once_and_every_batch_has_one_size():
    bodies = [to_body(pose_library.named_pose(name)) for name in NAMES]
    bodies += bodies[-1:] * 9
    calls = []

    def make(some):
        calls.append(len(some))
        return np.arange(len(some)) + 10 * len(calls)

    found = list(render.render_frames(make, bodies, 4))
    assert calls == [4, 2]
    assert found == [10, 11, 11, 12, 13, 20, 21, *[21] * 9]
    assert len(render.pad_bodies(bodies[:3], 4)) == 4
    moved = bodies[0]._replace(visible=np.arange(15) > 0)
    assert not render._same(bodies[0], moved)


def test_the_source_is_encoded_once(source, tmp_path, monkeypatch):
    calls = []

    def counted(name, stage):
        def run(variables, *arguments):
            assert variables["generator"]["params"]["kernel"].shape == (3,)
            calls.append((name, len(jax.tree.leaves(arguments[0])[0])))
            return stage(variables, *arguments)

        return run

    made = own_pictures.halves_system()
    stages = Stages(*(counted(*stage) for stage in made.stages._asdict().items()))
    counting = dataclasses.replace(made, stages=stages)
    monkeypatch.setitem(systems.SYSTEMS, "halves", lambda config: counting)
    model = own_pictures.halves()
    who = read_person(source, 32, None)
    bodies, square = persons.fit_poses([pose_library.named_pose(name) for name in NAMES[:4]], who)
    monkeypatch.setattr(jax, "jit", lambda function: function)
    make = staged.render_staged(model, who, square, 3)
    assert [len(make(some)) for some in (bodies[:3], bodies[3:])] == [3, 1]
    assert calls == [("encode", 1), *[("move", 3), ("render", 3)] * 2]
