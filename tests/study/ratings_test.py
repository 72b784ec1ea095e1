"""Ratings against closed forms, a general optimiser, planted strengths and the thesis's text."""

import numpy as np
import pytest
from scipy import optimize, special

from volsynth.errors import UserError
from volsynth.study import ratings, resampling
from volsynth.study.ratings import Game

NAMES = ("Anna", "Bert", "Carl", "Dora")


def _random_counts(seed, *shape, models=5):
    """Counts, halves too, with one pair that never played."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 12, (*shape, models, models)) / 2
    counts *= 1 - np.eye(models)
    counts[..., 0, 1] = counts[..., 1, 0] = 0
    return counts


def _loss_in_loops(r, counts, weight):
    """Equation 5.10, word for word, over the pairs that were played."""
    total = 0.0
    for i in range(len(r)):
        for j in range(len(r)):
            games = counts[i, j] + counts[j, i]
            if i != j and games:
                p, guess = counts[i, j] / games, 1 / (1 + np.exp(r[j] - r[i]))
                cross_entropy = -(p * np.log(guess) + (1 - p) * np.log(1 - guess))
                total += cross_entropy * (games if weight == "games" else 1)
    return total


def _games(counts, names=NAMES):
    """Games with these whole counts, all wins."""
    return [
        Game(names[i], names[j], 1.0)
        for i, row in enumerate(counts)
        for j, wins in enumerate(row)
        for _ in range(int(wins))
    ]


# --- counting ------------------------------------------------------------------------------------


def test_a_win_is_a_point_and_a_tie_is_half_a_point_for_both():
    games = [
        *(Game("Anna", "Bert", 1.0), Game("Bert", "Anna", 1.0), Game("Anna", "Bert", 0.0)),
        *(Game("Carl", "Anna", 0.5), Game("Anna", "Carl", 0.5)),
    ]
    np.testing.assert_array_equal(
        ratings.count(games, NAMES[:3]), [[0, 1, 1], [2, 0, 0], [1, 0, 0]]
    )
    assert not np.any(ratings.count([], NAMES))


@pytest.mark.parametrize(
    ("game", "message"),
    [
        (Game("Anna", "Brt", 1.0), "unknown model 'Brt': did you mean 'Bert'"),
        (Game("Anna", "Anna", 1.0), "has 'Anna' twice"),
        (Game("Anna", "Bert", 0.7), "'Anna' and 'Bert' has the score 0.7. Allowed: 1"),
    ],
)
def test_a_game_that_cannot_be_is_an_error(game, message):
    for use in (ratings.count, ratings.sequential, resampling.over_games):
        with pytest.raises(UserError, match=message):
            use([Game("Carl", "Dora", 1.0), game], NAMES)


def test_a_model_named_twice_is_an_error():
    with pytest.raises(UserError, match="named twice: Anna, Bert, Anna"):
        ratings.count([], ("Anna", "Bert", "Anna"))


# --- the regression ------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", ratings.WEIGHTS)
@pytest.mark.parametrize("points", [(3.0, 1.0), (0.5, 99.5), (7.0, 7.0), (1999.0, 1.0)])
def test_two_models_are_apart_by_the_logit_of_their_share(points, weight):
    won, lost = points
    found = ratings.fit(np.array([[0, won], [lost, 0]]), weight=weight)
    assert found[0] - found[1] == pytest.approx(special.logit(won / (won + lost)), abs=1e-7)
    assert found.sum() == pytest.approx(0, abs=1e-12)


def test_a_chain_of_models_adds_its_logits():
    """A tree of pairs can be fitted exactly, so every pair has its own share."""
    counts = np.zeros((4, 4))
    shares = (0.8, 0.3, 0.9)
    for i, share in enumerate(shares):
        counts[i, i + 1], counts[i + 1, i] = 20 * share, 20 * (1 - share)
    found = ratings.fit(counts)
    np.testing.assert_allclose(found[:-1] - found[1:], special.logit(shares), atol=1e-7)


@pytest.mark.parametrize("weight", ratings.WEIGHTS)
def test_the_solution_is_the_one_that_a_general_optimiser_finds(weight):
    counts = _random_counts(0)
    best = optimize.minimize(_loss_in_loops, np.zeros(5), (counts, weight), method="BFGS", tol=1e-9)
    found = ratings.fit(counts, weight=weight)
    np.testing.assert_allclose(found, best.x - best.x.mean(), atol=1e-5)
    np.testing.assert_allclose(ratings.gradient(found, counts, weight), 0, atol=1e-7)
    assert ratings.loss(found, counts, weight) <= best.fun + 1e-9


@pytest.mark.parametrize("weight", ratings.WEIGHTS)
def test_loss_and_gradient_are_the_equations(weight):
    counts, r = _random_counts(1), np.array([0.3, -1.0, 2.0, 0.0, -0.4])
    assert ratings.loss(r, counts, weight) == pytest.approx(_loss_in_loops(r, counts, weight))
    slope = optimize.approx_fprime(r, _loss_in_loops, 1e-6, counts, weight)
    np.testing.assert_allclose(ratings.gradient(r, counts, weight), slope, atol=1e-4)
    # Equation 5.17: the mean of the ratings cannot drift.
    assert ratings.gradient(r, counts, weight).sum() == pytest.approx(0, abs=1e-12)


def test_the_loss_does_not_overflow():
    counts = np.array([[0, 3.0], [1.0, 0]])
    # Two ordered pairs, and a model 2000 better that lost a quarter.
    assert ratings.loss(np.array([1000.0, -1000.0]), counts) == pytest.approx(2 * 0.25 * 2000)


def test_pairs_count_alike_however_often_they_played_unless_games_do():
    counts = _random_counts(2)
    more = counts.copy()
    more[2, 3] *= 10
    more[3, 2] *= 10
    np.testing.assert_allclose(ratings.fit(more), ratings.fit(counts), atol=1e-7)
    apart = ratings.fit(more, weight="games") - ratings.fit(counts, weight="games")
    assert np.abs(apart).max() > 0.01


def test_planted_strengths_are_found_with_many_games():
    rng = np.random.default_rng(3)
    strengths = rng.standard_normal(8)
    strengths -= strengths.mean()
    first, second = np.triu_indices(8, 1)
    won = rng.binomial(20_000, special.expit(strengths[first] - strengths[second]))
    counts = np.zeros((8, 8))
    counts[first, second], counts[second, first] = won, 20_000 - won
    # The standard error of a rating is about 0.008.
    np.testing.assert_allclose(ratings.fit(counts), strengths, atol=0.03)


def test_many_studies_at_once_are_each_as_alone():
    counts = _random_counts(4, 3, 2)
    together = ratings.fit(counts)
    assert together.shape == (3, 2, 5)
    for at in np.ndindex(3, 2):
        np.testing.assert_allclose(together[at], ratings.fit(counts[at]), atol=1e-9)


@pytest.mark.parametrize("prior", [1e-9, 0.5, 1e6])
def test_ratings_converge_with_extreme_counts(prior):
    counts = np.triu(np.full((6, 6), 1e4), 1)
    found = ratings.fit(counts, prior=prior)
    assert np.all(np.diff(found) < 0)
    # The prior's ties are games like others.
    np.testing.assert_allclose(
        found, ratings.fit(counts + prior / 2 * (1 - np.eye(6))), rtol=1e-6, atol=1e-9
    )
    np.testing.assert_allclose(
        ratings.gradient(found, counts + prior / 2 * (1 - np.eye(6))), 0, atol=1e-8
    )


def test_whole_steps_of_newtons_method_would_not_get_here():
    counts = np.array(
        [
            *([0, 0.5, 1e5, 1, 1e5], [2, 0, 1e5, 1, 0], [0.5, 0, 0, 0.5, 0]),
            *([2, 0.5, 0.5, 0, 2000], [0.5, 0, 1e5, 1e5, 0]),
        ]
    )
    found = ratings.fit(counts, weight="games")
    np.testing.assert_allclose(ratings.gradient(found, counts, "games"), 0, atol=1e-3)


def test_a_prior_changes_no_pair_that_never_played():
    counts = _random_counts(5)
    with_ties = counts + (counts > 0)
    np.testing.assert_allclose(ratings.fit(counts, prior=2), ratings.fit(with_ties), atol=1e-9)


def test_the_study_rates_a_span_of_one_and_a_half_as_the_thesis_says():
    """Section 5.4: 1.5 between the best and the worst is to win about 4.5 times as often."""
    p = ratings.win_probabilities(np.array([1.5, 0.0]))
    assert p[0, 1] / p[1, 0] == pytest.approx(4.5, abs=0.05)
    np.testing.assert_allclose(p + p.T, 1)


def test_points_are_those_of_chess():
    # Ten to one in the odds is 400 points; the thesis's k of 10 points is 0.058.
    assert np.diff(ratings.to_points(np.array([0, np.log(10)])))[0] == pytest.approx(400)
    assert ratings.to_points(np.zeros(1))[0] == 400
    assert ratings.to_points(np.full(1, 0.0576), start=0)[0] == pytest.approx(10, abs=0.02)


# --- what has no ratings -------------------------------------------------------------------------


def test_whether_there_are_finite_ratings():
    circle = np.roll(np.eye(4), 1, axis=1)
    beaten = _random_counts(6, models=4)
    beaten[:, 2] = 0
    assert ratings.has_ratings(circle)
    np.testing.assert_array_equal(ratings.has_ratings(np.stack([circle, beaten])), [True, False])
    # The longest way that there can be.
    assert ratings.has_ratings(np.roll(np.eye(9), 1, axis=1))


@pytest.mark.parametrize(
    ("wins", "message"),
    [
        ([], "There are no games"),
        (["AB", "BA", "CD", "DC"], "^Anna, Bert and Carl, Dora were never compared"),
        (["AB", "BA", "BC", "CB"], "^Anna, Bert, Carl and Dora were never compared"),
        # Won and lost by a group, by one, and by one that not everyone met.
        (["AB", "BA", "AC", "CD", "DC"], "^Anna, Bert took every point in games with Carl, Dora,"),
        (["DA", "DC", "AB", "BA", "CB", "BC"], "^Dora took every point in games with Anna, Bert"),
        (["BA", "CA", "DA", "BC", "CD", "DB"], "^Bert, Carl, Dora took every point .* Anna, so"),
    ],
)
def test_counts_without_ratings_are_an_error_that_says_whose(wins, message):
    number = {name[0]: i for i, name in enumerate(NAMES)}
    counts = np.zeros((4, 4))
    for first, second in wins:
        counts[number[first], number[second]] += 1
    with pytest.raises(UserError, match=message):
        ratings.fit(counts, NAMES)
    # Among many studies, too.
    with pytest.raises(UserError, match=message):
        ratings.fit(np.stack([1 - np.eye(4), counts]), NAMES)
    if "every point" in message:
        assert np.all(np.isfinite(ratings.fit(counts, NAMES, prior=0.1)))
    else:
        with pytest.raises(UserError, match=message):
            ratings.fit(counts, NAMES, prior=0.1)


def test_without_names_models_have_numbers():
    with pytest.raises(UserError, match=r"^0 took every point in games with 1,"):
        ratings.fit(np.array([[0, 1], [0, 0]]))


@pytest.mark.parametrize(
    ("counts", "options", "message"),
    [
        (np.zeros((2, 3)), {}, r"got \(2, 3\)"),
        (np.zeros((1, 1)), {}, r"at least two models, got \(1, 1\)"),
        (np.zeros(2), {}, r"got \(2,\)"),
        (np.array([[0, -1], [1, 0]]), {}, "at least 0"),
        (np.array([[0, np.nan], [1, 0]]), {}, "finite"),
        (np.eye(2), {}, "no model plays against itself"),
        (1 - np.eye(2), {"models": ("Anna",)}, "1 names for counts of 2 models"),
        (1 - np.eye(2), {"weight": "pair"}, "'pair': did you mean 'pairs'"),
        (1 - np.eye(2), {"prior": -1}, "A prior must be finite, and at least 0, got -1"),
        (1 - np.eye(2), {"prior": np.inf}, "A prior must be finite, and at least 0, got inf"),
    ],
)
def test_bad_arguments_are_errors(counts, options, message):
    with pytest.raises(UserError, match=message):
        ratings.fit(counts, **options)


def test_no_convergence_is_never_silent(monkeypatch):
    monkeypatch.setattr(ratings, "_STEPS", 2)
    with pytest.raises(ArithmeticError, match="did not converge in 2 steps"):
        ratings.fit(np.array([[0, 9.0], [1.0, 0]]))


# --- one game after the other --------------------------------------------------------------------


def test_the_sequential_form_moves_both_players_by_the_surprise():
    games = [Game("Anna", "Bert", 1.0), Game("Bert", "Anna", 0.5), Game("Carl", "Bert", 0.0)]
    history = ratings.sequential(games, NAMES[:3], k=0.4)
    a = 0.4 * 0.5
    b = a - 0.4 * (1 / (1 + np.exp(-2 * a)) - 0.5)
    c = 0.4 * (0 - 1 / (1 + np.exp(-b)))
    np.testing.assert_allclose(history, [[0, 0, 0], [a, -a, 0], [b, -b, 0], [b, -b - c, c]])


def test_its_usual_k_is_ten_points_of_chess():
    history = ratings.sequential([Game("Anna", "Bert", 1.0)], NAMES[:2])
    assert history[1, 0] == pytest.approx(0.058 / 2, abs=0.0003)
    assert ratings.to_points(history[1])[0] == pytest.approx(405)


def test_a_game_is_half_a_step_of_the_regression():
    """Equation 5.13: with the step length k / 2, one game's gradient is Elo's update."""
    game = Game("Anna", "Bert", 0.5)
    before = np.array([0.8, -0.3])
    step = -0.2 / 2 * ratings.gradient(before, ratings.count([game], NAMES[:2]))
    expected = 0.2 * (0.5 - special.expit(before[0] - before[1]))
    np.testing.assert_allclose(step, [expected, -expected])


def test_the_sequential_form_depends_on_the_order_and_the_regression_does_not():
    games = _games([[0, 6], [3, 0]])
    forth, back = (ratings.sequential(order, NAMES[:2])[-1] for order in (games, games[::-1]))
    assert abs(forth[0] - back[0]) > 0.001
    np.testing.assert_array_equal(
        ratings.fit(ratings.count(games, NAMES[:2])),
        ratings.fit(ratings.count(games[::-1], NAMES[:2])),
    )
