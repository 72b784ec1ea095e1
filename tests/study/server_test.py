"""The page's server: what it asks, what it gives away (nothing), and what it refuses."""

import contextlib
import io
import json
import re
import sqlite3
import subprocess
import sys

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from small_study import BRIGHTNESS, HOST, METHODS, POST, brightness, joints

from volsynth import cli
from volsynth.errors import UserError
from volsynth.skeleton import INDEX
from volsynth.study import questions, server, store
from volsynth.web import serving


def _begin(client):
    return client.post("/begin", json={}, headers=POST).json()


def _answer(client, state, choice="left"):
    body = {"question": state["question"], "choice": choice}
    return client.post("/answer", json=body, headers=POST)


def _cookie(client):
    (value,) = client.cookies.values()
    return value


def _picture(client, state, place):
    return client.get(f"/picture/{state['question']}/{place}")


def _states(client, games):
    """All questions of a new judge, each answered after it is given."""
    state = _begin(client)
    for _ in range(3 * games):
        yield state
        state = _answer(client, state).json()
    assert state["finished"]


# --- what a judge sees ---------------------------------------------------------------------------


def test_a_judge_goes_through_all_tasks(visit):
    client = visit(games=2)
    assert client.get("/question").json() == {"begun": False}
    places = []
    for state in _states(client, 2):
        places.append((state["task"], state["part"], state["number"], state["done"]))
        assert (state["games"], state["parts"], state["total"]) == (2, 3, 6)
        assert (state["pose"] is not None) == (state["task"] == "correct pose")
        for place in ("left", "right"):
            assert _picture(client, state, place).status_code == 200
        # The conditioning is shown in the task it belongs to, and in no other.
        source = _picture(client, state, "source")
        assert source.status_code == (200 if state["task"] == "same person" else 404)
        if source.status_code == 200:
            with Image.open(io.BytesIO(source.content)) as image:
                assert image.getpixel((0, 0))[0] == 250
    tasks = questions.TASKS
    assert places == [(tasks[i // 2], i // 2 + 1, i % 2 + 1, i) for i in range(6)]
    last = client.get("/question").json()
    assert (last["finished"], last["done"], last["total"]) == (True, 6, 6)


def test_pictures_are_those_of_the_methods_in_the_database(visit, tmp_path):
    client = visit(games=3)
    list(_states(client, 3))
    shown = {}
    connection = sqlite3.connect(tmp_path / "answers" / "study.db")
    for number, left, right in connection.execute("SELECT id, left, right FROM questions"):
        shown[number] = [
            brightness(_picture(client, {"question": number}, p).content) for p in ("left", "right")
        ]
        expected = [BRIGHTNESS[left], BRIGHTNESS[right]]
        np.testing.assert_allclose(shown[number], expected, atol=4)
    connection.close()
    assert len(shown) == 9


def test_the_skeleton_is_the_target_pose_around_its_middle(visit, open_store):
    client = visit(games=1)
    *_, state = _states(client, 1)
    item = open_store().question(1, state["question"]).item
    expected = np.array(joints(int(item[-3:])))
    expected -= (expected.min(0) + expected.max(0)) / 2
    np.testing.assert_allclose(state["pose"]["joints"], expected, atol=0.06)
    limbs = state["pose"]["limbs"]
    assert [INDEX["neck"], INDEX["right_shoulder"], "right"] in limbs
    assert [INDEX["left_knee"], INDEX["left_ankle"], "left"] in limbs
    assert [INDEX["right_hip"], INDEX["left_hip"], "middle"] in limbs
    assert state["pose"]["head"] == [INDEX["head_top"], INDEX["head"]]


def test_unknown_joints_are_left_out_of_a_pose():
    pose = np.array(joints())
    pose[INDEX["head"]] = np.nan
    found = server._pose(pose)
    assert found["joints"][INDEX["head"]] is None
    assert found["radius"] == 0
    json.dumps(found, allow_nan=False)


def test_nothing_that_the_browser_gets_tells_the_methods_apart(visit):
    client = visit(games=6)
    lengths, heads, texts = set(), set(), []
    for state in _states(client, 6):
        texts.append(json.dumps(state))
        assert re.fullmatch(r"[\w-]{22}", state["question"])
        for place in ("left", "right"):
            found = _picture(client, state, place)
            lengths.add(len(found.content))
            heads.add(tuple(sorted(found.headers.items())))
            with Image.open(io.BytesIO(found.content)) as image:
                heads.add((image.size, image.mode, *image.info))
            texts.append(found.content.decode("latin-1"))
    assert len(lengths) == 1
    assert len(heads) == 2
    for path in ("/", "/study.js", "/study.css", "/icon.svg"):
        texts.append(client.get(path).text)
    for text in [*texts, *(str(head) for head in heads)]:
        for name in (*METHODS, *(f"test-{i:03}" for i in range(6)), ".jpg", "study.db"):
            assert name not in text
    # The order is that of no list of methods: the brighter one stands on either side.
    assert {state["part"] for state in map(json.loads, filter(_is_state, texts))} == {1, 2, 3}


def _is_state(text):
    return text.startswith("{") and '"part"' in text


def test_either_side_has_the_better_picture(visit):
    client = visit(games=10)
    better = [
        brightness(_picture(client, state, "left").content)
        > brightness(_picture(client, state, "right").content)
        for state in _states(client, 10)
    ]
    assert 5 <= sum(better) <= 25


def test_the_page_needs_nothing_from_elsewhere(visit):
    client = visit()
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    texts = [page.text]
    for name in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        found = client.get(f"/{name}")
        assert found.status_code == 200
        texts.append(found.text)
    assert len(texts) == 4
    for text in texts:
        # The one address is the name of a format; the rest are comments.
        bare = re.sub(r"(^|\s)//.*$|http://www\.w3\.org/2000/svg", "", text, flags=re.M)
        assert "//" not in bare
        assert " style=" not in text
        assert "onclick=" not in text


# --- resuming ------------------------------------------------------------------------------------


def test_a_judge_who_comes_back_goes_on(visit, study):
    client = visit()
    state = _answer(client, _begin(client)).json()
    cookie = _cookie(client)
    # Another window, and a server that was started anew.
    again = visit(cookies={server.cookie_name(study): cookie})
    assert again.get("/question").json() == state
    assert again.post("/begin", json={}, headers=POST).json() == state
    assert _picture(again, state, "left").content == _picture(client, state, "left").content
    assert _answer(again, state).json()["done"] == 2


def test_after_the_last_question_another_judge_may_begin(visit, open_store):
    client = visit(games=1)
    list(_states(client, 1))
    cookie = _cookie(client)
    assert _begin(client)["done"] == 0
    assert _cookie(client) != cookie
    assert open_store().count_answers(1) == 3


def test_the_cookie_is_the_servers_alone(visit):
    given = visit().post("/begin", json={}, headers=POST).headers["set-cookie"]
    assert re.fullmatch(
        r"judge-[0-9a-f]{8}=[\w-]{43}; HttpOnly; Max-Age=\d+; Path=/; SameSite=strict", given
    )


def test_an_answer_given_twice_counts_once(visit, open_store):
    client = visit()
    state = _begin(client)
    first, second = (_answer(client, state, "right") for _ in range(2))
    assert first.status_code == second.status_code == 200
    assert first.json() == second.json()
    other = _answer(client, state, "left")
    assert other.status_code == 409
    assert other.json() == {"error": "You gave another answer to that question before."}
    kept = open_store()
    assert kept.count_answers(1) == 1
    assert kept.question(1, state["question"]).answer == "right"


def test_judges_know_nothing_of_one_another(visit):
    one, other = visit(), visit()
    state, _ = _begin(one), _begin(other)
    assert _answer(other, state).status_code == 404
    assert _picture(other, state, "left").status_code == 404


# --- refusals ------------------------------------------------------------------------------------


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
    _begin(client)
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
    state = _begin(client)
    for cookie in (None, "", "x" * 43, "x" * 5000):
        stranger.cookies.clear()
        if cookie is not None:
            stranger.cookies.set(server.cookie_name(study), cookie)
        assert _picture(stranger, state, "left").status_code == 401
        assert _answer(stranger, state).status_code == 401
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
    state = _begin(client)
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
    state = _begin(client)
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
    state = _begin(client)

    def broken(*_):
        raise error

    monkeypatch.setattr(store.AnswerStore, "question", broken)
    found = _picture(client, state, "left")
    assert found.status_code == 500
    assert found.json() == {"error": "The server has a problem."}
    assert str(error) in caplog.text


# --- serving -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"games": 0}, "--games must be at least 1, got 0"),
        ({"port": 70000}, "--port must lie between 0 and 65535, got 70000"),
        ({"host": "0.0.0.0"}, "say by what name browsers reach it"),
        ({"host": "::"}, "say by what name browsers reach it"),
        ({"host": ""}, "say by what name browsers reach it"),
        ({"host": "192.0.2.1"}, r"cannot listen at 192\.0\.2\.1 port 8765"),
    ],
)
def test_what_cannot_be_served(results, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        server.serve(results, tmp_path / "study.db", **options)


def test_a_port_that_is_taken(results, tmp_path):
    with serving.open_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"cannot listen at 127.0.0.1 port {port}"):
            server.serve(results, tmp_path / "study.db", port=port)


def test_the_names_it_goes_by():
    assert serving.host_names("127.0.0.1", 8765) == ["127.0.0.1:8765", "localhost:8765"]
    assert serving.host_names("::1", 80)[0] == "[::1]:80"
    assert serving.host_names("192.0.2.1", 80) == ["192.0.2.1:80", "192.0.2.1"]


def test_it_serves_where_it_says_and_stays_on_this_machine(results, tmp_path, monkeypatch):
    import uvicorn

    seen = []

    def run(self, sockets):
        seen.append((self.config.app, sockets[0].getsockname()))

    monkeypatch.setattr(uvicorn.Server, "run", run)
    said = []
    server.serve(results, tmp_path / "study.db", games=5, port=0, say=said.append)
    ((app, (host, port)),) = seen
    assert host == "127.0.0.1"
    assert said[0].startswith("4 methods, 6 items, 5 decisions in each of 3 tasks; answers go to ")
    assert said[1].startswith(f"http://127.0.0.1:{port}/ ")
    for name, status in ((f"127.0.0.1:{port}", 200), (f"localhost:{port}", 200), (HOST, 421)):
        if name != f"127.0.0.1:{port}" or port != 8765:
            assert TestClient(app, f"http://{name}").get("/").status_code == status


def test_beyond_this_machine_names_are_needed_and_a_warning_is_given(
    results, tmp_path, monkeypatch
):
    import uvicorn

    apps = []
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: apps.append(self.config.app))
    said = []
    names = ["study.example.org"]
    database = tmp_path / "study.db"
    server.serve(results, database, host="0.0.0.0", port=0, names=names, say=said.append)
    assert "Others can reach this address, and what they send is not encrypted." in said
    assert TestClient(apps[0], "http://study.example.org").get("/").status_code == 200


def test_without_the_extra_there_is_one_line(tmp_path):
    program = (
        "import sys\n"
        "sys.modules['fastapi'] = None\n"
        "from volsynth import cli\n"
        "sys.exit(cli.main(['study', 'serve', '--results', 'a', 'b']))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 2
    expected = "volsynth: error: the study's page needs fastapi: pip install 'volsynth[study]'.\n"
    assert done.stderr == expected


def test_a_folder_that_is_none_is_one_line(capsys, tmp_path):
    assert cli.main(["study", "serve", "--results", str(tmp_path), str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
