"""What the studio's server holds, and for how long: pictures, people, work that waits."""

import asyncio

import pytest
from visiting import joints_of, named, picture_of, refused

from volsynth.errors import UserError
from volsynth.studio import job_queue, people, rendering, server, store

POSE = named().tolist()


# --- forgetting ----------------------------------------------------------------------------------


def test_what_was_not_used_for_longest_is_forgotten():
    kept = store.Store(100)
    first, second = kept.add("a", 40), kept.add("b", 40)
    own = kept.keep("own")
    assert kept.get(first) == "a"
    third = kept.add("c", 40)
    assert (kept.get(first), kept.get(third), kept.get(own)) == ("a", "c", "own")
    with pytest.raises(store.ForgottenError):
        kept.get(second)
    large = kept.add("d", 1000)
    assert kept.get(large) == "d"
    for name in (first, third):
        with pytest.raises(store.ForgottenError):
            kept.get(name)
    for name in ("", "a", "a" * 21, "a" * 23, "a" * 21 + "/", "é" * 22):
        with pytest.raises(store.UnknownError):
            kept.get(name)
    assert len({kept.keep(0) for _ in range(50)}) == 50


def test_a_page_learns_that_its_picture_was_forgotten(visit, brought, monkeypatch):
    monkeypatch.setattr(server, "MOST_BYTES", 2 * 120 * 160 * 4 + 1)
    page = visit()
    names = [picture_of(page, brought) for _ in range(3)]
    refused(page.get(f"/picture/{names[0]}"), 410, "drop the picture again")
    assert [page.get(f"/picture/{name}").status_code for name in names[1:]] == [200, 200]


def test_what_a_motion_takes_is_counted(halves, brought):
    picture = people.read(brought[0].read_bytes(), None)
    who = people.person(picture, *joints_of(brought[1]).values(), 32)
    seen = rendering.Seen(who)
    bodies, square = server.persons.fit_poses([people.wanted(POSE)] * 3, who)
    assert rendering.Motion(seen, bodies, square, 9).nbytes == 32 * 32 * 3
    assert halves.bytes_per_person == 32 * 32 * 3 + 3 * 4
    assert picture.nbytes == 120 * 160 * 4


# --- waiting -------------------------------------------------------------------------------------


def test_work_is_done_in_turn_and_only_so_much_waits():
    order, under_way = [], []

    def work(number):
        under_way.append(number)
        assert len(under_way) == 1
        order.append(under_way.pop())
        return number

    async def main():
        queue = job_queue.Line(5)
        done = await asyncio.gather(
            *(queue.do(work, number) for number in range(9)), return_exceptions=True
        )
        assert done[:5] == [0, 1, 2, 3, 4] == order
        assert [type(each) for each in done[5:]] == [job_queue.BusyError] * 4
        # Errors and those who left make room, too.
        for _ in range(9):
            with pytest.raises(ZeroDivisionError):
                await queue.do(lambda: 1 / 0)

        async def gone():
            return True

        with pytest.raises(job_queue.GoneError):
            await queue.do(work, 10, gone=gone)
        assert order == [0, 1, 2, 3, 4]
        assert await queue.do(work, 11) == 11

    asyncio.run(main())


def test_a_page_learns_that_too_many_are_waiting(visit, brought, monkeypatch):
    monkeypatch.setattr(server, "MOST_RENDERS", 0)
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
    monkeypatch.setattr(server.fastapi.Request, "is_disconnected", left)
    monkeypatch.setattr(rendering.Renderer, "pictures", lambda *given: calls.append(given))
    assert page.post("/render", {"person": person, "joints_mm": POSE}).status_code == 499
    assert page.get(f"/motion/{motion}/0").status_code == 499
    assert calls == []


# --- the server's own troubles -------------------------------------------------------------------


@pytest.mark.parametrize("error", [UserError("/secret/model is broken"), ZeroDivisionError("/x")])
def test_troubles_of_the_server_are_its_own(visit, brought, monkeypatch, caplog, error):
    page = visit()
    person = page.bring(brought[0].read_bytes())

    def broken(*given):
        raise error

    monkeypatch.setattr(rendering.Renderer, "pictures", broken)
    found = page.post("/render", {"person": person, "joints_mm": POSE})
    assert refused(found, 500) == "The server has a problem."
    if isinstance(error, UserError):
        assert "/secret/model is broken" in caplog.text
    assert page.get("/about").status_code == 200


def test_nothing_is_left_on_the_disk(visit, brought, monkeypatch, tmp_path):
    monkeypatch.setattr(server.tempfile, "tempdir", str(tmp_path))
    page = visit()
    person = page.bring(brought[0].read_bytes())
    motion = page.post("/motion", {"person": person, "poses": [POSE]}).json()["motion"]
    assert page.get(f"/motion/{motion}/clip.gif").status_code == 200
    assert list(tmp_path.iterdir()) == []
