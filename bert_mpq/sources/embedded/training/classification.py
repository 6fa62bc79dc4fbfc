"""Fine-tuning on the labels, with R-Drop (Liang et al. 2021) and hidden tokens."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from bert_mpq.compute.batches import Batch
from bert_mpq.sources.embedded.training.masking import hide_tokens
from bert_mpq.sources.embedded.training.recipe import Recipe


class RegularizedClassifier(nn.Module):
    """A classifier whose loss also asks two views of a review to agree.

    The views differ in the tokens hidden, in dropout, and in length where the recipe asks for it.

    Args:
        model: a classifier with two labels.
        labels: (n,) 0 or 1.
        mask_id: token id of [MASK].
        recipe: the numbers.
    """

    targets: Tensor

    def __init__(self, model: Any, labels: npt.NDArray[np.int64], mask_id: int, recipe: Recipe) -> None:
        super().__init__()
        self.model = model
        self.mask_id = mask_id
        self.recipe = recipe
        one_hot = nn.functional.one_hot(torch.from_numpy(labels), 2).float()
        smoothing = recipe.label_smoothing
        self.register_buffer("targets", one_hot * (1 - smoothing) + smoothing / 2)

    def forward(self, batch: Batch) -> Tensor:
        """Return the mean loss of a batch, in nats."""
        ids, mask = batch.input_ids, batch.attention_mask
        targets = self.targets[torch.from_numpy(batch.indices).to(ids.device)]
        if not self.recipe.agreement:
            return nn.functional.cross_entropy(self._view(ids, mask), targets)
        short = self.recipe.short_view
        if short and ids.shape[1] > short:
            logits = torch.cat([self._view(*shortened(ids, mask, short)), self._view(ids, mask)])
        else:
            logits = self._view(ids.repeat(2, 1), mask.repeat(2, 1))
        loss = nn.functional.cross_entropy(logits, targets.repeat(2, 1))
        return loss + self.recipe.agreement * disagreement(logits)

    def _view(self, ids: Tensor, mask: Tensor) -> Tensor:
        if self.recipe.hidden_share:
            ids = hide_tokens(ids, mask, self.mask_id, self.recipe.hidden_share)
        logits: Tensor = self.model(input_ids=ids, attention_mask=mask).logits
        return logits.float()


def shortened(ids: Tensor, mask: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Return the first ``length`` tokens of each row, the last special token kept at the end."""
    longer = mask[:, length] > 0
    last = ids.gather(1, mask.sum(1, keepdim=True) - 1)[:, 0]
    ids, mask = ids[:, :length].clone(), mask[:, :length]
    ids[:, -1] = torch.where(longer, last, ids[:, -1])
    return ids, mask


def disagreement(logits: Tensor) -> Tensor:
    """Return the mean symmetric KL divergence, in nats, of the two halves of (2 B, labels) logits."""
    first, second = torch.log_softmax(logits, -1).chunk(2)
    return ((first.exp() - second.exp()) * (first - second)).sum(-1).mean() / 2
