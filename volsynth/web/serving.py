"""Serving of a page: its files, errors as JSON, the socket, its host names, and uvicorn."""

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

# Uvicorn has set up this logger to print to the terminal.
_LOG = logging.getLogger("uvicorn.error")

# Not from `mimetypes`, which reads the machine's own tables: some of them call JavaScript plain
# text, which browsers do not run under "nosniff".
_CONTENT_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}

LONGEST_ERROR = 500
"""The most characters of an error line, which may cite what a client sent."""

DescribeInvalid = Callable[[Sequence[Any]], tuple[int, str]]
"""A function that turns pydantic's errors about a request into a status and one line."""


def add_page(app: fastapi.FastAPI, package: str, names: Iterable[str]) -> None:
    """Serves the files of a page, each at its name, and index.html at "/".

    Args:
      app: the application that answers.
      package: the Python package that has the files in its folder `page`.
      names: of the files.
    """
    page = importlib.resources.files(package) / "page"
    for name in names:
        path = "/" if name == "index.html" else f"/{name}"
        content_type = _CONTENT_TYPES[name.rsplit(".", 1)[1]]
        # Read once, here: no path that a client sends ever reaches the disk.
        app.get(path)(functools.partial(_page_file, (page / name).read_bytes(), content_type))


def _page_file(content, content_type) -> fastapi.Response:
    # As a header of its own: `media_type` would add a charset to what has one.
    return fastapi.Response(content, headers={"content-type": content_type})


def add_error_handlers(
    app: fastapi.FastAPI,
    describe_invalid: DescribeInvalid,
    internal: Sequence[type[Exception]] = (),
) -> None:
    """Makes every error of an application a JSON {"error": one line}.

    Args:
      app: the application whose errors are handled.
      describe_invalid: tells what is wrong with a request of another form.
      internal: exceptions whose message goes to the server's log and not to the client, since it
        may name files of this machine. Exceptions of all other types go to the log with their
        traceback.
    """

    @app.exception_handler(HTTPException)
    def _(request, raised):
        return error_response(raised.status_code, raised.detail, raised.headers)

    # Starlette raises again what only this handler takes, and so uvicorn logs its traceback.
    @app.exception_handler(Exception)
    def _(request, raised):
        return error_response(500, "The server has a problem.")

    for kind in internal:

        @app.exception_handler(kind)
        def _(request, raised):
            _LOG.error("%s", raised)
            return error_response(500, "The server has a problem.")

    @app.exception_handler(RequestValidationError)
    def _(request, raised):
        errors = raised.errors()
        if any(each["type"] == "json_invalid" for each in errors):
            return error_response(400, "The body is not JSON.")
        return error_response(*describe_invalid(errors))


def error_response(
    status: int, line: str, headers: Mapping[str, str] | None = None
) -> fastapi.responses.JSONResponse:
    """A response with an error as pages expect it: one line, at most `LONGEST_ERROR` long."""
    line = " ".join(str(line).split())[:LONGEST_ERROR]
    # JSON may hold half of a surrogate pair, which an error that cites it cannot send as UTF-8.
    line = line.encode("utf-8", "replace").decode()
    return fastapi.responses.JSONResponse({"error": line}, status, headers=headers)


def check_address(host: str, port: int, names: Sequence[str]) -> None:
    """Checks a server's options before anything is loaded.

    Args:
      host: the address to listen at.
      port: the port, 0 for any that is free.
      names: further host names by which browsers reach the server.

    Raises:
      UserError: there is no such port, or no name by which browsers reach the server is known.
    """
    if not 0 <= port < 2**16:
        raise UserError(f"--port must lie between 0 and {2**16 - 1}, got {port}.")
    if _is_any_address(host) and not names:
        raise UserError(
            f"--host {host} is every address of this machine: say by what name browsers reach it, "
            f"such as --name people.example.org:{port}."
        )


def open_socket(host: str, port: int) -> socket.socket:
    """A socket that listens at an address; port 0 takes a free one.

    Raises:
      UserError: the address cannot be listened at.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # An IPv6 address has four fields, of which create_server takes the first two.
        return socket.create_server(address[:2], family=family, backlog=256)
    except OSError as error:
        raise UserError(
            f"cannot listen at {host} port {port}: {error.strerror}. Another: --host, --port."
        ) from error


def host_names(host: str, port: int) -> list[str]:
    """The values that browsers send in the header Host to a server at this address."""
    # Addresses of IPv6 have colons, so that the port is told apart by brackets.
    names = [f"[{host}]" if ":" in host else host]
    if is_loopback(host):
        names += [name for name in ("localhost", "127.0.0.1") if name != host]
    # Browsers leave out the port where it is HTTP's own.
    return [f"{name}:{port}" for name in names] + (names if port == 80 else [])


def _is_any_address(host):
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_unspecified
    # An empty name, too, makes a socket listen everywhere.
    return not host


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine only."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def announce(say: Callable[[str], None], host: str, port: int, after_stop: str = "") -> None:
    """Tells the address of a server, and warns if other machines can reach it.

    Args:
      say: prints a line.
      host: the address.
      port: the port.
      after_stop: what a stopped server does when it is started again.
    """
    if not is_loopback(host):
        say("Others can reach this address, and what they send is not encrypted.")
    stops = "Ctrl-C stops it" + (f"; {after_stop}" if after_stop else "")
    say(f"http://{host_names(host, port)[0]}/  ({stops})")


def run(app: Callable[..., Any], listener: socket.socket) -> None:
    """Serves an application at a socket until Ctrl-C or SIGTERM."""
    config = uvicorn.Config(
        app,
        # Named, so that nothing changes where httptools or websockets happen to be installed.
        http="h11",
        ws="none",
        lifespan="off",
        log_level="warning",
        server_header=False,
        # Bounds the head of a request; the guard bounds bodies only.
        h11_max_incomplete_event_size=16 * 1024,
        limit_concurrency=1000,
        # A picture that is being made may be finished, but a browser that keeps its connection open
        # must not keep the server from stopping.
        timeout_graceful_shutdown=5,
    )
    # Uvicorn raises the signal again after it has stopped.
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])
