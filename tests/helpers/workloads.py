"""Reviews to be run on a device of the test."""

from bert_mpq.compute.batches import TokenizedReviews
from bert_mpq.compute.devices import Machine, pick_machine
from bert_mpq.compute.workload import Workload


def on(machine: Machine, tokens: TokenizedReviews, batch_tokens: int | None = None) -> Workload:
    """Return the work of running ``tokens`` on a machine, so many of them at once."""
    return Workload(tokens=tokens, machine=machine, asked=batch_tokens)


def on_cpu(tokens: TokenizedReviews, batch_tokens: int | None = None) -> Workload:
    """Return the work of running ``tokens`` on the CPU."""
    return on(pick_machine("cpu"), tokens, batch_tokens)
