"""An ASGI application around a page's own that refuses what the page itself would never send.

| status | what is refused |
|---|---|
| 403 | a request that another site caused |
| 408 | a body that does not arrive in time |
| 413 | a body that is too large |
| 414 | an address that is too long |
| 415 | a body of another content type |
| 421 | a host name that is not the server's, such as a foreign name that leads to this machine |
| 503 | a body for which there is no room beside those of other requests |

A page runs without users and passwords on the machine of whoever started it. Any site that is open
in the same browser can send requests to it; the checks of host and origin keep those out.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple

LONGEST_ADDRESS = 512
"""The most characters that path and query of a request may have together."""

MOST_HELD_BYTES = 1 << 28
"""The most bytes that the bodies of all requests under way may have together."""

HEADERS = {
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    # Without it a browser may take a picture that somebody uploaded for a script.
    "x-content-type-options": "nosniff",
    # For browsers that do not know frame-ancestors of the content security policy.
    "x-frame-options": "DENY",
    # A picture in the browser's cache tells whether it was seen before, and a stored answer would
    # not be asked for again.
    "cache-control": "no-store",
}
"""Headers of every response, beside the content security policy."""

App = Callable[[Any, Any, Any], Awaitable[None]]
"""An ASGI application: it is awaited with a scope, a `receive` and a `send`."""


class BodyLimits(NamedTuple):
    """The limits on the body of a request.

    Attributes:
      most_bytes: The most bytes that the body may have.
      content_types: Allowed values of the header Content-Type, in lower case and without
        parameters; "image/*" stands for every type that begins with "image/".
      seconds: Time within which the whole body must arrive.
    """

    most_bytes: int
    content_types: tuple[str, ...] = ("application/json",)
    seconds: float = 10.0

    def allows(self, content_type: str) -> bool:
        """Whether a body may have this content type."""
        return any(
            content_type == allowed
            # Only the star goes, so that "image/*" does not allow "imagery/png".
            or (allowed.endswith("/*") and content_type.startswith(allowed[:-1]))
            for allowed in self.content_types
        )


def content_security_policy(image_sources: str) -> str:
    """A content security policy that keeps a page to its own server.

    The page loads nothing from elsewhere, runs no inline script or style, and stands in no other
    page's frame.

    Args:
      image_sources: where pictures may come from, such as "'self' blob:".
    """
    return (
        f"default-src 'none'; img-src {image_sources}; script-src 'self'; style-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


class Guard:
    """An ASGI application that checks each request and passes on to another application."""

    # Starlette's TrustedHostMiddleware is no substitute for the check of the host: it ignores the
    # port, reads the first of several Host headers, and answers 400 in plain text, where pages
    # expect JSON.

    def __init__(
        self,
        app: App,
        hosts: Iterable[str],
        limits: Callable[[str], BodyLimits],
        image_sources: str = "'self'",
        most_held_bytes: int = MOST_HELD_BYTES,
    ) -> None:
        """Puts the guard before an application.

        Args:
          app: the application that gets all requests that are not refused.
          hosts: the values of the header Host that are answered, with ports.
          limits: the limits of bodies that are sent to a path.
          image_sources: where the page takes pictures from; see `content_security_policy`.
          most_held_bytes: the most bytes that the bodies of all requests may have together.
        """
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._limits = limits
        headers = {"content-security-policy": content_security_policy(image_sources), **HEADERS}
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]
        # One event loop runs all requests, so that a plain counter needs no lock.
        self._most_held_bytes, self._held_bytes = most_held_bytes, 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answers one request, as ASGI wants it."""
        if scope["type"] == "lifespan":
            # The server's own start and stop, which no client sends.
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            # A WebSocket would pass by every check below.
            raise ValueError(f"a page speaks HTTP only, got {scope['type']}.")

        async def send_with_headers(message):
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *self._headers]}
            await send(message)

        if refusal := self._refuse_by_head(scope):
            await _send_refusal(send_with_headers, *refusal)
        else:
            await self._answer(scope, receive, send_with_headers)

    async def _answer(self, scope, receive, send):
        """Reads the body within its limits, then lets the application answer."""
        # The body is a bytearray that `_read` fills, so that after a timeout it is known how much
        # of it was counted.
        limits, body = self._limits(scope["path"]), bytearray()
        try:
            try:
                read = self._read(receive, limits.most_bytes, body)
                refusal = await asyncio.wait_for(read, limits.seconds)
            except TimeoutError:
                refusal = (408, "The request did not arrive in time.")
            except _HungUpError:
                return
            if refusal is not None:
                await _send_refusal(send, *refusal)
                return
            await self._app(scope, _replay(bytes(body), receive), send)
        finally:
            # The bytes count until the answer is sent: the application still holds them.
            self._held_bytes -= len(body)

    async def _read(self, receive, most, body):
        """Adds what arrives to `body`, up to its end; (status, reason) where it is too large."""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _HungUpError
            part = message.get("body", b"")
            # Counted while it arrives, for a body in chunks does not say its length beforehand.
            if len(body) + len(part) > most:
                return _too_large(most)
            if self._held_bytes + len(part) > self._most_held_bytes:
                return 503, "The server has no room for this now. Try again soon."
            self._held_bytes += len(part)
            body += part
            if not message.get("more_body"):
                return None

    def _refuse_by_head(self, scope):
        """The refusal (status, reason) if the head of a request is enough for it, or None."""
        if len(scope["raw_path"]) + len(scope["query_string"]) > LONGEST_ADDRESS:
            return 414, f"An address may have {LONGEST_ADDRESS} characters."
        # A header may be there twice, so that proxy and server read different ones: keep them all.
        headers = {}
        for name, value in scope["headers"]:
            # Header bytes need not be UTF-8; Latin-1 decodes any.
            values = headers.setdefault(name.decode("latin-1").lower(), [])
            values.append(value.decode("latin-1"))
        hosts = [host.lower() for host in headers.get("host", ())]
        # To a browser, a foreign name that is made to lead to this machine (DNS rebinding) is one
        # site with the foreign page: Host and Origin agree, and only the name itself tells.
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            return 421, "This server does not go by that name."
        return _refuse_other_sites(scope, headers) or _refuse_body(
            scope, headers, self._limits(scope["path"])
        )


class _HungUpError(Exception):
    """The client closed the connection before its request was complete."""


def _refuse_other_sites(scope, headers):
    """The refusal (status, reason) of a request caused by a page of another site, or None."""
    origins = headers.get("origin", [])
    (host,) = headers["host"]
    # HTTPS, too: a server with TLS may stand before this one.
    own = {f"http://{host}".lower(), f"https://{host}".lower()}
    if any(origin.lower() not in own for origin in origins):
        return 403, "Requests of other sites are refused."
    if scope["method"] not in ("GET", "HEAD") and len(origins) != 1:
        return 403, "A request that changes something must say where it comes from: Origin."
    # Browsers send no Origin with a plain GET, such as for another site's <img>; newer ones say
    # with Sec-Fetch-Site who asks. A link from elsewhere may open the page and nothing else.
    sites = headers.get("sec-fetch-site", [])
    if any(site not in ("same-origin", "none") for site in sites) and scope["path"] != "/":
        return 403, "Requests of other sites are refused."
    return None


def _too_large(most):
    return 413, f"A request may have {most} bytes."


def _refuse_body(scope, headers, limits):
    """The refusal (status, reason) of a body too large or of another type, by its headers."""
    for length in headers.get("content-length", []):
        # Python refuses to convert numbers of thousands of digits; 20 are more than enough.
        if not length.isascii() or not length.isdecimal() or int(length[:20]) > limits.most_bytes:
            return _too_large(limits.most_bytes)
    types = [value.split(";")[0].strip().lower() for value in headers.get("content-type", [])]
    # A form of another site can be sent without asking first, but never as JSON or as a picture.
    if scope["method"] == "POST" and (len(types) != 1 or not limits.allows(types[0])):
        return 415, f"A body must be {' or '.join(limits.content_types)}."
    return None


def _replay(body, receive):
    """A `receive` that first gives the body that was read already, then what else comes."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again():
        # What comes later is that the client hung up, which applications ask for.
        return messages.pop() if messages else await receive()

    return receive_again


async def _send_refusal(send, status, reason):
    body = json.dumps({"error": reason}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        # The rest of a body that was not read must not be taken for the next request.
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
