"""The experiment on intervals: its truth, its games, its figures."""

import itertools
import json

import numpy as np
import pytest

from volsynth import cli
from volsynth.errors import UserError
from volsynth.study import coverage, ratings


def test_the_truth_is_what_many_judges_with_many_games_find():
    rng = np.random.default_rng(0)
    strengths = np.array([0.8, 0.0, -0.4])
    differ = 0.6 * rng.standard_normal((500, 3))
    judges = np.concatenate([strengths + differ, strengths - differ])
    games = list(itertools.chain(*coverage.simulate_games(judges, 30, rng)))
    found = ratings.fit(ratings.count(games, "012"))
    np.testing.assert_allclose(found, coverage.true_ratings(strengths, 0.6), atol=0.05)
    # Ties and differences between judges bring shares nearer to one half.
    assert np.ptp(found) < np.ptp(strengths)


def test_without_ties_and_alike_judges_strengths_are_the_truth():
    strengths = np.array([0.8, 0.0, -0.8])
    np.testing.assert_allclose(coverage.true_ratings(strengths, 0.0, tie=0.0), strengths, atol=1e-8)


def test_intervals_that_are_too_narrow_would_be_seen(monkeypatch):
    monkeypatch.setattr(coverage, "CASES", ((1, 30, 0.5),))
    (found,) = coverage.measure(0.1, runs=25, models=3, resamples=40)
    assert found["covered"] > 0.88
    made = coverage.resampling.over_games

    def narrow(*arguments, **options):
        return made(*arguments, **{**options, "level": 0.5})

    monkeypatch.setattr(coverage.resampling, "over_games", narrow)
    (found,) = coverage.measure(0.1, runs=25, models=3, resamples=40)
    assert found["covered"] < 0.75


def test_the_command_prints_the_table_or_the_figures(capsys, monkeypatch):
    monkeypatch.setattr(coverage, "CASES", ((1, 30, 0.5), (2, 12, 0.5)))
    assert cli.main(["study", "coverage", "--runs", "4", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == coverage.measure(0.1, runs=4)
    assert cli.main(["study", "coverage", "--runs", "4"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith(f"| 1 | 30 | 0.5 | {found[0]['covered']:.1%} ± ")
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runs": 1}, "--runs must be at least 2, got 1"),
        ({"models": 1}, "--models must be at least 2, got 1"),
        ({"prior": 0}, "--prior must be above 0, got 0"),
    ],
)
def test_bad_arguments_are_errors(options, message):
    with pytest.raises(UserError, match=message):
        coverage.measure(**{"prior": 0.1, **options})
