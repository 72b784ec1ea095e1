"""Requests that the study's server refuses: bad answers, foreign addresses and sites, strangers."""

import contextlib
import sqlite3

import pytest
from judging import answer, begin, picture
from small_study import HOST, POST

from volsynth.errors import UserError
from volsynth.study import server, store


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"{", 400, "not JSON"),
        (b"\xff", 400, "parsing the body"),
        (b"[]", 422, "An answer is"),
        (b"null", 422, "An answer is"),
        (b'{"question": "x"}', 422, "An answer is"),
        (b'{"question": "x", "choice": "both"}', 422, "An answer is"),
        (b'{"question": 3, "choice": "left"}', 422, "An answer is"),
        (b'{"question": "x", "choice": "left", "judge": 1}', 422, "An answer is"),
        (b'{"question": "' + b"x" * 65 + b'", "choice": "left"}', 422, "An answer is"),
        (b'{"question": "x", "choice": "left"}', 404, "You were not asked"),
        (b'{"question": "' + b"x" * 4000 + b'"}', 413, "A request may have 2048 bytes"),
    ],
)
def test_answers_that_are_none(visit, body, status, message):
    client = visit()
    begin(client)
    headers = {**POST, "content-type": "application/json"}
    found = client.post("/answer", content=body, headers=headers)
    assert found.status_code == status
    assert message in found.json()["error"]
    assert "content-security-policy" in found.headers


def test_a_body_of_unknown_length_is_cut_off(visit):
    def chunks():
        for _ in range(100):
            yield b" " * 1000

    headers = {**POST, "content-type": "application/json"}
    assert visit().post("/answer", content=chunks(), headers=headers).status_code == 413


def test_whoever_has_not_begun_gets_nothing(visit, study):
    client, stranger = visit(), visit()
    state = begin(client)
    for cookie in (None, "", "x" * 43, "x" * 5000):
        stranger.cookies.clear()
        if cookie is not None:
            stranger.cookies.set(server.cookie_name(study), cookie)
        assert picture(stranger, state, "left").status_code == 401
        assert answer(stranger, state).status_code == 401
        assert stranger.get("/question").json() == {"begun": False}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/picture/{}/../../../../etc/passwd", 404),
        ("/picture/{}/%2e%2e%2f%2e%2e%2fetc%2fpasswd", 404),
        ("/picture/{}/..%2fstudy.json", 404),
        ("/picture/{}/alpha-0.png", 404),
        ("/picture/..%2f..%2fetc/left", 404),
        ("/picture/{}", 404),
        ("/study.db", 404),
        ("/../server.py", 404),
        ("/page/index.html", 404),
        ("/docs", 404),
        ("/openapi.json", 404),
        ("/answer", 405),
        ("/?" + "x" * 600, 414),
    ],
)
def test_addresses_outside_of_the_page(visit, path, status):
    client = visit()
    state = begin(client)
    found = client.get(path.format(state["question"]))
    assert found.status_code == status
    assert set(found.json()) == {"error"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": f"http://{HOST}.evil.example"}, 403),
        ({"origin": "http://127.0.0.1:9"}, 403),
        ({**POST, "sec-fetch-site": "cross-site"}, 403),
        ({**POST, "sec-fetch-site": "same-site"}, 403),
        ({**POST, "host": "evil.example"}, 421),
        ({"host": "evil.example", "origin": "http://evil.example"}, 421),
        ({**POST, "content-type": "text/plain"}, 415),
        ({**POST, "content-type": "application/x-www-form-urlencoded"}, 415),
        ({**POST, "sec-fetch-site": "same-origin"}, 201),
        ({**POST, "origin": f"https://{HOST}"}, 201),
        ({**POST, "content-type": "application/json; charset=utf-8"}, 201),
    ],
)
def test_what_other_sites_send_is_refused(visit, open_store, tmp_path, headers, status):
    client = visit()
    sent = {"content-type": "application/json", **headers}
    found = client.post("/begin", content=b"{}", headers=sent)
    assert found.status_code == status
    assert bool(client.cookies) == (status == 201)
    open_store()
    with contextlib.closing(sqlite3.connect(tmp_path / "answers" / "study.db")) as connection:
        (judges,) = connection.execute("SELECT COUNT(*) FROM judges").fetchone()
    assert judges == (status == 201)


def test_other_sites_may_link_to_the_page_but_not_use_its_pictures(visit):
    client = visit()
    foreign = {"sec-fetch-site": "cross-site"}
    assert client.get("/", headers=foreign).status_code == 200
    state = begin(client)
    path = f"/picture/{state['question']}/left"
    assert client.get(path, headers=foreign).status_code == 403
    assert client.get("/question", headers={"origin": "http://evil.example"}).status_code == 403
    own = client.get(path, headers={"sec-fetch-site": "same-origin"})
    assert own.headers["cross-origin-resource-policy"] == "same-origin"
    assert own.headers["cache-control"] == "no-store"


def test_there_are_no_more_judges_than_allowed(visit, monkeypatch):
    monkeypatch.setattr(store, "MOST_JUDGES", 1)
    assert visit().post("/begin", json={}, headers=POST).status_code == 201
    found = visit().post("/begin", json={}, headers=POST)
    # The page takes statuses from 500 for a server that is about to come back.
    assert found.status_code == 403
    assert found.json() == {"error": "There are 1 judges already."}


@pytest.mark.parametrize(
    "error", [UserError("alpha-0.png has changed"), sqlite3.OperationalError("disk full")]
)
def test_troubles_of_the_server_tell_no_names(visit, open_store, monkeypatch, caplog, error):
    client = visit()
    state = begin(client)

    def broken(*_):
        raise error

    monkeypatch.setattr(store.AnswerStore, "question", broken)
    found = picture(client, state, "left")
    assert found.status_code == 500
    assert found.json() == {"error": "The server has a problem."}
    assert str(error) in caplog.text
