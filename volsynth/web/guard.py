"""What stands before a page's application and refuses what the page would not send.

| status | refused |
|---|---|
| 403 | a request that another site caused |
| 408 | a body that does not arrive in time |
| 413 | a body that is too large |
| 414 | an address that is too long |
| 415 | a body of another kind |
| 421 | a name that is not the server's, as where a foreign one points to this machine |
| 503 | a body for which there is no room beside those that are being answered |
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple

LONGEST_PATH = 512

MOST_HELD = 1 << 28
"""Bytes of all bodies that are held at one time."""

HEADERS = {
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # A picture that is kept tells whether it was seen before, and answers must not be replayed.
    "cache-control": "no-store",
}
"""On every response, beside the content security policy."""

App = Callable[[Any, Any, Any], Awaitable[None]]


class Body(NamedTuple):
    """What the body of a request may be.

    Attributes:
      most: bytes.
      kinds: values of the header Content-Type; those that end in "/*" are of all of a family.
      patience: seconds in which it must arrive.
    """

    most: int
    kinds: tuple[str, ...] = ("application/json",)
    patience: float = 10.0

    def takes(self, kind: str) -> bool:
        """Whether a body may be of this kind."""
        return any(
            kind == one or (one.endswith("/*") and kind.startswith(one[:-1])) for one in self.kinds
        )


def policy(images: str) -> str:
    """A content security policy: nothing from elsewhere, no inline script or style, in no other
    page's frame; `images` are sources of pictures."""
    return (
        f"default-src 'none'; img-src {images}; script-src 'self'; style-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


class Guard:
    """An ASGI application around another one."""

    def __init__(
        self,
        app: App,
        hosts: Iterable[str],
        body: Callable[[str], Body],
        images: str = "'self'",
        most_held: int = MOST_HELD,
    ):
        """
        Args:
          app: is asked what is not refused.
          hosts: the values of the header Host that are answered, ports included.
          body: of a path, what bodies it takes.
          images: where the page takes pictures from, as a content security policy says it.
          most_held: bytes of all bodies that are held at one time.
        """
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._body = body
        headers = {"content-security-policy": policy(images), **HEADERS}
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]
        self._most_held, self._held = most_held, 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            raise ValueError(f"a page speaks HTTP only, got {scope['type']}.")

        async def guarded(message):
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *self._headers]}
            await send(message)

        if refusal := self._refusal(scope):
            await _refuse(guarded, *refusal)
            return
        allowed, body = self._body(scope["path"]), bytearray()
        try:
            try:
                read = self._read(receive, allowed.most, body)
                refusal = await asyncio.wait_for(read, allowed.patience)
            except TimeoutError:
                refusal = (408, "The request did not arrive in time.")
            except _HungUpError:
                return
            if refusal is not None:
                await _refuse(guarded, *refusal)
                return
            await self._app(scope, _replayed(bytes(body), receive), guarded)
        finally:
            self._held -= len(body)

    async def _read(self, receive, most, body):
        """Adds to `body` what arrives, until it is all or too much; (status, reason) of that."""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _HungUpError
            part = message.get("body", b"")
            if len(body) + len(part) > most:
                return _too_large(most)
            if self._held + len(part) > self._most_held:
                return 503, "The server has no room for this now. Try again soon."
            self._held += len(part)
            body += part
            if not message.get("more_body"):
                return None

    def _refusal(self, scope):
        """(status, reason) of what can be refused by its head; None otherwise."""
        if len(scope["raw_path"]) + len(scope["query_string"]) > LONGEST_PATH:
            return 414, f"An address may have {LONGEST_PATH} characters."
        heads = {}
        for name, value in scope["headers"]:
            heads.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        if [host.lower() for host in heads.get("host", ())] not in [[h] for h in self._hosts]:
            return 421, "This server does not go by that name."
        return self._of_others(scope, heads) or _of_the_body(
            scope, heads, self._body(scope["path"])
        )

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


class _HungUpError(Exception):
    """Whoever sent the request is no longer there."""


def _too_large(most):
    return 413, f"A request may have {most} bytes."


def _of_the_body(scope, heads, allowed):
    for length in heads.get("content-length", []):
        if not length.isascii() or not length.isdecimal() or int(length[:20]) > allowed.most:
            return _too_large(allowed.most)
    kinds = [kind.split(";")[0].strip().lower() for kind in heads.get("content-type", [])]
    if scope["method"] == "POST" and (len(kinds) != 1 or not allowed.takes(kinds[0])):
        return 415, f"A body must be {' or '.join(allowed.kinds)}."
    return None


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
