"""Masked-language modelling (Devlin et al. 2019, sec. 3.1): the encoder learns the domain without labels."""

from typing import Any

import torch
from torch import Tensor, nn

from bert_mpq.compute.batches import Batch


class MaskedLanguageModel(nn.Module):
    """BERT's encoder with a prediction head; the output embeddings are the frozen input embeddings.

    Args:
        encoder: a BertModel.
        mask_id: token id of [MASK].
        share: share of the tokens to predict.
    """

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
