"""What the two stages of the training minimize.

First masked-language modelling (Devlin et al. 2019, sec. 3.1): the encoder learns the domain without labels.
Then the labels, with R-Drop (Liang et al. 2021) and hidden tokens.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from bert_mpq.compute.batches import Batch
from bert_mpq.sources.embedded.training.recipe import ClassifierRecipe


class MaskedLanguageModel(nn.Module):
    """BERT's encoder with a prediction head; the output embeddings are the frozen input embeddings."""

    def __init__(self, encoder: Any, mask_id: int, share: float) -> None:
        super().__init__()
        width = encoder.config.hidden_size
        self.encoder = encoder
        self.transform = nn.Sequential(
            nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width, eps=encoder.config.layer_norm_eps)
        )
        self.bias = nn.Parameter(torch.zeros(encoder.config.vocab_size))
        self.mask_id = mask_id
        self.share = share

    def forward(self, batch: Batch) -> Tensor:
        """Return the mean cross-entropy over the chosen tokens of a batch, in nats."""
        ids, mask = batch.input_ids, batch.attention_mask
        chosen = choose_tokens(mask, self.share)
        targets = ids.flatten()[chosen]
        corrupted = ids.flatten().index_copy(0, chosen, self._replace(targets)).view_as(ids)
        hidden = self.encoder(input_ids=corrupted, attention_mask=mask).last_hidden_state
        table = self.encoder.embeddings.word_embeddings.weight
        logits = nn.functional.linear(self.transform(hidden.flatten(0, 1)[chosen]), table, self.bias)
        return nn.functional.cross_entropy(logits.float(), targets)

    def _replace(self, targets: Tensor) -> Tensor:
        """80 % [MASK], 10 % a random token, 10 % unchanged."""
        draw = torch.rand(targets.shape, device=targets.device)
        random = torch.randint_like(targets, len(self.bias))
        return torch.where(
            draw < 0.8, torch.full_like(targets, self.mask_id), torch.where(draw < 0.9, random, targets)
        )


def inner_tokens(mask: Tensor) -> Tensor:
    """Return (B, T) bool: tokens that are neither the first nor the last of their row, nor padding."""
    inner = torch.zeros_like(mask, dtype=torch.bool)
    inner[:, 1:-1] = mask[:, 2:] > 0
    return inner


def choose_tokens(mask: Tensor, share: float) -> Tensor:
    """Return the flat positions of the tokens to predict: at random, never special ones or padding.

    Their number depends on the shape of the batch alone, so that a GPU need not be asked for it.

    Args:
        mask: (B, T) attention mask.
        share: share of B * T.
    """
    score = torch.rand(mask.shape, device=mask.device) - 2.0 * ~inner_tokens(mask)
    return score.flatten().topk(max(1, int(share * mask.numel()))).indices


def hide_tokens(ids: Tensor, mask: Tensor, mask_id: int, share: float) -> Tensor:
    """Return (B, T) ids with each inner token replaced by [MASK] with probability ``share``."""
    hidden = inner_tokens(mask) & (torch.rand(mask.shape, device=mask.device) < share)
    return ids.masked_fill(hidden, mask_id)


class RegularizedClassifier(nn.Module):
    """A classifier whose loss also asks two views of a review to agree.

    The views differ in the tokens hidden, in dropout, and in length where the recipe asks for it.

    Args:
        labels: (n,) 0 or 1.
    """

    targets: Tensor

    def __init__(
        self, model: Any, labels: npt.NDArray[np.int64], mask_id: int, recipe: ClassifierRecipe
    ) -> None:
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
