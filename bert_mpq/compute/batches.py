"""Tokenize once, then batches of similar length under a token budget."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bert_mpq.compute import distributed
from bert_mpq.compute.devices import Machine
from bert_mpq.compute.reporting import Reporter
from bert_mpq.compute.reviews import Reviews
from bert_mpq.compute.token_store import TokenStore

CHUNK = 512
Indices = npt.NDArray[np.int64]  # of reviews in a sample
HASHED = 1 << 22  # token ids hashed at a time
BUCKET = 32  # shuffled batches whose reviews are sorted by length together


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Reviews of similar length, padded to the longest of them.

    Args:
        indices: (B,) positions in the sample.
        input_ids: (B, T) token ids.
        attention_mask: (B, T) 1 for tokens, 0 for padding.
    """

    indices: Indices
    input_ids: torch.Tensor
    attention_mask: torch.Tensor

    @property
    def lengths(self) -> list[int]:
        """Tokens of each review."""
        lengths: list[int] = self.attention_mask.sum(1).tolist()
        return lengths

    @property
    def tokens(self) -> int:
        """Tokens the model works through, padding included."""
        return self.input_ids.numel()

    def inputs(self, machine: Machine) -> dict[str, torch.Tensor]:
        """Return the arguments of a classifier, on the machine's device."""
        return {
            "input_ids": machine.move(self.input_ids),
            "attention_mask": machine.move(self.attention_mask),
        }


@dataclass(frozen=True, kw_only=True)
class TokenizedReviews:
    """Token ids of a sample, kept flat: 4 bytes a token.

    Args:
        ids: (total tokens,) all reviews one after another; where they are many, a memory-mapped file.
        offsets: (n + 1,) where each begins.
        labels: (n,) 0 or 1.
        fingerprint: SHA-256 of texts and labels of the sample that they are, or are a part of.
        padded: whether reviews of different lengths may share a batch.
    """

    ids: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    pad_id: int
    fingerprint: str
    padded: bool = True

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """(n,) tokens per review."""
        return np.diff(self.offsets)

    @property
    def digest(self) -> str:
        """SHA-256 of the token ids, review by review."""
        digest = hashlib.sha256(self.offsets.tobytes())
        for start in range(0, len(self.ids), HASHED):
            digest.update(self.ids[start : start + HASHED].tobytes())
        return digest.hexdigest()

    def head(self, count: int) -> "TokenizedReviews":
        """Return the first ``count`` reviews."""
        return replace(self, offsets=self.offsets[: count + 1], labels=self.labels[:count])

    def plan(self, budget: int, indices: Indices | None = None) -> list[Indices]:
        """Return the indices of each batch: longest first, padded size at most ``budget`` tokens.

        Longest first, so that a budget too large for the memory shows at once. One review always fits. Where
        padding is not allowed all reviews of a batch are equally long.

        Args:
            budget: tokens per batch, padding included.
            indices: the reviews to plan for; default all.
        """
        chosen = np.arange(len(self)) if indices is None else indices
        order = chosen[np.argsort(-self.lengths[chosen], kind="stable")]
        batches, start = [], 0
        while start < len(order):
            longest = int(self.lengths[order[start]])
            batch = order[start : start + max(1, budget // longest)]
            if not self.padded:
                batch = batch[self.lengths[batch] == longest]
            batches.append(batch)
            start += len(batch)
        return batches

    def take(self, indices: Indices) -> "TokenizedReviews":
        """Return the reviews at ``indices``, in that order."""
        rows = [self.ids[self.offsets[index] : self.offsets[index + 1]] for index in indices]
        return replace(
            self,
            ids=np.concatenate(rows),
            offsets=np.concatenate([[0], np.cumsum(self.lengths[indices])]).astype(np.int64),
            labels=self.labels[indices],
        )

    def batch(self, indices: Indices) -> Batch:
        """Return the reviews at ``indices`` as padded tensors."""
        lengths = self.lengths[indices]
        ids = np.full((len(indices), int(lengths.max())), self.pad_id, dtype=np.int64)
        mask = np.arange(ids.shape[1]) < lengths[:, None]
        ids[mask] = np.concatenate([self.ids[self.offsets[i] : self.offsets[i + 1]] for i in indices])
        return Batch(
            indices=indices,
            input_ids=torch.from_numpy(ids),
            attention_mask=torch.from_numpy(mask.astype(np.int64)),
        )


def tokenize(
    reviews: Reviews,
    tokenizer: Any,
    max_length: int,
    reporter: Reporter,
    title: str = "Tokenize",
    padded: bool = True,
) -> TokenizedReviews:
    """Tokenize every review once, cut to ``max_length`` tokens; several processes share the work.

    Args:
        padded: whether the model gives a review the same logits when it is padded.

    Raises:
        MpqError: E-DISTRIBUTED, also when the processes have different reviews.
    """
    fingerprint = reviews.fingerprint
    distributed.agree("reviews", fingerprint)

    size = CHUNK * distributed.size()  # a chunk for each process, in the order of the reviews
    rounds = (reviews.texts[start : start + size] for start in range(0, len(reviews), size))
    store = TokenStore()
    for texts in reporter.track(rounds, title, len(reviews), len):
        first = CHUNK * distributed.rank()
        for rows in distributed.gather(_encoded(texts[first : first + CHUNK], tokenizer, max_length)):
            store.add(rows)
    return TokenizedReviews(
        ids=store.ids(),
        offsets=store.offsets(),
        labels=np.asarray(reviews.labels, dtype=np.int64),
        pad_id=int(tokenizer.pad_token_id or 0),
        fingerprint=fingerprint,
        padded=padded,
    )


def _encoded(texts: Sequence[str], tokenizer: Any, max_length: int) -> list[npt.NDArray[np.int32]]:
    if not texts:
        return []
    answer = tokenizer(
        list(texts), truncation=True, max_length=max_length, padding=False, return_token_type_ids=False
    )
    return [np.asarray(row, dtype=np.int32) for row in answer["input_ids"]]


def shuffled_batches(lengths: Indices, size: int, rng: np.random.Generator) -> list[Indices]:
    """Return the indices of each batch of a training: random, yet of similar length within a batch.

    Sorted by length within random buckets of 32 batches: little padding, and no order that training could
    follow.

    Args:
        lengths: (n,) tokens per review.
    """
    order = rng.permutation(len(lengths))
    batches: list[Indices] = []
    for bucket in np.split(order, range(BUCKET * size, len(order), BUCKET * size)):
        by_length = bucket[np.argsort(-lengths[bucket], kind="stable")]
        batches += np.split(by_length, range(size, len(by_length), size))
    return [batches[index] for index in rng.permutation(len(batches))]
