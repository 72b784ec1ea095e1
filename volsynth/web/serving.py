"""Serving a page: files, errors as JSON, the socket, the names it goes by, uvicorn."""

import contextlib
import functools
import importlib.resources
import ipaddress
import logging
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import fastapi
import uvicorn
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from volsynth.errors import UserError

_LOG = logging.getLogger("uvicorn.error")

_KINDS = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}

LONGEST_LINE = 500
"""Letters of an error; it may cite what was sent."""

Invalid = Callable[[Sequence[Any]], tuple[int, str]]
"""(status, one line) of what pydantic finds wrong with a request."""


def add_page(app: fastapi.FastAPI, package: str, names: Iterable[str]) -> None:
    """Files of a package's folder `page`, each at its name, and index.html at "/"."""
    page = importlib.resources.files(package) / "page"
    for name in names:
        address = "/" if name == "index.html" else f"/{name}"
        kind = _KINDS[name.rsplit(".", 1)[1]]
        app.get(address)(functools.partial(_static, (page / name).read_bytes(), kind))


def _static(content, kind) -> fastapi.Response:
    return fastapi.Response(content, headers={"content-type": kind})


def add_errors(
    app: fastapi.FastAPI, invalid: Invalid, internal: Sequence[type[Exception]] = ()
) -> None:
    """Makes every error a JSON {"error": one line}.

    Args:
      app: whose errors.
      invalid: says what is wrong with requests that are of another form.
      internal: errors whose message is for whoever runs the server, and goes to its log; all that
        nobody thought of goes there too, with where it came from.
    """

    @app.exception_handler(HTTPException)
    def _(request, raised):
        return error(raised.status_code, raised.detail, raised.headers)

    @app.exception_handler(Exception)
    def _(request, raised):
        return error(500, "The server has a problem.")

    for kind in internal:

        @app.exception_handler(kind)
        def _(request, raised):
            _LOG.error("%s", raised)
            return error(500, "The server has a problem.")

    @app.exception_handler(RequestValidationError)
    def _(request, raised):
        errors = raised.errors()
        if any(each["type"] == "json_invalid" for each in errors):
            return error(400, "The body is not JSON.")
        return error(*invalid(errors))


def error(
    status: int, line: str, headers: Mapping[str, str] | None = None
) -> fastapi.responses.JSONResponse:
    """An error as pages expect it: one line, not too long, of letters that can be sent."""
    line = " ".join(str(line).split())[:LONGEST_LINE].encode("utf-8", "replace").decode()
    return fastapi.responses.JSONResponse({"error": line}, status, headers=headers)


def check(host: str, port: int, names: Sequence[str]) -> None:
    """Whether a server's options make sense, before anything is loaded.

    Raises:
      UserError: there is no such port, or nobody knows by what name the server is reached.
    """
    if not 0 <= port < 2**16:
        raise UserError(f"--port must lie between 0 and {2**16 - 1}, got {port}.")
    if _is_any(host) and not names:
        raise UserError(
            f"--host {host} is every address of this machine: say by what name browsers reach it, "
            f"such as --name people.example.org:{port}."
        )


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens at an address; port 0 takes a free one.

    Raises:
      UserError: the address cannot be listened at.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=256)
    except OSError as error:
        raise UserError(
            f"cannot listen at {host} port {port}: {error.strerror}. Another: --host, --port."
        ) from error


def own_names(host: str, port: int) -> list[str]:
    """Values of the header Host for what the server listens at."""
    names = [f"[{host}]" if ":" in host else host]
    if is_loopback(host):
        names += [name for name in ("localhost", "127.0.0.1") if name != host]
    # Browsers leave out the port that is usual.
    return [f"{name}:{port}" for name in names] + (names if port == 80 else [])


def _is_any(host):
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_unspecified
    return not host


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def say_where(say: Callable[[str], None], host: str, port: int, after: str = "") -> None:
    """Tells the address, and whether others reach it; `after` is what Ctrl-C does beside."""
    if not is_loopback(host):
        say("Others can reach this address, and what they send is not encrypted.")
    stops = "Ctrl-C stops it" + (f"; {after}" if after else "")
    say(f"http://{own_names(host, port)[0]}/  ({stops})")


def run(app: Callable[..., Any], listener: socket.socket) -> None:
    """Serves until Ctrl-C or SIGTERM."""
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        log_level="warning",
        server_header=False,
        # Of the head of a request.
        h11_max_incomplete_event_size=16 * 1024,
        limit_concurrency=1000,
        timeout_graceful_shutdown=5,
    )
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])
