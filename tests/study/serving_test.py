"""A real server: killed in the middle of answers, and with fifty judges at once."""

import concurrent.futures
import time

import numpy as np
import pytest
from serving import Judge, Server
from small_study import METHODS

from volsynth.study import questions, report


@pytest.fixture
def serve(results, tmp_path):
    """A function that starts a server of the small study."""
    started = []

    def make(games):
        server = Server(results, tmp_path / "study.db", games)
        server.start()
        started.append(server)
        return server

    yield make
    for server in started:
        if server._process.poll() is None:
            server.kill()


def _check(server, judges, games):
    """Every answer that was acknowledged is there as it was given, once, and no others are."""
    found = server.answers()
    assert len(found) == len({question for _, question, _ in found}) == len(judges) * 3 * games
    given = {q: choice for judge in judges for q, choice in judge.acknowledged.items()}
    assert {question: answer for _, question, answer in found} == given
    numbers = [judge for judge, _, _ in found]
    assert sorted(map(numbers.count, set(numbers))) == [3 * games] * len(judges)


@pytest.mark.slow
def test_killed_at_any_moment_it_loses_no_answer_and_counts_none_twice(serve):
    games = 15
    server = serve(games)
    judges = [Judge(server, np.random.default_rng(i)) for i in range(4)]
    with concurrent.futures.ThreadPoolExecutor(len(judges)) as pool:
        playing = [pool.submit(judge.play, 0.02) for judge in judges]
        for kill in range(3):
            # Until there is something to lose.
            while len(server.answers()) < (kill + 1) * 40:
                assert not any(each.done() and each.exception() for each in playing)
                time.sleep(0.01)
            server.kill()
            server.start()
        for each in playing:
            each.result()
    assert all(judge.failures for judge in judges)
    _check(server, judges, games)
    assert server.stop() == 0


@pytest.mark.slow
def test_fifty_judges_at_once_meet_no_error(serve):
    games = 6
    server = serve(games)
    judges = [Judge(server, np.random.default_rng(i), patience=0) for i in range(50)]
    with concurrent.futures.ThreadPoolExecutor(len(judges)) as pool:
        # A judge without patience fails with the first error.
        for each in [pool.submit(judge.play) for judge in judges]:
            each.result()
    assert sum(judge.failures for judge in judges) == 0
    _check(server, judges, games)
    found = report.report(server.database, resamples=50)
    assert found["judges"] == 50
    for task in questions.TASKS:
        elo = found["elo"][task]
        assert sorted(elo, key=elo.get) == list(METHODS)
    assert server.stop() == 0
