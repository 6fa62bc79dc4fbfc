"""Where figures come from: the commit, the versions, and the card or processor that measured them."""

import subprocess
from typing import Any

import torch

from bert_mpq.compute.devices import Machine
from bert_mpq.compute.hardware import processor
from bert_mpq.records.run_record import environment


def provenance(machine: Machine, revision: str) -> dict[str, Any]:
    """Return what every JSON of a benchmark says of its origin; ``revision`` is the model's."""
    return {
        "commit": commit(),
        "environment": environment(revision),
        "device": device_name(machine),
        "precision": machine.precision,
        "threads": torch.get_num_threads(),
    }


def commit() -> str:
    """Return the commit of the working folder; "" where there is no history."""
    git = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return git.stdout.strip()


def device_name(machine: Machine) -> str:
    """Return the model name of the GPU or the processor."""
    return torch.cuda.get_device_name() if machine.device.type == "cuda" else processor()
