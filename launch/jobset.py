"""Kubernetes JobSets, for TPU slices and for nodes with GPUs."""

import dataclasses
import math
import re
from collections.abc import Sequence
from typing import Any

import yaml

from launch import command
from volsynth.errors import UserError

CONTAINER = "train"
PORT = 8476
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")
_USER = 1000


@dataclasses.dataclass(frozen=True)
class Workload:
    """What is asked of the cluster.

    Attributes:
      name: of the JobSet; pods, their hosts and their service are named after it.
      image: that holds the program.
      namespace: None is that of kubectl.
      volumes: (claim, path) of each persistent volume claim.
      max_restarts: of the whole set.
      grace: seconds between SIGTERM and SIGKILL; a checkpoint is saved in it.
      exclusive: the label of nodes by which a job has its part of the cluster for itself.
      queue: of Kueue.
    """

    name: str
    image: str
    namespace: str | None = None
    volumes: tuple[tuple[str, str], ...] = ()
    max_restarts: int = 10
    grace: int = 120
    exclusive: str | None = None
    queue: str | None = None


@dataclasses.dataclass(frozen=True)
class TpuSlices:
    """Slices of one topology, such as tpu-v6e-slice and 4x4."""

    accelerator: str
    topology: str
    chips_per_host: int = 4
    slices: int = 1


@dataclasses.dataclass(frozen=True)
class GpuNodes:
    """Nodes, one process on each that drives all of its GPUs."""

    nodes: int
    gpus_per_node: int


def render(workload: Workload, hardware: TpuSlices | GpuNodes, argv: Sequence[str]) -> str:
    """The manifest as YAML.

    Raises:
      UserError: a name that Kubernetes does not take, or a topology that is none.
    """
    return yaml.safe_dump(manifest(workload, hardware, argv), sort_keys=False, width=100)


def manifest(
    workload: Workload, hardware: TpuSlices | GpuNodes, argv: Sequence[str]
) -> dict[str, Any]:
    """The manifest as JSON values; see `render`."""
    if not _NAME.fullmatch(workload.name):
        raise UserError(
            f"--name {workload.name!r}: small letters, digits and '-', at most 40, letter first."
        )
    if isinstance(hardware, TpuSlices):
        job_name, replicas, pods = "slice", hardware.slices, _hosts(hardware)
        own = _tpu_container(hardware)
        selector = {
            "cloud.google.com/gke-tpu-accelerator": hardware.accelerator,
            "cloud.google.com/gke-tpu-topology": hardware.topology,
        }
    else:
        job_name, replicas, pods = "workers", 1, hardware.nodes
        own = _gpu_container(workload.name, job_name, hardware)
        selector = {}
    mounts = [{"name": "shm", "mountPath": "/dev/shm"}]
    # Loaders and NCCL share memory; the 64 MB that a container has are too few.
    volumes: list[dict] = [{"name": "shm", "emptyDir": {"medium": "Memory"}}]
    for i, (claim, path) in enumerate(workload.volumes):
        mounts.append({"name": f"volume-{i}", "mountPath": path})
        volumes.append({"name": f"volume-{i}", "persistentVolumeClaim": {"claimName": claim}})
    container = {
        "name": CONTAINER,
        "image": workload.image,
        "command": list(argv),
        **own,
        "volumeMounts": mounts,
    }
    # Kubernetes expands $(NAME) in a command; $$ is a dollar sign.
    container["command"] = [word.replace("$(", "$$(") for word in argv]
    pod = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": workload.grace,
        **({"nodeSelector": selector} if selector else {}),
        # Volumes belong to the group that the image's user is in.
        "securityContext": {"fsGroup": _USER},
        "tolerations": [{"key": _resource(hardware), "operator": "Exists", "effect": "NoSchedule"}],
        "containers": [container],
        "volumes": volumes,
    }
    job = {
        "parallelism": pods,
        "completions": pods,
        "completionMode": "Indexed",
        # Processes of a group cannot be replaced one by one: the set starts again as a whole.
        "backoffLimit": 0,
        "podFailurePolicy": {
            "rules": [
                {
                    "action": "FailJob",
                    "onExitCodes": {
                        "containerName": CONTAINER,
                        "operator": "In",
                        "values": [command.MISTAKE],
                    },
                }
            ]
        },
        "template": {"spec": pod},
    }
    metadata: dict[str, Any] = {"name": workload.name}
    if workload.namespace:
        metadata["namespace"] = workload.namespace
    if workload.queue:
        metadata["labels"] = {"kueue.x-k8s.io/queue-name": workload.queue}
    if workload.exclusive:
        key = "alpha.jobset.sigs.k8s.io/exclusive-topology"
        metadata["annotations"] = {key: workload.exclusive}
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": metadata,
        "spec": {
            "network": {"enableDNSHostnames": True, "subdomain": workload.name},
            "failurePolicy": {
                "maxRestarts": workload.max_restarts,
                # The pods' policy fails a job for a mistake only; all else restarts the set.
                "rules": [
                    {
                        "name": "mistake",
                        "action": "FailJobSet",
                        "onJobFailureReasons": ["PodFailurePolicy"],
                    }
                ],
            },
            "replicatedJobs": [
                {"name": job_name, "replicas": replicas, "template": {"spec": job}},
            ],
        },
    }


def _resource(hardware):
    return "google.com/tpu" if isinstance(hardware, TpuSlices) else "nvidia.com/gpu"


def _chips(slices):
    try:
        sides = [int(side) for side in slices.topology.split("x")]
    except ValueError:
        sides = []
    if len(sides) not in (2, 3) or min(sides) < 1:
        raise UserError(f"--topology {slices.topology!r}: chips a side, such as 4x4 or 2x2x2.")
    return math.prod(sides)


def _hosts(slices):
    chips, each = _chips(slices), slices.chips_per_host
    if chips > each and chips % each:
        raise UserError(f"--topology {slices.topology}: {chips} chips are not hosts of {each}.")
    return max(chips // each, 1)


def _tpu_container(slices):
    chips = min(_chips(slices), slices.chips_per_host)
    return {
        # JAX finds its peers by what GKE puts into the environment of TPU pods. The devices' files
        # belong to root.
        "securityContext": {"privileged": True, "runAsUser": 0},
        "resources": {"limits": {"google.com/tpu": chips}},
    }


def _gpu_container(name, job_name, nodes):
    index = {
        "fieldRef": {
            "fieldPath": "metadata.annotations['batch.kubernetes.io/job-completion-index']"
        }
    }
    return {
        "env": [
            # The first pod of the first job, by the JobSet's headless service.
            {"name": "VOLSYNTH_COORDINATOR", "value": f"{name}-{job_name}-0-0.{name}:{PORT}"},
            {"name": "VOLSYNTH_PROCESSES", "value": str(nodes.nodes)},
            {"name": "VOLSYNTH_PROCESS", "valueFrom": index},
        ],
        "securityContext": {"runAsNonRoot": True, "allowPrivilegeEscalation": False},
        "ports": [{"containerPort": PORT}],
        "resources": {"limits": {"nvidia.com/gpu": nodes.gpus_per_node}},
    }
