"""The device a run uses, and how much it takes at once."""

import contextlib
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from bert_mpq.compute import distributed
from bert_mpq.settings.choices import Device, Precision
from bert_mpq.settings.errors import MpqError

MOST_WORKERS = 8
KEPT = 8  # what a stage keeps on a GPU until it ends may take one part in so many of the free memory
# Not cuDNN's: it builds a plan for every new shape, which costs more than it saves on our batches.
ATTENTION = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where the model runs.

    Args:
        device: torch device of the (first) replica.
        num_gpus: GPUs this process spreads a forward pass over; 0 on a CPU.
    """

    device: torch.device
    num_gpus: int
    precision: Precision = "fp32"

    @property
    def batch_tokens(self) -> int:
        """Tokens per forward pass by default, padding included.

        On a CPU larger batches fall out of the cache; a GPU needs them to be busy.
        """
        return 65_536 * self.num_gpus if self.device.type == "cuda" else 2_048

    def stacked_tokens(self, streams: int) -> int:
        """Tokens per forward pass of ``streams`` copies of a batch by default, all of them counted.

        On a GPU up to twice ``batch_tokens``: some modules run on one stream alone, and to launch them takes
        the host the same time whatever its length. At most half of ``batch_tokens`` a stream, because blocks
        of reviews are batched apart: long batches of few reviews are padded a lot.
        """
        if self.device.type != "cuda":
            return self.batch_tokens
        return min(2 * self.batch_tokens, self.batch_tokens * streams // 2)

    @property
    def gradient_tokens(self) -> int:
        """Tokens per forward pass by default, padding included, where a backward pass follows.

        BERT-base keeps about 0.6 MB a token until then: 10 GB on a GPU.
        """
        return self.batch_tokens // 4 if self.device.type == "cuda" else self.batch_tokens

    @contextlib.contextmanager
    def working(self, concurrent: bool = True) -> Iterator[int]:
        """Set the process up for forward passes; yield how many batches to work on at once.

        FP32 stays FP32 whatever the process has set. On a CPU the cores are shared out among batches: one
        thread a batch is faster than all threads on one, because small matrix products scale badly. A GPU
        takes one batch at a time, and so does a training (``concurrent=False``).
        """
        precision, cores = torch.get_float32_matmul_precision(), torch.get_num_threads()
        workers = min(cores, MOST_WORKERS) if self.device.type == "cpu" and concurrent else 1
        torch.set_float32_matmul_precision("high" if self.precision == "tf32" else "highest")
        torch.set_num_threads(cores // workers)
        try:
            with sdpa_kernel(ATTENTION):
                yield workers
        finally:
            torch.set_float32_matmul_precision(precision)
            torch.set_num_threads(cores)

    @contextlib.contextmanager
    def arithmetic(self, gradients: bool = False) -> Iterator[None]:
        """Run this thread's forward passes in ``precision``; without gradients unless they are asked for."""
        with (
            torch.inference_mode(not gradients),
            torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"),
        ):
            yield

    def move(self, tensor: torch.Tensor) -> torch.Tensor:
        """Copy a batch to the device; to a GPU without waiting for it."""
        if self.device.type != "cuda":
            return tensor.to(self.device)
        return tensor.pin_memory().to(self.device, non_blocking=True)

    def place(self, module: nn.Module) -> nn.Module:
        """Move a module whose weights will not change to the device; on several GPUs behind replicas."""
        module = module.to(self.device)
        return Replicas(module) if self.num_gpus > 1 else module

    def place_for(self, size: int) -> torch.device:
        """Return where to keep ``size`` bytes until a stage ends: the GPU, where they take little of it."""
        roomy = self.device.type == "cuda" and KEPT * size <= torch.cuda.mem_get_info(self.device)[0]
        return self.device if roomy else torch.device("cpu")


class Replicas(nn.DataParallel[nn.Module]):
    """``DataParallel`` that copies the weights to the other GPUs once: none may change between calls."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__(module)
        self._made: list[nn.Module] = []

    def replicate(self, module: Any, device_ids: Any) -> list[Any]:
        """Return a replica for each of the first ``device_ids``; those of the last call where they serve."""
        if len(self._made) < len(device_ids):
            self._made = super().replicate(module, device_ids)
        return self._made[: len(device_ids)]


def pick_machine(name: Device, precision: Precision = "fp32") -> Machine:
    """Return the device that ``name`` means here.

    Raises:
        MpqError: E-DEVICE when it is not there, or has no TF32.
    """
    machine = _pick(name)
    if precision == "tf32" and machine.device.type != "cuda":
        raise MpqError("E-DEVICE", "TF32 is arithmetic of NVIDIA GPUs.", "Use --precision fp32.")
    return dataclasses.replace(machine, precision=precision)


def _pick(name: Device) -> Machine:
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
        return _cuda()
    if mps and name in ("auto", "mps"):
        return Machine(device=torch.device("mps"), num_gpus=1)
    return Machine(device=torch.device("cpu"), num_gpus=0)


def _cuda() -> Machine:
    """Return every GPU; where torchrun has started several processes, the one GPU of this process."""
    count = torch.cuda.device_count()
    if not distributed.launched():
        return Machine(device=torch.device("cuda"), num_gpus=count)
    index = distributed.local_rank()
    if index >= count:
        raise MpqError(
            "E-DEVICE",
            f"Process {index} of this host has no GPU of its own: PyTorch sees {count}.",
            f"Use --nproc-per-node {count}, or --device cpu.",
        )
    torch.cuda.set_device(index)
    return Machine(device=torch.device("cuda", index), num_gpus=1)
