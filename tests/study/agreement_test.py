"""ICC against a published example and a textbook's sums; correlations against hand-made ranks."""

import numpy as np
import pytest

from volsynth.errors import UserError
from volsynth.study import agreement

# Six targets by four judges: table 2 of Shrout and Fleiss (1979), whose ICC(3,1) is .71.
SHROUT_FLEISS = [
    [9, 2, 5, 8],
    [6, 1, 3, 2],
    [8, 4, 6, 8],
    [7, 1, 2, 6],
    [10, 5, 6, 9],
    [6, 2, 4, 7],
]

MODELS = "ABCDEFGH"
RATED = dict(zip(MODELS, (-1.9, -0.6, -0.2, 0.0, 0.3, 0.5, 0.9, 1.0)))


def _swapped(*places):
    """Scores in the order of `RATED`, but for neighbours that changed places."""
    order = list(range(8))
    for place in places:
        order[place], order[place + 1] = order[place + 1], order[place]
    return {name: 0.01 * rank**3 for name, rank in zip(MODELS, order)}


# --- between people ------------------------------------------------------------------------------


def test_the_published_example():
    value, low, high = agreement.icc(SHROUT_FLEISS)
    # Its mean squares are 11.24 between targets and 1.02 of the rest.
    assert value == pytest.approx((11.24 - 1.02) / (11.24 + 3 * 1.02), abs=0.001)
    assert value == pytest.approx(0.71, abs=0.005)
    # As other implementations print them.
    assert low == pytest.approx(0.34, abs=0.005)
    assert high == pytest.approx(0.95, abs=0.005)


def test_the_mean_squares_are_those_of_a_two_way_anova():
    scores = np.random.default_rng(0).normal(size=(8, 6)) + np.arange(8)[:, None] / 3
    n, k = scores.shape
    # Sums of squares by a textbook's short forms.
    correction = scores.sum() ** 2 / (n * k)
    total = (scores**2).sum() - correction
    rows = (scores.sum(1) ** 2).sum() / k - correction
    columns = (scores.sum(0) ** 2).sum() / n - correction
    between, error = rows / (n - 1), (total - rows - columns) / ((n - 1) * (k - 1))
    expected = (between - error) / (between + (k - 1) * error)
    assert agreement.icc(scores).value == pytest.approx(expected)


def test_a_shift_of_a_rater_and_a_common_scale_change_nothing():
    scores = np.array(SHROUT_FLEISS, float)
    np.testing.assert_allclose(
        agreement.icc(7 * scores + [0, 100, -3, 20]), agreement.icc(scores), rtol=1e-9
    )


def test_an_exaggerating_rater_lowers_the_agreement():
    scores = np.array(SHROUT_FLEISS, float)
    assert agreement.icc(scores * [1, 1, 1, 5]).value < agreement.icc(scores).value


def test_the_ends_of_the_scale():
    ramp = np.arange(4.0)
    np.testing.assert_allclose(agreement.icc(np.stack([ramp, ramp + 1, ramp], 1)), 1)
    # Two who contradict each other: -1 / (raters - 1).
    assert agreement.icc(np.stack([ramp, -ramp], 1)).value == pytest.approx(-1)


def test_the_interval_holds_the_value_and_the_level():
    narrow, wide = (agreement.icc(SHROUT_FLEISS, level=level) for level in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


def test_the_interval_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(1)
    inside = []
    for _ in range(500):
        scores = rng.normal(size=(8, 1)) + rng.normal(size=(8, 6)) * 0.5
        found = agreement.icc(scores, level=0.9)
        inside.append(found.low <= 0.8 <= found.high)
    assert np.mean(inside) == pytest.approx(0.9, abs=0.04)


@pytest.mark.parametrize(
    ("scores", "level", "message"),
    [
        (np.zeros((1, 4)), 0.95, r"got \(1, 4\)"),
        (np.zeros((4, 1)), 0.95, r"got \(4, 1\)"),
        (np.zeros(4), 0.95, r"got \(4,\)"),
        ([[1, 2], [3, np.nan]], 0.95, "missing or not finite"),
        (SHROUT_FLEISS, 1, "between 0 and 1, got 1"),
        (SHROUT_FLEISS, 0, "between 0 and 1, got 0"),
        ([[0.1, 0.7]] * 7, 0.95, "gave all subjects one score"),
        (np.zeros((3, 3)), 0.95, "gave all subjects one score"),
    ],
)
def test_what_has_no_icc_is_an_error(scores, level, message):
    with pytest.raises(UserError, match=message):
        agreement.icc(scores, level)


# --- between metrics and people ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("places", "squares", "printed"),
    # Squared differences of ranks, and correlations that table 5.1 prints for eight models.
    [((), 0, "1.00"), ((0,), 2, "0.98"), ((0, 2, 4, 6), 8, "0.90"), (range(7), 56, "0.33")],
)
def test_spearman_is_the_sum_of_squared_differences_of_ranks(places, squares, printed):
    found = agreement.correlations(
        {"realistic image": RATED}, {"ssim": _swapped(*places)}, {"ssim": "higher"}
    )
    rho = found["realistic image"]["ssim"]["rho"]
    assert rho == pytest.approx(1 - 6 * squares / (8 * 63))
    assert f"{rho:.2f}" == printed


def test_agreement_has_the_sign_of_what_is_better():
    scores = _swapped(3)
    errors = {name: -score for name, score in scores.items()}
    found = agreement.correlations(
        {"realistic image": RATED, "correct pose": {m: -r for m, r in RATED.items()}},
        {"ssim": scores, "l1": errors},
        {"ssim": "higher", "l1": "lower", "unused": "higher"},
    )
    assert list(found) == ["realistic image", "correct pose"]
    rho = 1 - 6 * 2 / (8 * 63)
    for task, sign in (("realistic image", 1), ("correct pose", -1)):
        assert found[task]["ssim"] == pytest.approx({"rho": sign * rho, "agreement": sign * rho})
        assert found[task]["l1"] == pytest.approx({"rho": -sign * rho, "agreement": sign * rho})


def test_models_are_matched_by_name():
    backwards = dict(reversed(RATED.items()))
    found = agreement.correlations({"task": RATED}, {"ssim": backwards}, {"ssim": "higher"})
    assert found["task"]["ssim"]["rho"] == pytest.approx(1)


def test_the_table_shows_what_is_better_and_what_runs_against_it():
    better = {"ssim": "higher", "l1": "lower"}
    found = agreement.correlations(
        {"realistic image": RATED}, {"ssim": _swapped(0), "l1": _swapped(0)}, better
    )
    assert agreement.table(found, better).splitlines() == [
        "|  | ssim ↑ | l1 ↓ |",
        "|---|---|---|",
        "| realistic image | 0.98 | 0.98 (!) |",
    ]


@pytest.mark.parametrize(
    ("rated", "scored", "better", "message"),
    [
        ({"A": 1, "B": 2}, {"A": 1, "B": 2}, "higher", "needs three models, 'task' has 2"),
        (RATED, RATED, None, "not known of 'ssim': got None. Allowed: higher, lower"),
        (RATED, RATED, "up", "not known of 'ssim': got 'up'"),
        (RATED, {**RATED, "I": 1}, "higher", "'ssim' scores other models than 'task' rates: I"),
        (RATED, {"A": 1}, "higher", "rates: B, C, D, E, F, G, H"),
        (RATED, dict.fromkeys(RATED, 0.5), "higher", "scores of 'ssim' are all 0.5"),
        (dict.fromkeys(RATED, 0), RATED, "higher", "ratings of 'task' are all 0"),
        (RATED, {**RATED, "B": np.nan}, "higher", "scores of 'ssim' are not all finite"),
        ({**RATED, "B": np.inf}, RATED, "higher", "ratings of 'task' are not all finite"),
    ],
)
def test_what_cannot_be_correlated_is_an_error(rated, scored, better, message):
    with pytest.raises(UserError, match=message):
        agreement.correlations({"task": rated}, {"ssim": scored}, {"ssim": better})
