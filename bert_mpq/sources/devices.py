"""The device a run uses, and how much it takes at once."""

from dataclasses import dataclass

import torch
from torch import nn

from bert_mpq.config import Device
from bert_mpq.errors import MpqError


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where the model runs.

    Args:
        device: torch device of the (first) replica.
        num_gpus: GPUs the forward pass is spread over; 0 on a CPU.
    """

    device: torch.device
    num_gpus: int

    @property
    def batch_tokens(self) -> int:
        """Tokens per forward pass by default, padding and probed streams included.

        On a CPU larger batches fall out of the cache; a GPU needs them to be busy.
        """
        return 65_536 * self.num_gpus if self.device.type == "cuda" else 2_048

    def place(self, module: nn.Module) -> nn.Module:
        """Move ``module`` to the device; on several GPUs behind ``DataParallel``."""
        module = module.to(self.device)
        return nn.DataParallel(module) if self.num_gpus > 1 else module


def pick_machine(name: Device) -> Machine:
    """Return the device that ``name`` means here.

    Raises:
        MpqError: E-DEVICE when it is not there.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "cuda" and not cuda:
        raise MpqError(
            "E-DEVICE",
            f"--device cuda, but PyTorch sees no GPU (torch {torch.__version__}).",
            "Use --device cpu, or install a CUDA build of PyTorch.",
        )
    if name == "mps" and not mps:
        raise MpqError("E-DEVICE", "--device mps, but PyTorch sees no Apple GPU.", "Use --device cpu.")
    if cuda and name in ("auto", "cuda"):
        return Machine(device=torch.device("cuda"), num_gpus=torch.cuda.device_count())
    if mps and name in ("auto", "mps"):
        return Machine(device=torch.device("mps"), num_gpus=1)
    return Machine(device=torch.device("cpu"), num_gpus=0)
