"""Reviews to run through a model, where, and how many at once: what every pass over reviews is given."""

import dataclasses
from dataclasses import dataclass

from bert_mpq.compute.batches import TokenizedReviews
from bert_mpq.compute.devices import Machine


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Tokenized reviews and the device they run on.

    Args:
        asked: tokens per forward pass, padding included, that were asked for; None = as many as suit the
            machine.
    """

    tokens: TokenizedReviews
    machine: Machine
    asked: int | None = None

    @property
    def batch_tokens(self) -> int:
        """Tokens per forward pass, padding included."""
        return self.asked or self.machine.batch_tokens

    def stacked_tokens(self, streams: int) -> int:
        """Tokens per forward pass of ``streams`` copies of a batch, all of them counted."""
        return self.asked or self.machine.stacked_tokens(streams)

    @property
    def gradient_tokens(self) -> int:
        """Tokens per forward pass, padding included, where activations are kept for a backward pass."""
        return self.asked or self.machine.gradient_tokens

    def on_one_device(self) -> "Workload":
        """Return the same work on the first of several GPUs."""
        machine = dataclasses.replace(self.machine, num_gpus=min(1, self.machine.num_gpus))
        return dataclasses.replace(self, machine=machine)
