"""The guard alone: bodies in pieces, bodies that do not come, heads that no browser sends."""

import asyncio
import json

import pytest

from volsynth.web import guard

HOST = "127.0.0.1:8765"
BODY = guard.BodyLimits(2048)


def _scope(**changed):
    return {
        "type": "http",
        "method": "POST",
        "path": "/answer",
        "raw_path": b"/answer",
        "query_string": b"",
        "headers": [
            (b"host", HOST.encode()),
            (b"origin", f"http://{HOST}".encode()),
            (b"content-type", b"application/json"),
        ],
        **changed,
    }


def _speak(app, messages, **changed):
    """The messages of an ASGI application to a client that sends these and then is silent."""
    sent, given = [], list(messages)

    async def receive():
        if not given:
            await asyncio.sleep(60)
        return given.pop(0)

    async def send(message):
        sent.append(message)

    asyncio.run(app(_scope(**changed), receive, send))
    return sent


async def _echo(scope, receive, send):
    message = await receive()
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": message["body"]})


def _guard(body=BODY, **options):
    return guard.Guard(_echo, [HOST], lambda path: body, **options)


def test_a_body_in_pieces_arrives_whole():
    parts = [
        {"type": "http.request", "body": b"ab", "more_body": True},
        {"type": "http.request", "body": b"c"},
    ]
    start, body = _speak(_guard(), parts)
    assert body["body"] == b"abc"
    assert dict(start["headers"])[b"x-frame-options"] == b"DENY"


def test_a_body_that_does_not_come_is_not_waited_for():
    start, body = _speak(_guard(guard.BodyLimits(2048, seconds=0.01)), [])
    assert start["status"] == 408
    assert json.loads(body["body"]) == {"error": "The request did not arrive in time."}
    assert (b"connection", b"close") in start["headers"]


def test_whoever_hangs_up_is_answered_nothing():
    assert _speak(_guard(), [{"type": "http.disconnect"}]) == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([], 421),
        ([(b"host", HOST.encode()), (b"host", b"evil")], 421),
        ([(b"host", HOST.encode()), (b"content-length", b"9" * 5000)], 413),
        ([(b"host", HOST.encode()), (b"content-length", b"-1")], 413),
    ],
)
def test_heads_that_no_browser_sends(headers, status):
    start, _ = _speak(_guard(), [], method="GET", path="/", headers=headers)
    assert start["status"] == status


def test_only_http_is_spoken():
    with pytest.raises(ValueError, match="HTTP only, got websocket"):
        _speak(_guard(), [], type="websocket")
    # Servers ask for it before the first request.
    message = {"type": "lifespan.startup", "body": b""}
    assert len(_speak(_guard(), [message], type="lifespan")) == 2


@pytest.mark.parametrize(
    ("kind", "allowed"),
    [
        ("image/png", True),
        ("IMAGE/WebP; q=1", True),
        ("text/csv", True),
        ("imagery/png", False),
        ("image", False),
        ("application/json", False),
        ("", False),
    ],
)
def test_kinds_of_bodies_are_those_of_the_path(kind, allowed):
    body = guard.BodyLimits(10, ("image/*", "text/csv"))
    headers = [(b"host", HOST.encode()), (b"origin", f"http://{HOST}".encode())]
    headers.append((b"content-type", kind.encode()))
    message = {"type": "http.request", "body": b"ab"}
    start, said = _speak(_guard(body), [message], headers=headers)
    assert start["status"] == (200 if allowed else 415)
    if not allowed:
        assert json.loads(said["body"]) == {"error": "A body must be image/* or text/csv."}


def test_each_path_has_its_own_bodies():
    app = guard.Guard(_echo, [HOST], lambda path: guard.BodyLimits(len(path)))
    for path, status in (("/a", 413), ("/abc", 200)):
        message = {"type": "http.request", "body": b"abc"}
        start, _ = _speak(app, [message], path=path)
        assert start["status"] == status


def test_no_more_is_read_than_is_allowed():
    given, sent = [{"type": "http.request", "body": bytes(1000), "more_body": True}] * 9, []

    async def receive():
        return given.pop()

    async def send(message):
        sent.append(message)

    asyncio.run(_guard()(_scope(), receive, send))
    assert sent[0]["status"] == 413
    assert len(given) == 6


def test_bodies_of_all_requests_have_one_bound():
    async def main():
        done = asyncio.Event()

        async def slow(scope, receive, send):
            await done.wait()
            await send({"type": "http.response.start", "status": 200})

        app = guard.Guard(slow, [HOST], lambda path: guard.BodyLimits(100), most_held_bytes=150)

        async def ask():
            sent = []

            async def receive():
                return {"type": "http.request", "body": bytes(100)}

            async def send(message):
                sent.append(message)

            await app(_scope(), receive, send)
            return sent[0]["status"]

        first = asyncio.create_task(ask())
        await asyncio.sleep(0.01)
        second = await asyncio.wait_for(ask(), 5)
        done.set()
        # What was answered makes room.
        return second, await first, await ask()

    assert asyncio.run(main()) == (503, 200, 200)


def test_where_pictures_come_from_is_each_pages_own():
    message = {"type": "http.request", "body": b"a"}
    for images in ("'self'", "'self' blob:"):
        start, _ = _speak(_guard(image_sources=images), [message])
        policy = dict(start["headers"])[b"content-security-policy"].decode()
        assert f"img-src {images}; script-src 'self'; style-src 'self'" in policy
        assert policy.startswith("default-src 'none'")
