"""The guard alone: bodies in pieces, bodies that do not come, heads that no browser sends."""

import asyncio
import json

import pytest

from volsynth.web import guard

HOST = "127.0.0.1:8765"
BODY = guard.Body(2048)


def _speak(app, messages, **changed):
    """What an ASGI application sends to a client that sends these messages and then is silent."""
    scope = {
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
    sent, given = [], list(messages)

    async def receive():
        if not given:
            await asyncio.sleep(60)
        return given.pop(0)

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope, receive, send))
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
    start, body = _speak(_guard(guard.Body(2048, patience=0.01)), [])
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
