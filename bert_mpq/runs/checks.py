"""What a run is refused for before it starts."""

from bert_mpq.compute import distributed
from bert_mpq.records.evaluation import Sensitivities
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import ModelError, MpqError, UsageError
from bert_mpq.settings.quantizers import is_symmetric
from bert_mpq.sources.classifiers import ModelSource


def check_length(config: RunConfig, model: ModelSource) -> None:
    """Refuse reviews that are longer than the model reads; raises MpqError E-MODEL."""
    if config.max_length is not None and config.max_length > model.positions:
        raise ModelError(
            f"--max-length {config.max_length:,}, but the model reads {model.positions:,} tokens at most.",
            f"Use {model.positions:,} or fewer.",
        )


def check_layers(sensitivities: Sensitivities, model: ModelSource) -> None:
    """Refuse scores of another model; raises MpqError E-LAYERS."""
    hint = "Pick another file, or run Phase 1 for this model."
    if len(sensitivities.values) != model.layers:
        raise MpqError(
            "E-LAYERS",
            f"The file has {len(sensitivities.values)} layers, the model has {model.layers}.",
            hint,
        )


def check_granularity(config: RunConfig) -> None:
    """Refuse widths of single Linears where layers are grouped; raises UsageError E-CONFIG."""
    if config.granularity == "linear" and config.clustering != "budget":
        raise UsageError(
            "E-CONFIG",
            "--granularity linear needs --clustering budget: groups are groups of layers.",
            "Give --clustering budget and a --target.",
        )


def check_groups(groups: int, layers: int) -> None:
    """Refuse more groups than layers; raises MpqError E-GROUPS."""
    if groups > layers:
        raise MpqError(
            "E-GROUPS", f"{groups} groups, but the model has only {layers} layers.", "Give fewer bits."
        )


def check_trainable(config: RunConfig, model: ModelSource) -> None:
    """Refuse a training that cannot be; raises MpqError E-CONFIG, E-MODEL, E-DISTRIBUTED."""
    if config.clustering != "budget":
        check_some_below_16(config.bits)
    if not is_symmetric(config.quantizer):
        raise MpqError(
            "E-CONFIG",
            f"--qat-epochs trains symmetric grids only, and {config.quantizer} has none.",
            "Use another --quantizer.",
        )
    if not model.family.padded:
        raise ModelError(
            "--qat-epochs trains on padded batches, and padding changes what this type of model says.",
            "Leave --qat-epochs out.",
        )
    if distributed.launched():
        raise MpqError(
            "E-DISTRIBUTED",
            "Quantization-aware training runs in one process.",
            "Start it without torchrun, or leave --qat-epochs out.",
        )


def check_some_below_16(bits: tuple[int, ...]) -> None:
    """Refuse to train where no weight has fewer than 16 bits; raises MpqError E-CONFIG."""
    if min(bits) >= 16:
        raise MpqError(
            "E-CONFIG",
            "--qat-epochs trains weights below 16 bits, and there are none.",
            "Give fewer bits, or leave it out.",
        )
