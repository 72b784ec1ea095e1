"""The experiment on pair selection, as the thesis describes it."""

import json

import numpy as np
import pytest
from scipy import special

from volsynth import cli
from volsynth.errors import UserError
from volsynth.study import pairs, simulate


@pytest.fixture(scope="module")
def report():
    return simulate.simulate(runs=1500, seed=0)


@pytest.mark.parametrize(("rule", "printed"), [("weighted", 0.08), ("largest", 0.20)])
def test_selection_by_possible_change_lowers_the_error_as_in_the_thesis(report, rule, printed):
    """The thesis's figures are of 50 runs, ours of 30 times as many."""
    error = report["errors"]["pairs"][rule]["ratings"]
    # Clearly lower, and by as much as printed within what 50 runs can tell.
    assert error["decrease"] > 5 * error["decrease_standard_error"]
    assert abs(error["decrease"] - printed) < 1.5 * error["decrease_spread_of_50"]
    assert 0.04 < error["decrease_spread_of_50"] < 0.08


def test_the_largest_change_beats_the_weighted_draw(report):
    weighted, largest = (report["errors"]["pairs"][rule]["ratings"] for rule in pairs.RULES[1:])
    apart = largest["decrease"] - weighted["decrease"]
    assert apart > 2 * max(largest["decrease_standard_error"], weighted["decrease_standard_error"])


def test_where_games_count_alike_selection_matters_little(report):
    for rule in ("weighted", "largest"):
        assert abs(report["errors"]["games"][rule]["ratings"]["decrease"]) < 0.06
    # What selection gains is mostly what counting every pair alike loses.
    assert (
        report["errors"]["games"]["uniform"]["ratings"]["mean"]
        < 0.95 * report["errors"]["pairs"]["uniform"]["ratings"]["mean"]
    )


def test_few_games_exaggerate_and_playing_lopsided_pairs_on_shrinks(report):
    """A pair that looks lopsided by chance is played until it looks even."""
    stretch = report["stretch"]["pairs"]
    assert stretch["uniform"] > 1.03
    assert stretch["largest"] < 0.97
    assert stretch["largest"] < report["stretch"]["games"]["largest"]


def test_every_measure_is_there_and_shifts_cost_what_they_must(report):
    for of_rule in report["errors"].values():
        for of_name in of_rule.values():
            assert set(of_name) == {"ratings", "ratings_unshifted", "probabilities"}
            assert of_name["probabilities"]["mean"] < of_name["ratings"]["mean"] / 2
            # The mean of eight standard normals, which no game can tell, is added to the error.
            assert of_name["ratings_unshifted"]["mean"] > 1.3 * of_name["ratings"]["mean"]
        uniform = of_rule["uniform"]["ratings"]
        assert uniform["decrease"] == uniform["decrease_standard_error"] == 0
    assert 0 < report["left_out"] < 0.03 * 1500


def test_many_games_find_the_strengths():
    report = simulate.simulate(runs=50, models=3, games=5000)
    for weight, of_rule in report["stretch"].items():
        for rule, stretch in of_rule.items():
            assert stretch == pytest.approx(1, abs=0.02)
            assert report["errors"][weight][rule]["ratings"]["mean"] < 0.03


def test_the_error_falls_with_the_square_root_of_the_games():
    few, many = (
        simulate.simulate(runs=200, games=games)["errors"]["games"]["uniform"]["ratings"]["mean"]
        for games in (400, 1600)
    )
    assert many / few == pytest.approx(0.5, abs=0.06)


def test_the_stated_standard_errors_are_what_repetition_shows():
    repeated = [
        simulate.simulate(runs=50, games=60, seed=seed)["errors"]["games"]["largest"]["ratings"]
        for seed in range(60)
    ]
    for value, error in (("decrease", "decrease_standard_error"), ("mean", "standard_error")):
        stated = np.mean([each[error] for each in repeated])
        assert np.std([each[value] for each in repeated]) == pytest.approx(stated, rel=0.3)


@pytest.mark.parametrize("rule", pairs.RULES)
def test_games_follow_the_strengths(rule):
    strengths = np.tile([1.0, 0.0, -0.5], (400, 1))
    counts = simulate.simulate_games(strengths, 30, rule, np.random.default_rng(0))
    np.testing.assert_array_equal(counts.sum((1, 2)), 30)
    total = counts.sum(0)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        share = total[i, j] / (total[i, j] + total[j, i])
        assert share == pytest.approx(special.expit(strengths[0, i] - strengths[0, j]), abs=0.025)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runs": 1}, "--runs must be at least 2, got 1"),
        ({"models": 1}, "--models must be at least 2, got 1"),
        ({"games": 0}, "--games must be at least 1, got 0"),
        ({"seed": -1}, "--seed must be at least 0, got -1"),
        ({"runs": 5, "games": 3}, "0 of 5 runs have finite ratings after 3 games"),
    ],
)
def test_bad_arguments_are_errors(options, message):
    with pytest.raises(UserError, match=message):
        simulate.simulate(**options)


def test_the_command_prints_the_table_or_the_report(capsys):
    arguments = ["study", "simulate", "--runs", "20", "--models", "4", "--games", "60"]
    assert cli.main([*arguments, "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert json.loads(out) == simulate.simulate(runs=20, models=4, games=60)
    assert cli.main([*arguments, "--seed", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    other = simulate.simulate(runs=20, models=4, games=60, seed=1)
    assert lines[0].startswith(f"{20 - other['left_out']} studies of 4 models and 60 games")
    assert [line.split(" | ")[1] for line in lines[4:]] == 2 * list(pairs.RULES)
    mean = other["errors"]["pairs"]["weighted"]["ratings"]["mean"]
    assert f"| {mean:.4f} ±" in lines[5]
