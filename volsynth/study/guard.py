"""What stands before the study's application and refuses what no page of the study would send.

| status | refused |
|---|---|
| 403 | a request that another site caused |
| 408 | a body that does not arrive in time |
| 413 | a body that is too large |
| 414 | an address that is too long |
| 415 | a body that is not JSON |
| 421 | a name that is not the server's, as where a foreign one points to this machine |
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

MOST_BYTES = 2048
"""Of a request's body; an answer has about a hundred."""

LONGEST_PATH = 512

PATIENCE = 10.0
"""Seconds in which a body must arrive."""

HEADERS = {
    # Nothing from elsewhere, no inline script or style, in no other page's frame.
    "content-security-policy": (
        "default-src 'none'; img-src 'self'; script-src 'self'; style-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # A picture that is kept tells whether it was seen before, and answers must not be replayed.
    "cache-control": "no-store",
}
"""On every response."""

App = Callable[[Any, Any, Any], Awaitable[None]]


class Guard:
    """An ASGI application around another one."""

    def __init__(self, app: App, hosts: Iterable[str], patience: float = PATIENCE):
        """`hosts` are the values of the header Host that are answered, ports included."""
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._patience = patience

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            raise ValueError(f"a study speaks HTTP only, got {scope['type']}.")

        async def guarded(message):
            if message["type"] == "http.response.start":
                added = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None:
            try:
                body = await asyncio.wait_for(_body(receive), self._patience)
            except TimeoutError:
                refusal = (408, "The request did not arrive in time.")
            else:
                if body is None:
                    return
                if len(body) > MOST_BYTES:
                    refusal = (413, f"A request may have {MOST_BYTES} bytes.")
        if refusal is not None:
            await _refuse(guarded, *refusal)
            return
        await self._app(scope, _replayed(body, receive), guarded)

    def _refusal(self, scope):
        """(status, reason) of what can be refused by its head; None otherwise."""
        if len(scope["raw_path"]) + len(scope["query_string"]) > LONGEST_PATH:
            return 414, f"An address may have {LONGEST_PATH} characters."
        heads = {}
        for name, value in scope["headers"]:
            heads.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        if [host.lower() for host in heads.get("host", ())] not in [[h] for h in self._hosts]:
            return 421, "This server does not go by that name."
        return self._of_others(scope, heads) or _of_the_body(scope, heads)

    def _of_others(self, scope, heads):
        origins = heads.get("origin", [])
        (host,) = heads["host"]
        own = {f"http://{host}".lower(), f"https://{host}".lower()}
        if any(origin.lower() not in own for origin in origins):
            return 403, "Requests of other sites are refused."
        if scope["method"] not in ("GET", "HEAD") and len(origins) != 1:
            return 403, "A request that changes something must say where it comes from: Origin."
        # A link from elsewhere may open the page; nothing else may be asked for from there.
        sites = heads.get("sec-fetch-site", [])
        if any(site not in ("same-origin", "none") for site in sites) and scope["path"] != "/":
            return 403, "Requests of other sites are refused."
        return None


def _of_the_body(scope, heads):
    for length in heads.get("content-length", []):
        if not length.isascii() or not length.isdecimal() or int(length[:20]) > MOST_BYTES:
            return 413, f"A request may have {MOST_BYTES} bytes."
    kinds = [kind.split(";")[0].strip().lower() for kind in heads.get("content-type", [])]
    if scope["method"] == "POST" and kinds != ["application/json"]:
        return 415, "A body must be application/json."
    return None


async def _body(receive):
    """The whole body, or as much of it as shows that it is too large; None if they hung up."""
    body = b""
    while len(body) <= MOST_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    return body


def _replayed(body, receive):
    """A `receive` that gives the body first, and then what comes."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def again():
        return messages.pop() if messages else await receive()

    return again


async def _refuse(send, status, reason):
    body = json.dumps({"error": reason}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        # What is left of a body that was not read must not be taken for a request.
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
