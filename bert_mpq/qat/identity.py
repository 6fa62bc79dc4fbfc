"""What a training's result depends on."""

from torch import nn

from bert_mpq.checkpoints import weights_digest
from bert_mpq.config import RunConfig
from bert_mpq.qat.checkpoint import Identity
from bert_mpq.qat.recipe import Recipe


def identity_of(
    config: RunConfig,
    model: nn.Module,
    model_name: str,
    bits: tuple[int, ...],
    reviews: str,
    max_length: int,
    batch_tokens: int,
    recipe: Recipe,
) -> Identity:
    """Return the identity that a checkpoint is compared by.

    Args:
        config: names the quantizer and the precision.
        model: the FP32 classifier.
        model_name: its name in the artifacts.
        bits: of each encoder layer, or of each Linear.
        reviews: fingerprint of the training sample.
        max_length: tokens per review.
        batch_tokens: tokens per forward pass, padding included.
        recipe: how to train.
    """
    return Identity(
        model=model_name,
        weights=weights_digest(model),
        reviews=reviews,
        max_length=max_length,
        bits=bits,
        quantizer=(
            f"{config.quantizer}, group size {config.group_size or 'channel'}, {config.gptq_reviews} GPTQ"
            f" reviews, embeddings {config.embeddings}"
        ),
        precision=config.precision,
        batch_tokens=batch_tokens,
        recipe=str(recipe),
    )
