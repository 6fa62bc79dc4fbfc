"""Windows of reviews: what one training epoch sees."""

import dataclasses

import numpy as np

from bert_mpq.compute.batches import TokenizedReviews


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
