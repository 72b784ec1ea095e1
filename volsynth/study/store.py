"""Judges, questions and answers of a study in one SQLite file.

An answer is on the disk before `AnswerStore.answer` returns. It is a value in its question's row,
so that it cannot be there twice. All state is in the file: a server that dies at any moment loses
nothing.
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
"""The most judges that a study takes."""

# The last index lets a judge have one open question at most, whatever the code does.
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
    """A question to a judge.

    Attributes:
      id: Random name of the question, the only one that the browser knows.
      task: The task, one of `questions.TASKS`.
      number: Number of the question among those of its judge and task, from 0.
      item: Id of the item.
      left: The method whose picture stands on the left.
      right: The method whose picture stands on the right.
      answer: A key of `questions.CHOICES`; None while the question is open.
    """

    id: str
    task: str
    number: int
    item: str
    left: str
    right: str
    answer: str | None


class Answer(NamedTuple):
    """A decision of one judge between two methods.

    Attributes:
      judge: Number of the judge.
      task: The task, one of `questions.TASKS`.
      item: Id of the item.
      left: The method whose picture stood on the left.
      right: The method whose picture stood on the right.
      answer: The decision, a key of `questions.CHOICES`.
    """

    judge: int
    task: str
    item: str
    left: str
    right: str
    answer: str


Outcome = Literal["saved", "repeated", "contradicted", "unknown"]
"""The outcome of an answer: it was new and is saved; the same one was there already; another one
was there; or the judge has no such question."""


class AnswerStore:
    """The file of a running study, which several threads and processes may use at one time."""

    def __init__(
        self,
        path: pathlib.Path,
        methods: Sequence[str],
        items: Sequence[str],
        identity: str,
        rng: np.random.Generator | None = None,
    ) -> None:
        """Opens a file, or makes it.

        Args:
          path: the file; its folder is made where there is none.
          methods: names of the methods.
          items: ids of the items.
          identity: identity of the study, by which the file knows it again.
          rng: draws questions; by default seeded by the system.

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
            # Without an isolation level, the module begins no transactions by itself. Threads share
            # the connection, one at a time, by the lock.
            self._connection = sqlite3.connect(
                path, timeout=30, isolation_level=None, check_same_thread=False
            )
            # So a report can be read while answers are written.
            self._connection.execute("PRAGMA journal_mode = WAL")
            # An answer must outlive the machine, too.
            self._connection.execute("PRAGMA synchronous = FULL")
            with self._transaction() as do:
                if not do("SELECT 1 FROM sqlite_master").fetchone():
                    # One by one: `executescript` would commit the transaction first.
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
        """Closes the file."""
        self._connection.close()

    def new_judge(self) -> str | None:
        """Adds a judge and returns its token; None if there are `MOST_JUDGES` already.

        The file holds the token's SHA-256 only: whoever reads the file cannot answer in a judge's
        place.
        """
        token = secrets.token_urlsafe(32)
        with self._transaction() as do:
            if do("SELECT COUNT(*) FROM judges").fetchone()[0] >= MOST_JUDGES:
                return None
            row = (_digest(token), time.time())
            do("INSERT INTO judges (token, since) VALUES (?, ?)", row)
        return token

    def find_judge(self, token: str) -> int | None:
        """The number of the judge with this token; None if there is none."""
        with self._transaction() as do:
            row = do("SELECT number FROM judges WHERE token = ?", (_digest(token),)).fetchone()
        return row and row[0]

    def next_question(self, judge: int, games: int) -> Question | None:
        """The judge's open question, or a new one; None after `games` answers in every task."""
        # Asked and stored in one transaction: two tabs of one browser get the same question.
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
        """The question of this id; None if it is unknown or another judge's."""
        with self._transaction() as do:
            row = do(f"{_QUESTION} WHERE judge = ? AND id = ?", (judge, id)).fetchone()
        return Question(*row) if row else None

    def answer(self, judge: int, id: str, choice: str) -> Outcome:
        """Keeps an answer, if the question has none yet; the first one stands."""
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

    def count_answers(self, judge: int) -> int:
        """The number of answers that a judge has given."""
        with self._transaction() as do:
            query = "SELECT COUNT(*) FROM questions WHERE judge = ? AND answer IS NOT NULL"
            return do(query, (judge,)).fetchone()[0]

    def _ask(self, do, judge, task, number):
        """Draws a question and stores it, inside of a transaction."""
        query = (
            "SELECT left, right, answer FROM questions "
            "WHERE judge = ? AND task = ? AND answer IS NOT NULL"
        )
        games = [
            ratings.Game(left, right, questions.CHOICES[answer])
            for left, right, answer in do(query, (judge, task))
        ]
        # Open questions count, too: their item has been seen.
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
        """A transaction: all of it happens or nothing does, and on leaving it is on the disk."""
        with self._lock:
            # Immediate: a transaction that first reads and then writes could not wait for another
            # process, but would fail.
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
    """Reads the methods of a study and all answers, in the order of the judges.

    The study may be running, and the file is not changed.

    Raises:
      UserError: there is no such file, or it is no study's, or is damaged.
    """
    # SQLite says no more than that it is unable to open the file.
    if not path.is_file():
        raise UserError(f"{path} is no file. The database is what volsynth study serve made.")
    try:
        # A connection's own `with` ends a transaction and leaves the file open.
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
    # Names go into tables of Markdown, and the file may come from another machine.
    methods = tuple(folders.check_method(name, str(path)) for name in methods)
    for answer in answers:
        if (
            answer.task not in questions.TASKS
            or answer.answer not in questions.CHOICES
            or not {answer.left, answer.right} <= set(methods)
        ):
            raise UserError(f"{path} is damaged: it has the answer {tuple(answer)}.")
    return methods, answers


def group_by_task(answers: Sequence[Answer]) -> Iterator[tuple[str, list[Answer]]]:
    """Yields each task that has answers with these, in the order of the tasks."""
    for task in questions.TASKS:
        found = [answer for answer in answers if answer.task == task]
        if found:
            yield task, found
