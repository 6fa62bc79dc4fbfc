"""KL of logits."""

import torch
from torch import Tensor


def kl_of_logits(wanted: Tensor, given: Tensor) -> Tensor:
    """Return KL(wanted || given) in nats per review, (B,), of (B, labels) logits."""
    target, answer = wanted.float().log_softmax(-1), given.float().log_softmax(-1)
    return (target.exp() * (target - answer)).sum(-1)


def logits_divergence(logits: Tensor) -> Tensor:
    """Return (B, K) KL(p_0 || p_k) in nats from logits (B, 1 + K, labels), in float64 where there is one."""
    wide = logits.cpu() if logits.device.type == "mps" else logits
    log_p = torch.log_softmax(wide.double(), -1)
    reference = log_p[:, :1]
    return (reference.exp() * (reference - log_p[:, 1:])).sum(-1)
