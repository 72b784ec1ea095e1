"""Answers are kept once, at once, and for the study they belong to."""

import concurrent.futures
import sqlite3

import numpy as np
import pytest
from small_study import METHODS

from volsynth.errors import UserError
from volsynth.study import pairs, questions, ratings, store


def _answer_all(kept, judge, games, choose=lambda asked: "left"):
    """The questions of a judge, all answered."""
    asked = []
    while (question := kept.next_question(judge, games)) is not None:
        asked.append(question)
        assert kept.answer(judge, question.id, choose(question)) == "saved"
    return asked


def _judge(kept):
    return kept.find_judge(kept.new_judge())


def test_judges_are_known_by_their_tokens_which_the_file_does_not_hold(open_store, tmp_path):
    kept = open_store()
    one, other = kept.new_judge(), kept.new_judge()
    assert (kept.find_judge(one), kept.find_judge(other), kept.find_judge("?")) == (1, 2, None)
    kept.close()
    everything = b"".join(file.read_bytes() for file in (tmp_path / "answers").iterdir())
    assert one.encode() not in everything


def test_there_is_a_limit_of_judges(open_store, monkeypatch):
    monkeypatch.setattr(store, "MOST_JUDGES", 2)
    kept = open_store()
    assert [kept.new_judge() is None for _ in range(4)] == [False, False, True, True]


def test_every_task_has_its_number_of_questions(open_store):
    kept = open_store()
    judge = _judge(kept)
    asked = _answer_all(kept, judge, 7)
    assert [question.task for question in asked] == [t for t in questions.TASKS for _ in range(7)]
    assert [question.number for question in asked] == [*range(7)] * 3
    assert kept.count_answers(judge) == 21
    assert len({question.id for question in asked}) == 21
    # Seven questions of six items, and of six pairs: none comes again before all have come.
    for start in (0, 7, 14):
        part = asked[start : start + 6]
        assert len({question.item for question in part}) == 6
        assert len({frozenset((q.left, q.right)) for q in part}) == 6


def test_pairs_follow_the_judges_own_decisions(open_store):
    kept = open_store()
    judge, other = _judge(kept), _judge(kept)
    _answer_all(kept, other, 10, lambda asked: "tie")
    games = []
    for _ in range(20):
        counts = ratings.count(games, sorted(METHODS))
        question = kept.next_question(judge, 20)
        change = pairs.possible_change(counts)
        number = [sorted(METHODS).index(name) for name in (question.left, question.right)]
        assert change[*number] == change.max()
        choice = "left" if question.left < question.right else "right"
        kept.answer(judge, question.id, choice)
        games.append(ratings.Game(question.left, question.right, questions.CHOICES[choice]))


def test_an_open_question_is_asked_until_it_is_answered(open_store):
    kept = open_store()
    judge = _judge(kept)
    question = kept.next_question(judge, 3)
    assert kept.next_question(judge, 3) == question
    kept.close()
    again = open_store(seed=5)
    assert again.next_question(judge, 3) == question
    assert again.question(judge, question.id) == question
    assert again.answer(judge, question.id, "tie") == "saved"
    assert again.question(judge, question.id).answer == "tie"
    assert again.next_question(judge, 3).id != question.id


def test_the_first_answer_stands(open_store):
    kept = open_store()
    judge, other = _judge(kept), _judge(kept)
    question = kept.next_question(judge, 3)
    assert kept.answer(other, question.id, "left") == "unknown"
    assert kept.question(other, question.id) is None
    assert kept.answer(judge, "?", "left") == "unknown"
    outcomes = [kept.answer(judge, question.id, choice) for choice in ("left", "left", "right")]
    assert outcomes == ["saved", "repeated", "contradicted"]
    assert kept.question(judge, question.id).answer == "left"
    with pytest.raises(sqlite3.IntegrityError):
        kept.answer(judge, kept.next_question(judge, 3).id, "both")
    # What failed has left nothing behind, and nothing locked.
    assert kept.answer(judge, kept.next_question(judge, 3).id, "tie") == "saved"


def test_an_answer_is_on_the_disk_when_it_is_acknowledged(open_store, tmp_path):
    kept = open_store()
    judge = _judge(kept)
    assert kept._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    # 2 is FULL: the journal is flushed with every commit.
    assert kept._connection.execute("PRAGMA synchronous").fetchone() == (2,)
    question = kept.next_question(judge, 3)
    kept.answer(judge, question.id, "right")
    # Another process sees it while the first one is still at work.
    methods, answers = store.read(tmp_path / "answers" / "study.db")
    assert methods == tuple(sorted(METHODS))
    expected = (question.task, question.item, question.left, question.right, "right")
    assert answers == [store.Answer(judge, *expected)]


def test_two_processes_may_serve_one_file(open_store):
    one, other = open_store(seed=1), open_store(seed=2)
    judge = _judge(one)
    for kept in (one, other) * 5:
        question = kept.next_question(judge, 10)
        assert kept.answer(judge, question.id, "left") == "saved"
    assert one.count_answers(judge) == other.count_answers(judge) == 10


def test_many_judges_at_once(open_store):
    kept = open_store()

    def play(_):
        return len(_answer_all(kept, _judge(kept), 4))

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(play, range(8))) == [12] * 8
    assert {kept.count_answers(judge) for judge in range(1, 9)} == {12}


def test_a_file_of_another_study(open_store, study, tmp_path):
    open_store().close()
    path = tmp_path / "answers" / "study.db"
    for identity, methods in (("other", study.methods), (study.identity, ("a", "b"))):
        with pytest.raises(UserError, match="belongs to another study"):
            store.AnswerStore(path, methods, study.items, identity)


def test_what_is_no_database(open_store, study, tmp_path):
    path = tmp_path / "file"
    with pytest.raises(UserError, match=r"is no file\. The database is what"):
        store.read(path)
    path.write_bytes(b"no database, but long enough to be read as one" * 20)
    for use in (store.read, lambda path: open_store(path=path)):
        with pytest.raises(UserError, match="database"):
            use(path)
    with pytest.raises(UserError, match="cannot be used as the study's database"):
        open_store(path=path / "below")
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE study (key, value)")
    with pytest.raises(UserError, match="is not the database of a study, or is damaged"):
        store.read(other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "UPDATE questions SET task = 'x' WHERE task = 'same person'",
            "is damaged: it has the answer",
        ),
        ("UPDATE questions SET left = 'x'", "is damaged: it has the answer"),
        ('UPDATE study SET value = \'["a|b", "c"]\'', "must be a name of letters"),
        ("UPDATE study SET value = '3'", "is not the database of a study"),
        ("DELETE FROM study", "is not the database of a study"),
    ],
)
def test_a_damaged_database_is_not_reported(open_store, tmp_path, change, message):
    kept = open_store()
    _answer_all(kept, _judge(kept), 1)
    path = tmp_path / "answers" / "study.db"
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(change)
    connection.close()
    with pytest.raises(UserError, match=message):
        store.read(path)


def test_answers_come_by_task():
    answers = [store.Answer(1, task, "i", "a", "b", "tie") for task in ("correct pose", "?")]
    assert list(store.group_by_task(answers)) == [("correct pose", answers[:1])]


def test_the_default_draws_differ_from_run_to_run(study, tmp_path):
    asked = []
    for i in range(8):
        kept = store.AnswerStore(tmp_path / f"{i}.db", study.methods, study.items, study.identity)
        asked.append(kept.next_question(_judge(kept), 1)[3:6])
        kept.close()
    assert len(set(asked)) > 1
    assert np.all([row[1] != row[2] for row in asked])
