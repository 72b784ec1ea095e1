"""A studio in a process of its own, which a test may kill; its model puts dots on joints."""

import contextlib
import os
import pathlib
import queue
import re
import signal
import subprocess
import sys
import threading

from volsynth.generation.source import Source, read_person

_TESTS = pathlib.Path(__file__).resolve().parents[1]


class Server:
    """A studio, at the same port each time it is started."""

    def __init__(self, *options):
        """`options`: "person FOLDER" to begin with that of a folder, "photograph FOLDER" to
        find it in every picture, all but its right elbow; "estimator"."""
        self.port = 0
        self._options = options
        self._process = None

    @property
    def address(self):
        return f"http://127.0.0.1:{self.port}/"

    def start(self):
        paths = (_TESTS.parent, _TESTS, _TESTS / "data_prep")
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(self.port), *self._options],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        lines, heard = queue.Queue(), []

        def listen():
            for line in self._process.stdout:
                lines.put(line)
            lines.put(None)

        threading.Thread(target=listen, daemon=True).start()
        while True:
            line = lines.get(timeout=240)
            heard.append(line)
            assert line is not None, heard
            if found := re.match(r"http://127\.0\.0\.1:(\d+)/", line):
                self.port = int(found[1])
                return

    def kill(self):
        """No warning, no farewell."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            assert self._process.wait(60) == -signal.SIGKILL
        self._process.stdout.close()


@contextlib.contextmanager
def serving(*options):
    """A `Server` that is there for a while."""
    started = Server(*options)
    started.start()
    try:
        yield started
    finally:
        started.kill()


def _serve(port, *options):
    import functools

    import own_pictures
    import pytest

    from volsynth.photographs import persons
    from volsynth.poses import keypoint_files, pose_library
    from volsynth.studio import rendering, server
    from volsynth.web import serving

    estimator = who = None
    # The networks take seconds to compile.
    persons.find_person = lambda image: None
    if "photograph" in options:
        folder = pathlib.Path(options[options.index("photograph") + 1])
        source = Source(folder / "picture.jpg", folder / "mask.png", pose=folder / "pose.json")
        (found,) = own_pictures.photograph(pytest.MonkeyPatch(), source)
        found.known[4] = False
    renderer = rendering.Renderer(own_pictures.dots())
    renderer.warm_up()
    if "estimator" in options:
        mm = keypoint_files.read(pose_library.POSES_FILE)[0].joints_mm
        px = 16 + (mm[:, :2] - mm[:, :2].mean(axis=0)) / 70
        estimator = own_pictures.finder(px, mm - mm[[9, 12]].mean(axis=0))
    if "person" in options:
        folder = pathlib.Path(options[options.index("person") + 1])
        source = Source(folder / "picture.jpg", folder / "mask.png", pose=folder / "pose.json")
        who = read_person(source, renderer.image_size, None)
    with serving.open_socket("127.0.0.1", port) as listener:
        port = listener.getsockname()[1]
        app = server.make_app(renderer, estimator, serving.host_names("127.0.0.1", port), who)
        serving.announce(functools.partial(print, flush=True), "127.0.0.1", port)
        serving.run(app, listener)


if __name__ == "__main__":
    _serve(int(sys.argv[1]), *sys.argv[2:])
