"""Bodies of capsules beside labelled people: the shares, the fit, and the command."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from data_prep.posed_people import portrait
from volsynth import cli
from volsynth.diagnostics import body_fit
from volsynth.errors import UserError
from volsynth.generation import persons
from volsynth.images import masks
from volsynth.ops.body import raster
from volsynth.ops.body.capsules import USUAL, Proportions


@pytest.fixture(scope="module")
def people(tiny):
    return body_fit.load(tiny.split("train"), 6)


def test_bodies_match_people_and_thin_ones_do_not(people):
    found = body_fit.match(people, USUAL)
    assert found.silhouette_iou > 0.6
    assert found.right_parts > 0.7
    thin = USUAL._replace(flank=0.02, trunk=0.02, upper_leg=0.02, lower_leg=0.02)
    assert body_fit.match(people, thin).silhouette_iou < found.silhouette_iou - 0.1


@pytest.mark.parametrize(
    ("person", "action", "turn", "least"),
    [(8000, "hands_on_hips", 15, 0.8), (8011, "squat", 110, 0.75), (8015, "sit", 200, 0.75)],
)
def test_bodies_match_people_before_a_camera_of_their_own(person, action, turn, least):
    # Fitted to the data set, whose camera stands elsewhere.
    shot = portrait.shoot(person=person, action=action, turn=turn, width=240, height=320)
    who = persons.crop_person(shot.image, shot.mask, shot.pose, 64)
    known = jnp.ones((1, len(who.joints)), bool)
    body = raster.raster(jnp.asarray(who.joints)[None], known, (64, 64), 64.0)
    inside, mask = np.asarray(body.distance[0] < 0), masks.not_magenta(who.image)
    assert (inside & mask).sum() / (inside | mask).sum() > least


@pytest.mark.slow
def test_a_fit_finds_better_proportions(people, monkeypatch):
    monkeypatch.setattr(body_fit, "STEPS", (0.5,))
    said = []
    start = USUAL._replace(trunk=0.05, flank=0.05)
    best, found = body_fit.fit(people, start, said.append)
    assert isinstance(best, Proportions)
    assert best.flank > start.flank
    assert sum(found) > sum(body_fit.match(people, start)) + 0.02
    assert said[-1].startswith("step 0.5: silhouette IoU ")


def test_without_labels_of_parts_there_is_nothing_to_compare(tiny, monkeypatch):
    monkeypatch.setattr(body_fit.decoding, "stored_fields", lambda split, number: frozenset())
    with pytest.raises(UserError, match="has no labels of parts"):
        body_fit.load(tiny.split("train"), 2)


def test_the_command_prints_shares_and_draws_bodies(data_dir, tmp_path, capsys):
    out = tmp_path / "bodies.png"
    command = ["data", "body", "--data-dir", str(data_dir), "--config-name", "tiny"]
    assert cli.main([*command, "--count", "6", "--out", str(out), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["people"] == 6
    assert report["proportions"] == USUAL._asdict()
    assert np.asarray(Image.open(out)).std() > 10
    assert cli.main([*command, "--count", "0"]) == 2
    assert "--count must be at least 1, got 0" in capsys.readouterr().err
