"""How the weights of a model are quantized, but for the bits of each one."""

from dataclasses import dataclass

from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.embeddings import EmbeddingPrecision
from bert_mpq.settings.quantizers import QuantizerName


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """What a quantized copy is made by; fields as in ``RunConfig``.

    Args:
        quantizer: the algorithm below 16 bits; without calibration reviews GPTQ and learned rounding become
            ``rtn-mse``.
        group_size: inputs per scale; None = the whole channel.
        embeddings: precision of all embedding tables.
        seed: decides the order of the reviews in learned rounding.
    """

    quantizer: QuantizerName
    group_size: int | None
    embeddings: EmbeddingPrecision = "fp32"
    seed: int = 42

    @classmethod
    def of(cls, config: RunConfig, embeddings: EmbeddingPrecision | None = None) -> "Scheme":
        """Return the scheme that ``config`` names; ``embeddings`` is what a budget chose."""
        return cls(
            quantizer=config.quantizer,
            group_size=config.group_size,
            embeddings=embeddings or config.embedding_precision,
            seed=config.seed,
        )
