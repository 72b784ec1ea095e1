"""A served study in a process of its own, which a test may kill."""

import contextlib
import http.client
import json
import queue
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time

from small_study import preferred


class Served:
    """A command that serves a page, at the same port each time it is started."""

    def __init__(self, *command):
        self.port = 0
        self._command = [sys.executable, "-m", "volsynth.cli", *map(str, command)]
        self._process = None

    def start(self, patience=60):
        command = [*self._command, "--port", str(self.port)]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        lines, heard = queue.Queue(), []

        def listen():
            for line in self._process.stderr:
                lines.put(line)
            lines.put(None)

        threading.Thread(target=listen, daemon=True).start()
        while True:
            line = lines.get(timeout=patience)
            heard.append(line)
            assert line is not None, heard
            if found := re.match(r"http://127\.0\.0\.1:(\d+)/", line):
                self.port = int(found[1])
                return

    @property
    def address(self):
        return f"http://127.0.0.1:{self.port}/"

    @property
    def is_running(self):
        return self._process.poll() is None

    def kill(self):
        """No warning, no farewell."""
        self._process.send_signal(signal.SIGKILL)
        assert self._process.wait(60) == -signal.SIGKILL
        self._process.stderr.close()

    def stop(self):
        """Stops the server as Ctrl-C does; returns the exit status."""
        self._process.send_signal(signal.SIGINT)
        status = self._process.wait(60)
        self._process.stderr.close()
        return status


class Server(Served):
    """`volsynth study serve`."""

    def __init__(self, results, database, games):
        super().__init__(
            *("study", "serve", "--results", *results, "--database", database, "--games", games)
        )
        self.database = database

    def answers(self):
        """[(judge, question, answer)] of the database, open questions left out."""
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            query = "SELECT judge, id, answer FROM questions WHERE answer IS NOT NULL"
            return connection.execute(query).fetchall()


class Judge:
    """A judge who likes bright pictures, and tries again when the server does not answer."""

    def __init__(self, server, rng, patience=60.0):
        self.acknowledged, self.failures = {}, 0
        self._server, self._rng, self._patience = server, rng, patience
        self._cookie = ""

    def play(self, pause=0.0):
        """Answers everything that is asked."""
        state = self._ask("POST", "/begin", {})
        while not state["finished"]:
            pictures = [
                self._ask("GET", f"/picture/{state['question']}/{side}")
                for side in ("left", "right")
            ]
            choice = preferred(pictures, self._rng)
            body = {"question": state["question"], "choice": choice}
            following = self._ask("POST", "/answer", body)
            assert state["question"] not in self.acknowledged
            self.acknowledged[state["question"]] = choice
            state = following
            time.sleep(pause)
        return self

    def _ask(self, method, path, body=None):
        until = time.monotonic() + self._patience
        while True:
            try:
                return self._once(method, path, body)
            except (OSError, http.client.HTTPException):
                self.failures += 1
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)

    def _once(self, method, path, body):
        connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=30)
        headers = {"Cookie": self._cookie, "Origin": self._server.address.rstrip("/")}
        data = None
        if body is not None:
            headers["Content-Type"], data = "application/json", json.dumps(body)
        with contextlib.closing(connection):
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            content = response.read()
        assert response.status in (200, 201), (response.status, content)
        if given := response.getheader("Set-Cookie"):
            self._cookie = given.split(";")[0]
        is_picture = response.getheader("Content-Type") == "image/png"
        return content if is_picture else json.loads(content)
