"""Kubernetes JobSets that run training on TPU slices or on nodes with GPUs."""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from launch import command
from volsynth.errors import UserError

CONTAINER = "train"
"""The name of the container of every pod."""

PORT = 8476
"""The port at which the processes of GPU pods meet."""

_NAME = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")
"""The names that are taken. Names of pods and hosts are made of them, and have at most 63
letters."""

_USER = 1000
"""The number of the user, and of its group, that the image runs as; see the Dockerfile."""


@dataclasses.dataclass(frozen=True)
class Workload:
    """The training that is run, and what the cluster must give it besides its hardware.

    Attributes:
      name: the name of the JobSet; pods, their hosts and their service are named after it.
      image: the image that holds the program.
      namespace: the namespace; None is that of kubectl.
      volumes: (claim, path) of each persistent volume claim.
      max_restarts: how many times the complete set is started again.
      grace: seconds between SIGTERM and SIGKILL, in which a checkpoint is saved.
      exclusive: the label of nodes by which a job has its part of the cluster for itself; None for
        no such part.
      queue: the queue of Kueue; None where there is no Kueue.
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
    """TPU slices of one topology.

    Attributes:
      accelerator: such as tpu-v6e-slice.
      topology: chips a side, such as 4x4.
      chips_per_host: how many chips a machine has.
      slices: how many slices there are; each is a job of the set.
    """

    accelerator: str
    topology: str
    chips_per_host: int = 4
    slices: int = 1


@dataclasses.dataclass(frozen=True)
class GpuNodes:
    """Nodes with GPUs; one process on each drives all of its GPUs.

    Attributes:
      nodes: how many nodes there are.
      gpus_per_node: how many GPUs each has.
    """

    nodes: int
    gpus_per_node: int


def render(workload: Workload, hardware: TpuSlices | GpuNodes, argv: Sequence[str]) -> str:
    """Renders the manifest as YAML.

    Args:
      workload: what is run.
      hardware: what it is run on.
      argv: the command of every pod.

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
    pod = _pod(workload, _resource(hardware), selector, own, argv)
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": _metadata(workload),
        "spec": {
            # Hosts get names, by which the pods find the one that coordinates them.
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
                {"name": job_name, "replicas": replicas, "template": {"spec": _job(pod, pods)}},
            ],
        },
    }


def _metadata(workload: Workload) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": workload.name}
    if workload.namespace:
        metadata["namespace"] = workload.namespace
    if workload.queue:
        metadata["labels"] = {"kueue.x-k8s.io/queue-name": workload.queue}
    if workload.exclusive:
        key = "alpha.jobset.sigs.k8s.io/exclusive-topology"
        metadata["annotations"] = {key: workload.exclusive}
    return metadata


def _job(pod: Mapping[str, Any], pods: int) -> dict[str, Any]:
    """The specification of a job: as many pods as it has machines, all at once."""
    return {
        "parallelism": pods,
        "completions": pods,
        # Each pod has a number, which becomes the number of its process.
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


def _pod(
    workload: Workload,
    resource: str,
    selector: Mapping[str, str],
    own: Mapping[str, Any],
    argv: Sequence[str],
) -> dict[str, Any]:
    """The specification of a pod.

    Args:
      workload: what is run.
      resource: the name of the resource that marks the nodes.
      selector: labels of the nodes that it may run on; empty for any.
      own: what the container has for its hardware.
      argv: the command.
    """
    # Loaders and NCCL share memory; the 64 MB that a container has are too few.
    mounts = [{"name": "shm", "mountPath": "/dev/shm"}]
    volumes: list[dict] = [{"name": "shm", "emptyDir": {"medium": "Memory"}}]
    for i, (claim, path) in enumerate(workload.volumes):
        mounts.append({"name": f"volume-{i}", "mountPath": path})
        volumes.append({"name": f"volume-{i}", "persistentVolumeClaim": {"claimName": claim}})
    container = {
        "name": CONTAINER,
        "image": workload.image,
        # Kubernetes expands $(NAME) in a command; $$ is a dollar sign.
        "command": [word.replace("$(", "$$(") for word in argv],
        **own,
        "volumeMounts": mounts,
    }
    return {
        # A restart of one container would come back into a group that is gone.
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": workload.grace,
        **({"nodeSelector": dict(selector)} if selector else {}),
        # Volumes belong to the group that the image's user is in.
        "securityContext": {"fsGroup": _USER},
        # Nodes with accelerators are marked, so that nothing else is put on them.
        "tolerations": [{"key": resource, "operator": "Exists", "effect": "NoSchedule"}],
        "containers": [container],
        "volumes": volumes,
    }


def _resource(hardware: TpuSlices | GpuNodes) -> str:
    return "google.com/tpu" if isinstance(hardware, TpuSlices) else "nvidia.com/gpu"


def _chips(slices: TpuSlices) -> int:
    """The number of chips of a slice, by its topology."""
    try:
        sides = [int(side) for side in slices.topology.split("x")]
    except ValueError:
        sides = []
    if len(sides) not in (2, 3) or min(sides) < 1:
        raise UserError(f"--topology {slices.topology!r}: chips a side, such as 4x4 or 2x2x2.")
    return math.prod(sides)


def _hosts(slices: TpuSlices) -> int:
    """The number of machines of a slice."""
    chips, each = _chips(slices), slices.chips_per_host
    if chips > each and chips % each:
        raise UserError(f"--topology {slices.topology}: {chips} chips are not hosts of {each}.")
    return max(chips // each, 1)


def _tpu_container(slices: TpuSlices) -> dict[str, Any]:
    # A slice may be a part of one machine.
    chips = min(_chips(slices), slices.chips_per_host)
    return {
        # JAX finds its peers by what GKE puts into the environment of TPU pods. The devices' files
        # belong to root.
        "securityContext": {"privileged": True, "runAsUser": 0},
        "resources": {"limits": {"google.com/tpu": chips}},
    }


def _gpu_container(name: str, job_name: str, nodes: GpuNodes) -> dict[str, Any]:
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
