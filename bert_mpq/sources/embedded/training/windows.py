"""Windows of reviews: what one training epoch sees."""

import dataclasses

import numpy as np
import numpy.typing as npt

from bert_mpq.compute.batches import TokenizedReviews

CHUNK_BATCHES = 32


def cut_windows(
    tokens: TokenizedReviews, length: int, head_share: float, rng: np.random.Generator
) -> TokenizedReviews:
    """Return one window of every review, from its head or from anywhere in it.

    A review longer than ``length`` gives its first tokens with probability ``head_share``, as truncation
    does, else a run of tokens that begins anywhere: augmentation for long reviews.

    Args:
        tokens: whole reviews, each with its first and last special token.
        length: tokens of a window at most, the two special tokens included.
        head_share: probability of the head, 0 to 1.
        rng: source of the draws.
    """
    inner = np.minimum(tokens.lengths, length) - 2
    slack = tokens.lengths - 2 - inner
    starts = (rng.random(len(tokens)) * (slack + 1)).astype(np.int64)
    starts[rng.random(len(tokens)) < head_share] = 0
    offsets = np.concatenate([[0], np.cumsum(inner + 2)])
    # Token j of a window is token start + j of its review; the ends are then set to the special tokens.
    ids = tokens.ids[
        np.repeat(tokens.offsets[:-1] + starts - offsets[:-1], inner + 2) + np.arange(offsets[-1])
    ]
    ids[offsets[:-1]] = tokens.ids[tokens.offsets[:-1]]
    ids[offsets[1:] - 1] = tokens.ids[tokens.offsets[1:] - 1]
    return dataclasses.replace(tokens, ids=ids, offsets=offsets)


def shuffled_batches(
    lengths: npt.NDArray[np.int64], size: int, rng: np.random.Generator
) -> list[npt.NDArray[np.int64]]:
    """Return the indices of each batch: random, yet of similar length within a batch.

    Sorted by length within random chunks of 32 batches: little padding, and no order that training could
    follow.
    """
    order = rng.permutation(len(lengths))
    batches: list[npt.NDArray[np.int64]] = []
    for chunk in np.split(order, range(CHUNK_BATCHES * size, len(order), CHUNK_BATCHES * size)):
        by_length = chunk[np.argsort(-lengths[chunk], kind="stable")]
        batches += np.split(by_length, range(size, len(by_length), size))
    return [batches[i] for i in rng.permutation(len(batches))]
