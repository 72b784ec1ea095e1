"""The state of the studio's server: what it holds and for how long, and what failures do to it."""

import tempfile

import fastapi
import pytest
from visiting import joints_of, named, picture_of, refused

from volsynth.errors import UserError
from volsynth.generation import persons
from volsynth.studio import page_poses, pictures, rendering, state

POSE = named().tolist()


def test_a_page_learns_that_its_picture_was_forgotten(visit, brought, monkeypatch):
    monkeypatch.setattr(state, "MOST_BYTES", 2 * 120 * 160 * 4 + 1)
    page = visit()
    names = [picture_of(page, brought) for _ in range(3)]
    refused(page.get(f"/picture/{names[0]}"), 410, "drop the picture again")
    assert [page.get(f"/picture/{name}").status_code for name in names[1:]] == [200, 200]


def test_what_a_motion_takes_is_counted(halves, brought):
    picture = pictures.read_picture(brought[0].read_bytes(), None)
    who = page_poses.cut_out_person(picture, *joints_of(brought[1]).values(), 32)
    encoded = rendering.EncodedPerson(who)
    bodies, square = persons.fit_poses([page_poses.target_pose(POSE)] * 3, who)
    assert rendering.RenderedMotion(encoded, bodies, square, 9).nbytes == 32 * 32 * 3
    assert halves.bytes_per_person == 32 * 32 * 3 + 3 * 4
    assert picture.nbytes == 120 * 160 * 4


def test_a_page_learns_that_too_many_are_waiting(visit, brought, monkeypatch):
    monkeypatch.setattr(state, "MOST_RENDERS", 0)
    page = visit()
    person = page.bring(brought[0].read_bytes())
    found = page.post("/render", {"person": person, "joints_mm": POSE})
    refused(found, 503, "Too many are waiting")
    assert found.headers["retry-after"] == "1"


def test_nothing_is_rendered_for_whoever_has_left(visit, brought, monkeypatch):
    async def left(request):
        return True

    page, calls = visit(), []
    person = page.bring(brought[0].read_bytes())
    motion = page.post("/motion", {"person": person, "name": "walking"}).json()["motion"]
    monkeypatch.setattr(fastapi.Request, "is_disconnected", left)
    monkeypatch.setattr(rendering.Renderer, "render", lambda *given: calls.append(given))
    assert page.post("/render", {"person": person, "joints_mm": POSE}).status_code == 499
    assert page.get(f"/motion/{motion}/0").status_code == 499
    assert calls == []


@pytest.mark.parametrize("error", [UserError("/secret/model is broken"), ZeroDivisionError("/x")])
def test_troubles_of_the_server_are_its_own(visit, brought, monkeypatch, caplog, error):
    page = visit()
    person = page.bring(brought[0].read_bytes())

    def broken(*given):
        raise error

    monkeypatch.setattr(rendering.Renderer, "render", broken)
    found = page.post("/render", {"person": person, "joints_mm": POSE})
    assert refused(found, 500) == "The server has a problem."
    if isinstance(error, UserError):
        assert "/secret/model is broken" in caplog.text
    assert page.get("/about").status_code == 200


def test_nothing_is_left_on_the_disk(visit, brought, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    page = visit()
    person = page.bring(brought[0].read_bytes())
    motion = page.post("/motion", {"person": person, "poses": [POSE]}).json()["motion"]
    assert page.get(f"/motion/{motion}/clip.gif").status_code == 200
    assert list(tmp_path.iterdir()) == []
