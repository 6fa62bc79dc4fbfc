"""``DataParallel`` without GPUs: torch's own replicas of a module, each on a chunk of the batch."""

import importlib
import threading
from unittest import mock

import torch
from torch import nn

from bert_mpq.compute.devices import Machine, Replicas

COUNT = 3
_PATCHING = threading.Lock()  # several batches may run at once, and a patch holds for all threads


def replicas_of(module, replicate=None):
    """Return what ``torch.nn.parallel.replicate`` makes; only its copy to the GPUs is replaced by a clone.

    Args:
        replicate: what calls it; default itself.
    """
    torch_replicate = importlib.import_module("torch.nn.parallel.replicate")

    def clones(tensors, devices, detach=False):
        return [[tensor.detach().clone() for tensor in tensors] for _ in devices]

    with (
        _PATCHING,
        mock.patch.object(torch_replicate, "_broadcast_coalesced_reshape", clones),
        mock.patch.object(torch_replicate, "_get_device_index", lambda device, optional: device),
        torch.no_grad(),
    ):
        if replicate is not None:
            return replicate(module, list(range(COUNT)))
        return torch_replicate.replicate(module, list(range(COUNT)), detach=True)


def at_once(replicas, chunks):
    """Return what every replica gives for its chunk, all at the same time, as ``parallel_apply`` runs them.

    One thread each, without gradients or the caller's inference mode.
    """
    answers, start = [None] * len(chunks), threading.Barrier(len(chunks))

    def work(index):
        with torch.no_grad():
            start.wait()
            answers[index] = replicas[index](*chunks[index])

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(chunks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


class Replicated(nn.Module):
    """What several GPUs do in a forward pass: replicate where that was not done yet, scatter, run, gather."""

    def __init__(self, module):
        super().__init__()
        self.behind = Replicas(module)

    def forward(self, **tensors):
        """Return the answers of all chunks, joined along the batch."""
        chunks = list(zip(*(tensor.chunk(COUNT) for tensor in tensors.values()), strict=True))
        answers = at_once(replicas_of(self.behind.module, self.behind.replicate)[: len(chunks)], chunks)
        if isinstance(answers[0], torch.Tensor):
            return torch.cat(answers)
        return tuple(torch.cat(parts) for parts in zip(*answers, strict=True))


class ReplicaMachine(Machine):
    """A CPU that works like ``COUNT`` GPUs of one process."""

    def __init__(self):
        super().__init__(device=torch.device("cpu"), num_gpus=COUNT)

    def place(self, module):
        """Return the module behind its replicas."""
        return Replicated(module)
