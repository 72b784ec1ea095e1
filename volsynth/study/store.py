"""Judges, questions and answers of a study in one SQLite file.

An answer is on the disk before `Store.answer` returns, and is a value in its question's row: it
cannot be there twice. All state is in the file, so a server that dies at any moment loses nothing.
"""

import contextlib
import hashlib
import json
import pathlib
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np

from volsynth.errors import UserError
from volsynth.study import folders, questions, ratings

MOST_JUDGES = 10_000

_SCHEMA = """
CREATE TABLE study (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE judges (
  number INTEGER PRIMARY KEY, token TEXT NOT NULL UNIQUE, since REAL NOT NULL);
CREATE TABLE questions (
  id TEXT PRIMARY KEY,
  judge INTEGER NOT NULL REFERENCES judges (number),
  task TEXT NOT NULL,
  number INTEGER NOT NULL,
  item TEXT NOT NULL,
  left TEXT NOT NULL,
  right TEXT NOT NULL,
  asked REAL NOT NULL,
  answer TEXT CHECK (answer IN ('left', 'tie', 'right')),
  answered REAL,
  UNIQUE (judge, task, number));
CREATE INDEX of_item ON questions (task, item, judge);
CREATE UNIQUE INDEX one_open ON questions (judge) WHERE answer IS NULL;
"""


class Question(NamedTuple):
    """A question; `number` counts those of its judge and task from 0, `answer` is None if open."""

    id: str
    task: str
    number: int
    item: str
    left: str
    right: str
    answer: str | None


class Answer(NamedTuple):
    """A decision of one judge between two methods: a key of `questions.CHOICES`."""

    judge: int
    task: str
    item: str
    left: str
    right: str
    answer: str


Outcome = Literal["saved", "repeated", "contradicted", "unknown"]
"""Of an answer: it is new; it was there already; another one was; there is no such question."""


class Store:
    """The file of a running study. May be used from several threads, and by several processes."""

    def __init__(
        self,
        path: pathlib.Path,
        methods: Sequence[str],
        items: Sequence[str],
        identity: str,
        rng: np.random.Generator | None = None,
    ):
        """Opens a file, or makes it.

        Args:
          path: of the file; its folder is made where there is none.
          methods: names.
          items: ids.
          identity: of the study.
          rng: draws questions; default: of the system's own randomness.

        Raises:
          UserError: the file is another study's or no study's, or cannot be written.
        """
        self._methods, self._items = list(methods), list(items)
        self._number = {item: i for i, item in enumerate(items)}
        self._rng = np.random.default_rng() if rng is None else rng
        self._lock = threading.Lock()
        about = {"format": "1", "identity": identity, "methods": json.dumps(self._methods)}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                path, timeout=30, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("PRAGMA journal_mode = WAL")
            # An answer must outlive the machine, too.
            self._connection.execute("PRAGMA synchronous = FULL")
            with self._transaction() as do:
                if not do("SELECT 1 FROM sqlite_master").fetchone():
                    for statement in _SCHEMA.split(";"):
                        do(statement)
                    for row in about.items():
                        do("INSERT INTO study VALUES (?, ?)", row)
                found = dict(do("SELECT key, value FROM study").fetchall())
        except (OSError, sqlite3.Error) as error:
            raise UserError(f"{path} cannot be used as the study's database: {error}.") from error
        if found != about:
            self.close()
            raise UserError(
                f"{path} belongs to another study: methods, items or pictures differ. Give the "
                "folders it was begun with, or another file: --database."
            )

    def close(self) -> None:
        self._connection.close()

    def new_judge(self) -> str | None:
        """The token of a new judge; None if there are `MOST_JUDGES` already.

        The file holds its SHA-256 only: whoever reads the file cannot answer in a judge's place.
        """
        token = secrets.token_urlsafe(32)
        with self._transaction() as do:
            if do("SELECT COUNT(*) FROM judges").fetchone()[0] >= MOST_JUDGES:
                return None
            row = (_digest(token), time.time())
            do("INSERT INTO judges (token, since) VALUES (?, ?)", row)
        return token

    def judge(self, token: str) -> int | None:
        """The number of the judge with this token; None if there is none."""
        with self._transaction() as do:
            row = do("SELECT number FROM judges WHERE token = ?", (_digest(token),)).fetchone()
        return row and row[0]

    def next_question(self, judge: int, games: int) -> Question | None:
        """The judge's open question, or a new one; None after `games` answers in every task."""
        with self._transaction() as do:
            row = do(f"{_QUESTION} WHERE judge = ? AND answer IS NULL", (judge,)).fetchone()
            if row:
                return Question(*row)
            done = dict(
                do("SELECT task, COUNT(*) FROM questions WHERE judge = ? GROUP BY task", (judge,))
            )
            for task in questions.TASKS:
                if done.get(task, 0) < games:
                    return self._ask(do, judge, task, done.get(task, 0))
        return None

    def question(self, judge: int, id: str) -> Question | None:
        """A question of this judge; None if it is none or another judge's."""
        with self._transaction() as do:
            row = do(f"{_QUESTION} WHERE judge = ? AND id = ?", (judge, id)).fetchone()
        return Question(*row) if row else None

    def answer(self, judge: int, id: str, choice: str) -> Outcome:
        """Keeps an answer, if the question has none; the first one stands."""
        with self._transaction() as do:
            row = do("SELECT answer FROM questions WHERE judge = ? AND id = ?", (judge, id))
            found = row.fetchone()
            if found is None:
                return "unknown"
            if found[0] is not None:
                return "repeated" if found[0] == choice else "contradicted"
            values = (choice, time.time(), id)
            do("UPDATE questions SET answer = ?, answered = ? WHERE id = ?", values)
        return "saved"

    def answered(self, judge: int) -> int:
        """How many answers a judge has given."""
        with self._transaction() as do:
            query = "SELECT COUNT(*) FROM questions WHERE judge = ? AND answer IS NOT NULL"
            return do(query, (judge,)).fetchone()[0]

    def _ask(self, do, judge, task, number):
        query = (
            "SELECT left, right, answer FROM questions "
            "WHERE judge = ? AND task = ? AND answer IS NOT NULL"
        )
        games = [
            ratings.Game(left, right, questions.CHOICES[answer])
            for left, right, answer in do(query, (judge, task))
        ]
        own, everyone = np.zeros((2, len(self._items)), int)
        query = "SELECT item, COUNT(*), SUM(judge = ?) FROM questions WHERE task = ? GROUP BY item"
        for item, total, mine in do(query, (judge, task)):
            everyone[self._number[item]], own[self._number[item]] = total, mine
        counts = ratings.count(games, self._methods)
        drawn = questions.draw(counts, own, everyone, self._rng)
        asked = Question(
            secrets.token_urlsafe(16),
            task,
            number,
            self._items[drawn.item],
            self._methods[drawn.left],
            self._methods[drawn.right],
            None,
        )
        columns = "id, task, number, item, left, right, answer, judge, asked"
        row = (*asked, judge, time.time())
        do(f"INSERT INTO questions ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        return asked

    @contextlib.contextmanager
    def _transaction(self):
        """Everything inside happens or nothing does; on leaving it is on the disk."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection.execute
                self._connection.execute("COMMIT")
            except BaseException:
                # A full disk ends a transaction by itself.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise


_QUESTION = "SELECT id, task, number, item, left, right, answer FROM questions"


def _digest(token):
    return hashlib.sha256(token.encode()).hexdigest()


def read(path: pathlib.Path) -> tuple[tuple[str, ...], list[Answer]]:
    """Methods of a study and all answers, in the order of the judges.

    The study may be running; the file is not changed.

    Raises:
      UserError: there is no such file, or it is no study's, or is damaged.
    """
    if not path.is_file():
        raise UserError(f"{path} is no file. The database is what volsynth study serve made.")
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        ) as db:
            methods = json.loads(
                db.execute("SELECT value FROM study WHERE key = 'methods'").fetchone()[0]
            )
            query = (
                "SELECT judge, task, item, left, right, answer FROM questions "
                "WHERE answer IS NOT NULL ORDER BY judge, asked"
            )
            answers = [Answer(*row) for row in db.execute(query)]
            if not isinstance(methods, list):
                raise ValueError("it names no methods")
    except (sqlite3.Error, ValueError, TypeError) as error:
        raise UserError(
            f"{path} is not the database of a study, or is damaged: {error}."
        ) from error
    methods = tuple(folders.check_method(name, str(path)) for name in methods)
    for answer in answers:
        if (
            answer.task not in questions.TASKS
            or answer.answer not in questions.CHOICES
            or not {answer.left, answer.right} <= set(methods)
        ):
            raise UserError(f"{path} is damaged: it has the answer {tuple(answer)}.")
    return methods, answers


def by_task(answers: Sequence[Answer]) -> Iterator[tuple[str, list[Answer]]]:
    """The answers of each task that has any, in the order of the tasks."""
    for task in questions.TASKS:
        found = [answer for answer in answers if answer.task == task]
        if found:
            yield task, found
