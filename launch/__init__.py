"""Starts training where it is to run: this machine, Slurm, TPU VMs, Kubernetes; and many runs.

Imports point down this list: `command`, `devices`, `programs`; `group`, `local`; `slurm`, `tpu_vm`,
`jobset`; `table`, `workdirs`, `sweep`; `__main__`. None of them imports JAX or TensorFlow.
"""
