"""`volsynth studio`: the files of its page, what cannot be served, its address, a real server."""

import contextlib
import http.client
import io
import json
import pathlib
import re
import subprocess
import sys
import tomllib

import exported_runs
import numpy as np
import own_pictures
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from serving import Served
from visiting import joints_of, named

from volsynth import cli
from volsynth.errors import UserError
from volsynth.export import write
from volsynth.generation import estimation, render
from volsynth.generation.source import Source
from volsynth.poses import keypoint_files
from volsynth.studio import server
from volsynth.web import serving


@pytest.fixture
def apps(monkeypatch):
    """Applications that were served, which is over at once; models put dots on joints."""
    joints = np.random.default_rng(0).normal(16, 5, (15, 3))
    found = []
    # Uvicorn would close what others log to, which is not theirs in tests.
    monkeypatch.setattr(
        serving, "run", lambda app, listener: found.append((app, listener.getsockname()))
    )
    monkeypatch.setattr(render, "load_generator", lambda path, program=None: own_pictures.dots())
    finder = own_pictures.finder(joints[:, :2], joints)
    monkeypatch.setattr(estimation, "load_estimator", lambda path: finder)
    return found


_PAGE = pathlib.Path(server.__file__).parent / "page"
_KINDS = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


@pytest.mark.parametrize("file", sorted(_PAGE.rglob("*")), ids=lambda file: file.name)
def test_every_file_of_the_page_is_served(page, file):
    name = file.relative_to(_PAGE).as_posix()
    answer = page.get("/" if name == "index.html" else f"/{name}")
    assert (answer.status_code, answer.content) == (200, file.read_bytes())
    assert answer.headers["content-type"].split(";")[0] == _KINDS[file.suffix]


def test_every_file_of_the_page_is_packed():
    project = pathlib.Path(__file__).parents[2] / "pyproject.toml"
    data = tomllib.loads(project.read_text())["tool"]["setuptools"]["package-data"]
    packed = {file for pattern in data["volsynth.studio"] for file in _PAGE.parent.glob(pattern)}
    assert packed == set(_PAGE.rglob("*"))


def test_the_page_loads_each_of_its_files_and_nothing_else():
    waiting, loaded = {"index.html"}, set()
    while waiting:
        name = waiting.pop()
        loaded.add(name)
        text = (_PAGE / name).read_text()
        named = re.findall(r'(?:src|href)="([^"]+)"', text) + re.findall(r'from "\./([^"]+)"', text)
        waiting |= set(named) - loaded
    assert loaded == {file.name for file in _PAGE.iterdir()}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"port": 70000}, "--port must lie between 0 and 65535, got 70000"),
        ({"host": "0.0.0.0"}, "say by what name browsers reach it, such as --name .*:8766"),
        ({"host": "::"}, "say by what name browsers reach it"),
        ({"host": "192.0.2.1"}, r"cannot listen at 192\.0\.2\.1 port 8766"),
    ],
)
def test_what_cannot_be_served(tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        server.serve(tmp_path, **options)


def test_it_stays_on_this_machine_unless_told_otherwise(apps, capsys):
    assert cli.main(["studio", "--model", "m", "--port", "0"]) == 0
    ((app, (host, port)),) = apps
    assert host == "127.0.0.1"
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "compiling the model; it takes up to a minute",
        f"http://127.0.0.1:{port}/  (Ctrl-C stops it)",
    ]
    for name, status in ((f"127.0.0.1:{port}", 200), (f"localhost:{port}", 200), ("a.b", 421)):
        assert TestClient(app, f"http://{name}").get("/about").status_code == status


def test_beyond_this_machine_a_warning_is_given(apps):
    said = []
    server.serve("m", host="0.0.0.0", port=0, names=["people.example.org"], say=said.append)
    assert "Others can reach this address, and what they send is not encrypted." in said
    assert TestClient(apps[0][0], "http://people.example.org").get("/").status_code == 200


def test_the_page_may_begin_with_a_person(apps, tmp_path, capsys, monkeypatch):
    found, _ = own_pictures.bring(tmp_path)
    command = ["studio", "--model", "m", "--port", "0", "--image", str(found["image"])]
    command += ["--mask", str(found["mask"])]
    assert cli.main([*command, "--source-pose", str(found["pose"])]) == 0
    assert cli.main([*command, "--estimator", "e"]) == 0
    # The picture alone is enough.
    own_pictures.photograph(monkeypatch, Source(found["image"], found["mask"], found["pose"]))
    assert cli.main(command[:-2]) == 0
    for app, (_, port) in apps:
        client = TestClient(app, f"http://127.0.0.1:{port}")
        person = client.get("/about").json()["person"]
        assert client.get(f"/person/{person['person']}").status_code == 200
    capsys.readouterr()
    for wrong, line in (
        ([*command[:5], "--mask", "k.png"], "--mask and --source-pose are of --image FILE"),
        ([*command[:5], "--source-pose", "k"], "--mask and --source-pose are of --image FILE"),
    ):
        assert cli.main(wrong) == 2
        err = capsys.readouterr().err.splitlines()
        assert line in err[-1]


def test_models_of_another_kind_are_one_line(tmp_path, capsys):
    assert cli.main(["studio", "--model", str(tmp_path / "none"), "--port", "0"]) == 2
    assert capsys.readouterr().err.startswith("volsynth: error: ")


def test_without_the_extra_there_is_one_line():
    program = (
        "import sys\n"
        "sys.modules['uvicorn'] = None\n"
        "from volsynth import cli\n"
        "sys.exit(cli.main(['studio', '--model', 'm']))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 2
    expected = "volsynth: error: the studio's page needs uvicorn: pip install 'volsynth[studio]'.\n"
    assert done.stderr == expected


def _ask(server, method, path, body=None, kind="application/json"):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    headers = {"Origin": server.address.rstrip("/"), "Content-Type": kind}
    data = body if body is None or isinstance(body, bytes) else json.dumps(body)
    with contextlib.closing(connection):
        connection.request(method, path, data, headers if body is not None else {})
        response = connection.getresponse()
        content = response.read()
    assert response.status in (200, 201), content
    if response.getheader("content-type") == "image/png":
        return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    return json.loads(content)


@pytest.mark.slow
def test_a_real_server_renders_as_the_command_line_does(tmp_path):
    run = exported_runs.write(tmp_path / "run", "configs/volumetric.py:smoke")
    write.export(run, tmp_path / "model")
    found, _ = own_pictures.bring(tmp_path, "alpha")
    (pose,) = keypoint_files.read(found["pose"])
    served = Served("studio", "--model", tmp_path / "model")
    served.start(patience=300)
    try:
        picture = _ask(served, "POST", "/picture", found["image"].read_bytes(), "image/png")
        given = {"picture": picture["picture"], **joints_of(pose)}
        person = _ask(served, "POST", "/person", given)["person"]
        body = {"person": person, "joints_mm": named("sitting").tolist(), "turn": 30}
        made = _ask(served, "POST", "/render", body)
        motion = _ask(served, "POST", "/motion", {"person": person, "name": "walking"})
        strip = _ask(served, "GET", f"/motion/{motion['motion']}/0")
    finally:
        assert served.stop() == 0
    assert strip.shape == (8 * made.shape[0], made.shape[1], 3)
    # The command line would know the camera, too.
    pose = keypoint_files.Pose(pose.order, pose.visible, pose.joints_px, pose.joints_mm)
    keypoint_files.write(tmp_path / "pose.json", [pose])
    command = ["generate", "--model", tmp_path / "model", "--image", found["image"]]
    command += ["--source-pose", tmp_path / "pose.json", "--pose", "sitting", "--turn", 30]
    command += ["--frame", "square", "--out", tmp_path / "out.png"]
    assert cli.main([*map(str, command)]) == 0
    wanted = np.asarray(Image.open(tmp_path / "out.png")).astype(int)
    assert np.ptp(wanted) > 20
    assert np.abs(made - wanted).max() <= 1
