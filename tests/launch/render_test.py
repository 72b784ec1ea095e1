"""The texts that launchers render: golden files, schemas, and the scripts run with fake programs.

`VOLSYNTH_REWRITE_GOLDEN=1 python -m pytest tests/launch/render_test.py` rewrites the golden files;
read their diff before you commit it.
"""

import copy
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import time

import jsonschema
import kubernetes_validate
import pytest
import yaml
from jobset_schema import JOBSET

from launch import __main__ as launch
from launch import command, jobset
from volsynth.errors import UserError

GOLDEN = pathlib.Path("tests/launch/golden")
TRAIN = ("--config", "configs/volumetric.py:full", "--workdir", "/runs/it's here")
CASES = {
    "slurm.sh": (
        *("slurm", "--nodes", "2", "--gpus-per-node", "4", "--time", "2-00:00:00"),
        *("--partition", "gpu", "--account", "vision", "--setup", ". .venv/bin/activate"),
        *(*TRAIN, "--config.train.steps=300_000"),
    ),
    "slurm_default.sh": ("slurm", *TRAIN),
    "tpu_vm.sh": (
        *("tpu-vm", "--name", "warp", "--zone", "us-east5-b", "--accelerator-type", "v6e-16"),
        *("--runtime-version", "v2-alpha-tpuv6e", "--spot", "--setup", "echo 'a  b'", *TRAIN),
    ),
    "jobset_tpu.yaml": (
        *("jobset", "--image", "volsynth:tpu", "--accelerator", "tpu-v6e-slice"),
        *("--topology", "4x4", "--slices", "2", "--queue", "slices", *TRAIN),
    ),
    "jobset_gpu.yaml": (
        *("jobset", "--image", "volsynth:cuda", "--nodes", "2", "--gpus-per-node", "8"),
        *("--volume", "data:/data", "--volume", "runs:/runs", "--namespace", "vision", *TRAIN),
    ),
}
JOBSETS = [name for name in CASES if name.endswith(".yaml")]


def _rendered(capsys, name):
    assert launch.main([*CASES[name], "--dry-run"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


@pytest.mark.parametrize("name", CASES)
def test_what_is_rendered_is_the_golden_file(capsys, name):
    text = _rendered(capsys, name)
    if os.environ.get("VOLSYNTH_REWRITE_GOLDEN"):
        (GOLDEN / name).write_text(text)
    assert text == (GOLDEN / name).read_text(), "see the top of this test"


def test_there_are_no_other_golden_files():
    assert {path.name for path in GOLDEN.iterdir()} == set(CASES)


@pytest.mark.parametrize("name", [name for name in CASES if name.endswith(".sh")])
def test_scripts_are_bash(name):
    done = subprocess.run(["bash", "-n", GOLDEN / name], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


# --- JobSets -------------------------------------------------------------------------------------


def _validate(manifest):
    jsonschema.validate(manifest, JOBSET)
    for replicated in manifest["spec"]["replicatedJobs"]:
        template = replicated["template"]
        job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, **template}
        kubernetes_validate.validate(job, "1.33", strict=True)


@pytest.mark.parametrize("name", JOBSETS)
def test_jobsets_are_valid(name):
    _validate(yaml.safe_load((GOLDEN / name).read_text()))


@pytest.mark.parametrize(
    "path",
    [
        ("spec", "failurePolicy"),
        ("spec", "replicatedJobs", 0),
        ("spec", "replicatedJobs", 0, "template", "spec"),
        ("spec", "replicatedJobs", 0, "template", "spec", "template", "spec", "containers", 0),
    ],
)
def test_the_validation_finds_what_does_not_belong(path):
    manifest = yaml.safe_load((GOLDEN / "jobset_gpu.yaml").read_text())
    _validate(copy.deepcopy(manifest))
    part = manifest
    for key in path:
        part = part[key]
    part["backofLimit"] = 0
    with pytest.raises((jsonschema.ValidationError, kubernetes_validate.ValidationError)):
        _validate(manifest)


def _job(name):
    manifest = yaml.safe_load((GOLDEN / name).read_text())
    return manifest, manifest["spec"]["replicatedJobs"][0]


@pytest.mark.parametrize("name", JOBSETS)
def test_a_mistake_fails_the_set_and_all_else_restarts_it(name):
    manifest, replicated = _job(name)
    job = replicated["template"]["spec"]
    pod = job["template"]["spec"]
    assert job["backoffLimit"] == 0
    assert pod["restartPolicy"] == "Never"
    (rule,) = job["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"]["values"] == [command.MISTAKE]
    assert rule["onExitCodes"]["containerName"] == pod["containers"][0]["name"]
    policy = manifest["spec"]["failurePolicy"]
    assert [rule["onJobFailureReasons"] for rule in policy["rules"]] == [["PodFailurePolicy"]]
    assert policy["maxRestarts"] == 10


def test_gpu_pods_meet_at_the_first_of_them():
    manifest, replicated = _job("jobset_gpu.yaml")
    host = f"{manifest['metadata']['name']}-{replicated['name']}-0-0"
    (container,) = replicated["template"]["spec"]["template"]["spec"]["containers"]
    values = {entry["name"]: entry.get("value") for entry in container["env"]}
    subdomain, (port,) = manifest["spec"]["network"]["subdomain"], container["ports"]
    place = f"{host}.{subdomain}:{port['containerPort']}"
    assert values["VOLSYNTH_COORDINATOR"] == place
    assert values["VOLSYNTH_PROCESSES"] == str(replicated["template"]["spec"]["completions"]) == "2"


@pytest.mark.parametrize(
    ("topology", "each", "pods", "chips"),
    [("4x4", 4, 4, 4), ("2x2", 4, 1, 4), ("1x1", 4, 1, 1), ("2x4", 8, 1, 8), ("2x2x4", 4, 4, 4)],
)
def test_a_slice_has_as_many_hosts_as_its_chips_need(topology, each, pods, chips):
    slices = jobset.TpuSlices("tpu-v6e-slice", topology, each)
    job = jobset.manifest(jobset.Workload("a", "i"), slices, ["x"])["spec"]["replicatedJobs"][0]
    spec = job["template"]["spec"]
    assert spec["completions"] == spec["parallelism"] == pods
    (container,) = spec["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == {"google.com/tpu": chips}


def test_kubernetes_does_not_expand_words_of_the_command():
    gpus = jobset.GpuNodes(1, 1)
    manifest = jobset.manifest(jobset.Workload("a", "i"), gpus, ["$(HOME)", "$x"])
    pod = manifest["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["command"] == ["$$(HOME)", "$x"]


# --- scripts, with fake programs -----------------------------------------------------------------


def _fakes(folder, **programs):
    folder.mkdir()
    for name, body in {"sleep": "exit 0", **programs}.items():
        (folder / name).write_text(f"#!/bin/bash\n{body}\n")
        (folder / name).chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "LOG": str(folder / "log")}


_SRUN = 'printf "%s\\n" "$*" >> "$LOG"; s=($STATUSES); exit ${s[$(($(wc -l < "$LOG") - 1))]}'


def _slurm(tmp_path, statuses, *options):
    text = subprocess.run(
        [sys.executable, "-m", "launch", "slurm", "--dry-run", *options, *TRAIN],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    env = _fakes(tmp_path / "bin", srun=_SRUN, scontrol='echo "$*" > "$LOG.requeue"')
    env |= {"STATUSES": statuses, "SLURM_JOB_ID": "17"}
    done = subprocess.run(["bash"], input=text, env=env, capture_output=True, text=True, timeout=20)
    requeued = tmp_path / "bin" / "log.requeue"
    calls = (tmp_path / "bin" / "log").read_text().splitlines()
    return done.returncode, calls, requeued.read_text().strip() if requeued.exists() else None


@pytest.mark.parametrize(
    ("statuses", "status", "calls", "requeued"),
    [
        ("0", 0, 1, None),
        ("2", 2, 1, None),
        ("3", 0, 1, "requeue 17"),
        ("134 1 0", 0, 3, None),
        ("134 3", 0, 2, "requeue 17"),
        ("1 1 137", 137, 3, None),
    ],
)
def test_the_batch_script_does_what_a_status_asks_for(tmp_path, statuses, status, calls, requeued):
    found, log, again = _slurm(tmp_path, statuses, "--max-restarts", "2")
    assert (found, len(log), again) == (status, calls, requeued)
    assert log[0].endswith("--workdir /runs/it's here --distributed")


def test_signals_go_to_the_processes_and_not_to_the_batch_script():
    text = (GOLDEN / "slurm.sh").read_text()
    assert "#SBATCH --signal=TERM@120\n" in text
    assert "#SBATCH --requeue\n" in text
    assert "trap" not in text


_GCLOUD = r"""
echo "$3 $4 $5" >> "$LOG"
case "$*" in
  *describe*) n=$(grep -c describe "$LOG"); s=($STATES)
    echo "${s[$((n - 1))]:-ACTIVE}" | tr -d -; exit 0 ;;
  *"echo 'a  b'"*) echo setup >> "$LOG"; exit 0 ;;
  *exec*) n=$(grep -c train "$LOG"); echo train >> "$LOG"; s=($STATUSES); exit "${s[$n]}" ;;
esac
"""


@pytest.mark.parametrize(
    ("states", "statuses", "status", "counts"),
    [
        ("ACTIVE", "0", 0, {"train": 1, "setup": 1}),
        ("ACTIVE", "2", 2, {"train": 1}),
        ("ACTIVE", "134 3 0", 0, {"train": 3, "setup": 1}),
        ("- PROVISIONING ACTIVE", "0", 0, {"create": 1, "train": 1}),
        (
            "ACTIVE SUSPENDED - - CREATING ACTIVE",
            "255 0",
            0,
            {"delete": 1, "create": 1, "train": 2, "setup": 2},
        ),
    ],
)
def test_the_tpu_script_keeps_its_tpu_and_its_training_up(
    tmp_path, states, statuses, status, counts
):
    env = _fakes(tmp_path / "bin", gcloud=_GCLOUD) | {"STATES": states, "STATUSES": statuses}
    done = subprocess.run(["bash", GOLDEN / "tpu_vm.sh"], env=env, capture_output=True, timeout=20)
    assert done.returncode == status, done.stderr
    log = (tmp_path / "bin" / "log").read_text()
    for word, count in counts.items():
        assert len(re.findall(rf"\b{word}\b", log)) == count, log


def test_stopping_the_tpu_script_stops_the_workers(tmp_path):
    cases = "*describe*) echo ACTIVE ;; *exec*) exec /bin/sleep 30 ;;"
    body = f'echo "$*" >> "$LOG"\ncase "$*" in {cases} esac'
    env = _fakes(tmp_path / "bin", gcloud=body)
    process = subprocess.Popen(["bash", GOLDEN / "tpu_vm.sh"], env=env, start_new_session=True)
    log, end = tmp_path / "bin" / "log", time.monotonic() + 10
    while not (log.exists() and "exec volsynth" in log.read_text()):
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 3
    os.killpg(process.pid, signal.SIGKILL)
    assert "--worker=all --command=if grep -qs volsynth" in log.read_text().splitlines()[-1]


# --- submitting ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "program"),
    [("slurm.sh", "sbatch"), ("tpu_vm.sh", "gcloud"), ("jobset_gpu.yaml", "kubectl")],
)
def test_a_program_that_is_not_there_is_one_line(capfd, monkeypatch, tmp_path, name, program):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert launch.main(CASES[name]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(f"launch: error: {program} was not found.")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "program", "arguments"),
    [("slurm.sh", "sbatch", ""), ("jobset_gpu.yaml", "kubectl", "apply -f -")],
)
def test_what_is_submitted_is_what_a_dry_run_prints(
    capfd, monkeypatch, tmp_path, name, program, arguments
):
    env = _fakes(tmp_path / "bin", **{program: 'echo "$*" > "$LOG"; cat >> "$LOG"; exit 5'})
    monkeypatch.setenv("PATH", env["PATH"])
    monkeypatch.setenv("LOG", env["LOG"])
    assert launch.main(CASES[name]) == 5
    expected = f"{arguments}\n" + (GOLDEN / name).read_text()
    assert pathlib.Path(env["LOG"]).read_text() == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("slurm", "--partition", "a b", *TRAIN), "--partition 'a b': #SBATCH takes"),
        (("slurm", "--name", "a\n#SBATCH -x", *TRAIN), "--job-name"),
        (("slurm", "--config", "c"), "--workdir missing"),
        (("slurm",), "--config and --workdir missing"),
        (("slurm", *TRAIN, "--", "x"), "or a whole command after --"),
        (("jobset", "--image", "i", *TRAIN), "give either --accelerator and --topology"),
        (("jobset", "--image", "i", "--gpus-per-node", "1", "--name", "A", *TRAIN), "--name 'A'"),
        (
            ("jobset", "--image", "i", "--gpus-per-node", "1", "--volume", "x", *TRAIN),
            "CLAIM:/PATH",
        ),
        (
            ("jobset", "--image", "i", "--accelerator", "t", "--topology", "4", *TRAIN),
            "chips a side",
        ),
        (("jobset", "--image", "i", "--accelerator", "t", "--topology", "3x2", *TRAIN), "6 chips"),
    ],
)
def test_mistakes_are_one_line(capsys, arguments, message):
    assert launch.main([*arguments[:1], "--dry-run", *arguments[1:]]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


def test_a_volsynth_train_given_whole_is_distributed_too():
    def made(text):
        return command.train_command((), None, None, (), shlex.split(text))[-1]

    assert made("volsynth train --config c") == "--distributed"
    assert made("python -m volsynth.cli train x") == "--distributed"
    assert made("volsynth train --distributed --config c") == "c"
    assert made("python train") == "train"
    with pytest.raises(UserError, match="or a whole command"):
        command.train_command((), "c", None, (), ("x",))


# --- the package ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", [(), ("local",), ("slurm",), ("tpu-vm",), ("jobset",), ("sweep",)]
)
def test_everything_has_help(capsys, words):
    with pytest.raises(SystemExit) as stop:
        launch.main([*words, "--help"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith(" ".join(["usage: python -m launch", *words]))


def test_it_imports_neither_jax_nor_tensorflow():
    program = (
        "import sys; import launch.__main__; print(*{m.partition('.')[0] for m in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "yaml" in done.stdout.split()
    assert not {"jax", "jaxlib", "flax", "tensorflow", "numpy"} & set(done.stdout.split())


def test_the_image_copies_what_is_there_and_what_is_let_in():
    copied = []
    for line in pathlib.Path("launch/Dockerfile").read_text().splitlines():
        if line.startswith("COPY "):
            copied += line.split()[1:-1]
    assert {"pyproject.toml", "constraints.txt", "volsynth", "configs"} <= set(copied)
    assert all(pathlib.Path(name).exists() for name in copied)
    ignore = pathlib.Path("launch/Dockerfile.dockerignore").read_text().splitlines()
    assert "*" in ignore
    assert {line[1:] for line in ignore if line.startswith("!")} == set(copied)
