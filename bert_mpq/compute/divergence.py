"""KL of logits: how far a model's predictions are from another's."""

from torch import Tensor
from torch.nn.functional import kl_div


def kl_of_logits(reference: Tensor, given: Tensor) -> Tensor:
    """Return KL(reference || given) in nats over the last dimension of two (..., labels) logits.

    The other dimensions broadcast. In float64, which MPS has not: from there the logits go to the host.
    """
    log_p, log_q = (
        (side.cpu() if side.device.type == "mps" else side).double().log_softmax(-1)
        for side in (reference, given)
    )
    return kl_div(log_q, log_p, reduction="none", log_target=True).sum(-1)
