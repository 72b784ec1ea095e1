"""The report: planted preferences come out, agreement is that of the judges, metrics line up."""

import itertools
import json

import numpy as np
import pytest
from small_study import BRIGHTNESS, METHODS, POST, preferred, write_folder

from volsynth import cli
from volsynth.errors import UserError
from volsynth.study import agreement, plots, questions, ratings, report, report_files, store

NAMES = sorted(METHODS)


@pytest.fixture
def fill(open_store, tmp_path):
    """A function that fills a database with judges who decide by `choose(judge, question)`."""

    def make(choose, judges=2, games=8):
        kept = open_store(hasty=True)
        for _ in range(judges):
            judge = kept.find_judge(kept.new_judge())
            while (question := kept.next_question(judge, games)) is not None:
                kept.answer(judge, question.id, choose(judge, question))
        kept.close()
        return tmp_path / "answers" / "study.db"

    return make


def _brighter(judge, question):
    """The brighter method, mostly: judges contradict it in some questions of their own."""
    better = BRIGHTNESS[question.left] > BRIGHTNESS[question.right]
    if (question.number + judge) % 4 == 0:
        better = not better
    return "left" if better else "right"


def _evaluated(paths, scores, protocol=None, damaged=None):
    """Writes `results.json` into folders: {metric: scores in the order of the folders}."""
    usual = {"scores": {"ssim": {"better": "higher"}, "l1": {"better": "lower"}}}
    for i, path in enumerate(paths):
        metrics = {name: values[i] for name, values in scores.items() if values[i] is not None}
        found = {"metrics": metrics, "protocol": protocol or usual}
        (path / "results.json").write_text(damaged or json.dumps(found))


@pytest.fixture
def folders_of_methods(tmp_path):
    return [write_folder(tmp_path / "of" / name, name, BRIGHTNESS[name]) for name in METHODS]


def test_judges_who_see_pictures_only_rate_methods_as_planted(visit, tmp_path):
    games = 12
    for seed in range(3):
        client, rng = visit(games=games), np.random.default_rng(seed)
        state = client.post("/begin", json={}, headers=POST).json()
        while not state["finished"]:
            pictures = [
                client.get(f"/picture/{state['question']}/{side}").content
                for side in ("left", "right")
            ]
            body = {"question": state["question"], "choice": preferred(pictures, rng)}
            state = client.post("/answer", json=body, headers=POST).json()
    found = report.report(tmp_path / "answers" / "study.db", resamples=50)
    assert found["judges"] == 3
    for task in questions.TASKS:
        elo = found["elo"][task]
        assert sorted(elo, key=elo.get) == list(METHODS)
        assert found["answers"][task] == 3 * games
        assert np.sum(found["points"][task]) == 3 * games
        assert found["icc"][task]["judges"] == 3
        assert found["icc"][task]["value"] > 0.5


def test_ratings_are_those_of_the_summed_counters(fill):
    path = fill(_brighter, judges=3)
    found = report.report(path, resamples=20)
    _, answers = store.read(path)
    for task in questions.TASKS:
        games = [
            ratings.Game(a.left, a.right, {"left": 1.0, "tie": 0.5, "right": 0.0}[a.answer])
            for a in answers
            if a.task == task
        ]
        counts = ratings.count(games, NAMES)
        np.testing.assert_array_equal(found["points"][task], counts)
        expected = ratings.fit(counts, NAMES, prior=report.PRIOR)
        np.testing.assert_allclose([found["elo"][task][name] for name in NAMES], expected)


def test_intervals_are_as_wide_as_judges_differ(fill):
    def apart(judge, question):
        choice = _brighter(0, question)
        return choice if judge % 2 else {"left": "right", "right": "left"}[choice]

    task = questions.TASKS[0]
    path = fill(apart, judges=4)
    found = report.report(path, resamples=200)
    assert max(high - low for low, high in found["intervals"][task].values()) > 1
    for name, (low, high) in found["intervals"][task].items():
        assert low <= found["elo"][task][name] <= high
    assert report.report(path, resamples=200) == found
    assert report.report(path, resamples=200, seed=1)["intervals"] != found["intervals"]


def _of(monkeypatch, answers):
    """Reports are of these answers."""
    monkeypatch.setattr(store, "read", lambda path: (tuple(NAMES), answers))


def _chain(task, judge=1, answer="left", times=1):
    """Each method against the next one, `times` each."""
    pairs = list(itertools.pairwise(NAMES)) * times
    return [store.Answer(judge, task, "i", a, b, answer) for a, b in pairs]


def test_judges_who_never_differ_are_no_ground_for_intervals(tmp_path, monkeypatch):
    task = questions.TASKS[0]
    pairs = [("alpha", "bravo"), ("bravo", "carol"), ("carol", "delta"), ("delta", "alpha")]
    _of(
        monkeypatch,
        [store.Answer(judge, task, "i", a, b, "left") for judge in range(3) for a, b in pairs * 2],
    )
    found = report.report(tmp_path, resamples=40)
    assert found["intervals"][task] == dict.fromkeys(NAMES)
    line = f"{task}: no interval of {', '.join(NAMES)}: resamples of judges do not differ."
    assert line in found["warnings"]


def test_agreement_is_that_of_the_judges_ratings(fill):
    found = report.report(fill(_brighter, judges=3), resamples=20)
    task = questions.TASKS[1]
    scores = np.array(
        [[of[name] for name in NAMES] for of in found["elo_of_judges"][task].values()]
    ).T
    expected = agreement.icc(scores)
    assert found["icc"][task] == pytest.approx({**expected._asdict(), "judges": 3})


def test_metrics_are_compared_with_people(fill, folders_of_methods):
    # The darkest first, which is the order of the folders.
    scores = {"ssim": [0.1, 0.2, 0.3, 0.4], "l1": [1, 2, 3, 4], "other": [1, 2, 3, 4]}
    _evaluated(folders_of_methods, {**scores, "same": [1, 1, 1, 1], "some": [1, None, 2, 3]})
    path = fill(lambda judge, question: _brighter(0, question), judges=2, games=24)
    found = report.report(path, folders_of_methods, resamples=20)
    assert found["better"] == {"ssim": "higher", "l1": "lower"}
    assert found["scores"]["l1"] == dict(zip(METHODS, [1, 2, 3, 4]))
    for task, row in found["spearman"].items():
        elo = found["elo"][task]
        order = np.argsort(np.argsort([elo[name] for name in METHODS]))
        rho = 1 - 6 * np.sum((order - np.arange(4)) ** 2) / (4 * 15)
        assert row["ssim"] == pytest.approx({"rho": rho, "agreement": rho})
        assert row["l1"] == pytest.approx({"rho": rho, "agreement": -rho})
    notes = " ".join(found["warnings"])
    assert "other: not known of all methods, or not what is better: left out." in notes
    assert "some: not known of all methods" in notes or "some" not in found["scores"]
    assert "same: not known" in notes or "same: the same of all methods" in notes


def test_metrics_that_are_not_there_are_said_to_be_missing(fill, folders_of_methods):
    path = fill(_brighter, judges=2)
    first, *rest = folders_of_methods
    _evaluated(rest, {"ssim": [0.2, 0.3, 0.4]})
    found = report.report(path, folders_of_methods, resamples=20)
    assert found["spearman"][questions.TASKS[0]] == {}
    assert f"delta: no results.json in {first}; see volsynth evaluate." in found["warnings"]
    assert "no metrics of delta: metrics are not compared." in found["warnings"]
    _evaluated([first], {"ssim": [0.1]}, {"scores": {"ssim": {"better": "higher", "window": 3}}})
    found = report.report(path, folders_of_methods, resamples=20)
    message = "the metrics of the methods were not made by the same protocol; different are "
    assert any(warning.startswith(message) for warning in found["warnings"])
    assert set(found["spearman"][questions.TASKS[0]]) == {"ssim"}


@pytest.mark.parametrize("text", ["{", "[]", '{"metrics": {}}', '{"metrics": 3, "protocol": {}}'])
def test_damaged_results_are_an_error(fill, folders_of_methods, text):
    _evaluated(folders_of_methods[:1], {"ssim": [0.1]}, damaged=text)
    with pytest.raises(UserError, match=r"results\.json is damaged: it has no scores"):
        report.report(fill(_brighter, judges=1), folders_of_methods[:1])


def test_results_of_a_method_that_is_not_in_the_study(fill, tmp_path):
    folder = write_folder(tmp_path / "other", "other", 10)
    with pytest.raises(UserError, match="holds the method 'other', which is not in the study: al"):
        report.report(fill(_brighter, judges=1), [folder])


def test_results_that_cannot_be_read(fill, folders_of_methods):
    (folders_of_methods[0] / "results.json").mkdir()
    with pytest.raises(UserError, match=r"results\.json cannot be read: Is a directory"):
        report.report(fill(_brighter, judges=1), folders_of_methods[:1])


def test_a_single_judge_has_intervals_over_decisions_and_no_agreement(fill):
    found = report.report(fill(_brighter, judges=1, games=30), resamples=50)
    task = questions.TASKS[0]
    assert found["icc"][task] is None
    assert any("intervals are over decisions" in line for line in found["warnings"])
    assert any("agreement between judges needs two" in line for line in found["warnings"])
    assert all(low < high for low, high in found["intervals"][task].values())
    assert "by one judge" in report_files.markdown(found)


def test_three_decisions_are_no_ground_for_intervals(tmp_path, monkeypatch):
    task = questions.TASKS[0]
    _of(monkeypatch, _chain(task))
    found = report.report(tmp_path, resamples=100)
    assert found["intervals"][task] == dict.fromkeys(NAMES)
    left_out = found["left_out"][task]
    # Each of the three must be drawn: 3! / 3^3.
    assert left_out == pytest.approx(100 * (1 - 6 / 27), abs=12)
    assert (
        f"{task}: in {left_out} of 100 resamples of decisions some methods were never compared; "
        "there are no intervals."
    ) in found["warnings"]


def test_a_rating_lies_in_its_interval_whoever_answers(fill):
    """One judge who hardly doubts: what is added to resamples is added to the ratings."""
    found = report.report(fill(_brighter, judges=1, games=20), resamples=200)
    for task in questions.TASKS:
        for name, (low, high) in found["intervals"][task].items():
            assert (low + high) / 2 == pytest.approx(found["elo"][task][name])


def test_a_few_resamples_that_are_left_out_are_told(tmp_path, monkeypatch):
    task = questions.TASKS[0]
    _of(monkeypatch, _chain(task, times=3) + _chain(task, answer="right"))
    found = report.report(tmp_path, resamples=400)
    left_out = found["left_out"][task]
    assert 0 < left_out < 20
    assert all(low < high for low, high in found["intervals"][task].values())
    assert (
        f"{task}: in {left_out} of 400 resamples of decisions some methods were never compared; "
        "they were left out."
    ) in found["warnings"]


def test_a_task_that_is_under_way_leaves_the_others_alone(fill, open_store, tmp_path):
    """A judge is at the first question of the last task."""
    path = fill(_brighter, judges=2, games=8)
    before = report.report(path, resamples=20)
    path.unlink()
    kept = open_store(hasty=True)
    for _ in range(2):
        judge = kept.find_judge(kept.new_judge())
        for _ in range(2 * 8 + (judge == 1)):
            question = kept.next_question(judge, 8)
            kept.answer(judge, question.id, _brighter(judge, question))
    found = report.report(path, resamples=20)
    done, last = questions.TASKS[:2], questions.TASKS[2]
    for name in ("elo", "intervals", "icc", "left_out", "spearman", "elo_of_judges"):
        assert set(found[name]) == set(done)
        assert set(before[name]) == {*done, last}
    (reason,) = found["unrated"].values()
    assert "were never compared, not even through a third model" in reason
    assert set(found["unrated"]) == {last}
    assert f"{last}: not rated yet: {reason}" in found["warnings"]
    assert found["answers"] == {done[0]: 16, done[1]: 16, last: 1}
    assert np.sum(found["points"][last]) == 1
    text = report_files.markdown(found)
    section = text.split(f"## {last.capitalize()}")[1]
    share = f"{found['ties'][last]:.0%}"
    assert section.startswith(f"\n\nOne decision, {share} of them ties. Not rated yet: {reason}")
    assert text.count("Agreement of 2 judges") + text.count("Agreement between") == 2
    report_files.write(found, tmp_path / "out")
    for figure in (plots.ratings(found), plots.wins(found)):
        assert figure.get_supxlabel() == f"not rated yet: {last}"
        assert len(figure.axes) == 2
    assert plots.ratings(before).get_supxlabel() == ""


def test_a_method_that_wins_everything_has_a_rating_and_a_note(fill):
    def never_in_doubt(judge, question):
        return "left" if BRIGHTNESS[question.left] > BRIGHTNESS[question.right] else "right"

    found = report.report(fill(never_in_doubt, judges=2), resamples=20)
    for task in questions.TASKS:
        elo = found["elo"][task]
        assert sorted(elo, key=elo.get) == list(METHODS)
        assert np.all(np.isfinite(list(elo.values())))
        (line,) = [
            line
            for line in found["warnings"]
            if line.startswith(f"{task}: a method, or a group, won or lost everything")
        ]
        assert line.endswith("rest on the 0.1 tied games added to every pair.")


def test_judges_who_only_tie_agree_on_nothing(fill):
    found = report.report(fill(lambda judge, question: "tie"), resamples=20)
    task = questions.TASKS[0]
    assert found["ties"][task] == 1
    assert found["icc"][task] is None
    assert any("no agreement between judges: Every rater" in line for line in found["warnings"])


def test_judges_who_have_just_begun_do_not_count_for_agreement(fill, open_store):
    path = fill(_brighter, judges=2)
    kept = open_store()
    judge = kept.find_judge(kept.new_judge())
    kept.answer(judge, kept.next_question(judge, 3).id, "left")
    found = report.report(path, resamples=20)
    task = questions.TASKS[0]
    assert found["judges"] == 3
    assert found["icc"][task]["judges"] == 2
    assert any("judge 3 has not compared all methods yet" in line for line in found["warnings"])


def test_judges_who_each_saw_some_methods_are_no_ground_for_intervals(tmp_path, monkeypatch):
    """Each judge alone saw two methods; together they saw all."""
    task = questions.TASKS[0]
    answers = [
        answer._replace(judge=judge, left=pair[0], right=pair[1])
        for judge, answer in enumerate(_chain(task))
        for pair in (answer[3:5], answer[4:2:-1])
    ]
    _of(monkeypatch, answers)
    found = report.report(tmp_path, resamples=100)
    left_out = found["left_out"][task]
    assert left_out == pytest.approx(100 * (1 - 6 / 27), abs=12)
    line = f"in {left_out} of 100 resamples of judges some methods were never compared; there are"
    assert any(line in each for each in found["warnings"])
    assert found["icc"][task] is None
    assert found["intervals"][task] == dict.fromkeys(NAMES)
    json.dumps(found, allow_nan=False)
    assert "| +0.00 | – |" in report_files.markdown(found)
    report_files.write(found, tmp_path / "out")


def test_what_has_no_report(fill, open_store, tmp_path, monkeypatch):
    path = fill(_brighter, judges=0)
    with pytest.raises(UserError, match="has no answers yet"):
        report.report(path)
    with pytest.raises(UserError, match="--resamples must be at least 1, got 0"):
        report.report(path, resamples=0)
    lonely = [store.Answer(1, questions.TASKS[0], "i", "alpha", "bravo", "tie")]
    monkeypatch.setattr(store, "read", lambda path: (tuple(NAMES), lonely))
    with pytest.raises(
        UserError, match=r"no task can be rated yet\. realistic image: alpha, bravo and carol, delt"
    ):
        report.report(path)


def test_the_command_prints_and_writes(fill, folders_of_methods, tmp_path, capsys):
    _evaluated(folders_of_methods, {"ssim": [0.1, 0.2, 0.3, 0.4]})
    path, out = fill(_brighter, judges=2), tmp_path / "out"
    arguments = ["study", "report", "--database", str(path), "--resamples", "20"]
    where = ["--results", *map(str, folders_of_methods), "--out", str(out)]
    assert cli.main([*arguments, *where, "--json"]) == 0
    printed, said = capsys.readouterr()
    assert printed.count("\n") == 1
    found = json.loads(printed)
    assert found == json.loads((out / "report.json").read_text())
    assert {"elo", "icc", "spearman"} <= set(found)
    names = ["report.json", "report.md", "ratings.png", "wins.png", "metrics.png"]
    assert said.splitlines() == [str(out / name) for name in names]
    for name in names[2:]:
        assert (out / name).read_bytes().startswith(b"\x89PNG")
    assert cli.main(arguments) == 0
    text = capsys.readouterr().out
    assert "## Realistic image" in text
    assert "ssim" not in text
    best, *_ = sorted(found["elo"]["same person"].items(), key=lambda row: -row[1])
    rows = (out / "report.md").read_text().split("## Same person")[1].splitlines()
    first = next(row for row in rows if row.startswith("| ") and not row.startswith("| |"))
    assert first.startswith(f"| {best[0]} | {best[1]:+.2f} | [")
    assert "| ssim ↑ |" in (out / "report.md").read_text()


def test_a_report_that_cannot_be_written(fill, tmp_path):
    found = report.report(fill(_brighter, judges=2), resamples=5)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write the report to"):
        report_files.write(found, tmp_path / "file")
