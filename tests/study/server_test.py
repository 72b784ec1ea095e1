"""The study's server: what it asks, what it gives away (nothing), and judges who come back."""

import io
import json
import re
import sqlite3

import numpy as np
from judging import answer, begin, picture
from PIL import Image
from small_study import BRIGHTNESS, METHODS, POST, brightness, joints

from volsynth.skeleton import INDEX
from volsynth.study import questions, server


def _cookie(client):
    (value,) = client.cookies.values()
    return value


def _states(client, games):
    """All questions of a new judge, each answered after it is given."""
    state = begin(client)
    for _ in range(3 * games):
        yield state
        state = answer(client, state).json()
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
            assert picture(client, state, place).status_code == 200
        # The conditioning is shown in the task it belongs to, and in no other.
        source = picture(client, state, "source")
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
            brightness(picture(client, {"question": number}, p).content) for p in ("left", "right")
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
            found = picture(client, state, place)
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
        brightness(picture(client, state, "left").content)
        > brightness(picture(client, state, "right").content)
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
    state = answer(client, begin(client)).json()
    cookie = _cookie(client)
    # Another window, and a server that was started anew.
    again = visit(cookies={server.cookie_name(study): cookie})
    assert again.get("/question").json() == state
    assert again.post("/begin", json={}, headers=POST).json() == state
    assert picture(again, state, "left").content == picture(client, state, "left").content
    assert answer(again, state).json()["done"] == 2


def test_after_the_last_question_another_judge_may_begin(visit, open_store):
    client = visit(games=1)
    list(_states(client, 1))
    cookie = _cookie(client)
    assert begin(client)["done"] == 0
    assert _cookie(client) != cookie
    assert open_store().count_answers(1) == 3


def test_the_cookie_is_the_servers_alone(visit):
    given = visit().post("/begin", json={}, headers=POST).headers["set-cookie"]
    assert re.fullmatch(
        r"judge-[0-9a-f]{8}=[\w-]{43}; HttpOnly; Max-Age=\d+; Path=/; SameSite=strict", given
    )


def test_an_answer_given_twice_counts_once(visit, open_store):
    client = visit()
    state = begin(client)
    first, second = (answer(client, state, "right") for _ in range(2))
    assert first.status_code == second.status_code == 200
    assert first.json() == second.json()
    other = answer(client, state, "left")
    assert other.status_code == 409
    assert other.json() == {"error": "You gave another answer to that question before."}
    kept = open_store()
    assert kept.count_answers(1) == 1
    assert kept.question(1, state["question"]).answer == "right"


def test_judges_know_nothing_of_one_another(visit):
    one, other = visit(), visit()
    state, _ = begin(one), begin(other)
    assert answer(other, state).status_code == 404
    assert picture(other, state, "left").status_code == 404
