"""`volsynth study serve`: the address it listens at, its names, and what cannot be served."""

import subprocess
import sys

import pytest
from fastapi.testclient import TestClient
from small_study import HOST

from volsynth import cli
from volsynth.errors import UserError
from volsynth.study import server
from volsynth.web import serving


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"games": 0}, "--games must be at least 1, got 0"),
        ({"port": 70000}, "--port must lie between 0 and 65535, got 70000"),
        ({"host": "0.0.0.0"}, "say by what name browsers reach it"),
        ({"host": "::"}, "say by what name browsers reach it"),
        ({"host": ""}, "say by what name browsers reach it"),
        ({"host": "192.0.2.1"}, r"cannot listen at 192\.0\.2\.1 port 8765"),
    ],
)
def test_what_cannot_be_served(results, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        server.serve(results, tmp_path / "study.db", **options)


def test_a_port_that_is_taken(results, tmp_path):
    with serving.open_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"cannot listen at 127.0.0.1 port {port}"):
            server.serve(results, tmp_path / "study.db", port=port)


def test_the_names_it_goes_by():
    assert serving.host_names("127.0.0.1", 8765) == ["127.0.0.1:8765", "localhost:8765"]
    assert serving.host_names("::1", 80)[0] == "[::1]:80"
    assert serving.host_names("192.0.2.1", 80) == ["192.0.2.1:80", "192.0.2.1"]


def test_it_serves_where_it_says_and_stays_on_this_machine(results, tmp_path, monkeypatch):
    import uvicorn

    seen = []

    def run(self, sockets):
        seen.append((self.config.app, sockets[0].getsockname()))

    monkeypatch.setattr(uvicorn.Server, "run", run)
    said = []
    server.serve(results, tmp_path / "study.db", games=5, port=0, say=said.append)
    ((app, (host, port)),) = seen
    assert host == "127.0.0.1"
    assert said[0].startswith("4 methods, 6 items, 5 decisions in each of 3 tasks; answers go to ")
    assert said[1].startswith(f"http://127.0.0.1:{port}/ ")
    for name, status in ((f"127.0.0.1:{port}", 200), (f"localhost:{port}", 200), (HOST, 421)):
        if name != f"127.0.0.1:{port}" or port != 8765:
            assert TestClient(app, f"http://{name}").get("/").status_code == status


def test_beyond_this_machine_names_are_needed_and_a_warning_is_given(
    results, tmp_path, monkeypatch
):
    import uvicorn

    apps = []
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: apps.append(self.config.app))
    said = []
    names = ["study.example.org"]
    database = tmp_path / "study.db"
    server.serve(results, database, host="0.0.0.0", port=0, names=names, say=said.append)
    assert "Others can reach this address, and what they send is not encrypted." in said
    assert TestClient(apps[0], "http://study.example.org").get("/").status_code == 200


def test_without_the_extra_there_is_one_line(tmp_path):
    program = (
        "import sys\n"
        "sys.modules['fastapi'] = None\n"
        "from volsynth import cli\n"
        "sys.exit(cli.main(['study', 'serve', '--results', 'a', 'b']))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 2
    expected = "volsynth: error: the study's page needs fastapi: pip install 'volsynth[study]'.\n"
    assert done.stderr == expected


def test_a_folder_that_is_none_is_one_line(capsys, tmp_path):
    assert cli.main(["study", "serve", "--results", str(tmp_path), str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
