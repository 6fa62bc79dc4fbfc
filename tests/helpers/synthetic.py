"""Tokenized samples made up from lengths alone."""

import numpy as np

from bert_mpq.compute.batches import TokenizedReviews

PAD = 0


def sample_of(lengths) -> TokenizedReviews:
    """Return one review per length; every token id in the sample is different, and none is the padding."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return TokenizedReviews(
        ids=np.arange(1, offsets[-1] + 1, dtype=np.int32),
        offsets=offsets,
        labels=np.arange(len(lengths)) % 2,
        pad_id=PAD,
        fingerprint="0" * 64,
    )
