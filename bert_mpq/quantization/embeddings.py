"""Embedding tables in fewer bits: float16, or signed codes in groups of features with float16 scales."""

import torch
from torch import nn

from bert_mpq.quantization import rtn
from bert_mpq.quantization.weight import QuantizedWeight, finite
from bert_mpq.settings.embeddings import EMBEDDINGS, TABLE_GROUP, EmbeddingPrecision
from bert_mpq.settings.errors import ModelError, MpqError


def tables_of(model: nn.Module) -> dict[str, nn.Embedding]:
    """Return every embedding table by its name in the model."""
    return {name: module for name, module in model.named_modules() if isinstance(module, nn.Embedding)}


@torch.no_grad()
def quantized_tables(model: nn.Module, precision: EmbeddingPrecision) -> dict[str, QuantizedWeight]:
    """Return codes and scales, in host memory, of every table; none where the precision has no codes.

    A table whose features ``TABLE_GROUP`` does not divide has one scale a row.

    Raises:
        MpqError: E-MODEL when a table holds NaN, infinity or values too large for a float16 scale.
    """
    facts, weights = EMBEDDINGS[precision], {}
    for name, table in tables_of(model).items() if facts.coded else ():
        try:
            weights[name] = rtn.quantize(table.weight, facts.bits, TABLE_GROUP).cpu()
        except ValueError as error:
            raise _refusal(name, error) from error
    return weights


@torch.no_grad()
def round_tables(model: nn.Module, precision: EmbeddingPrecision) -> dict[str, QuantizedWeight]:
    """Give every table, in place, the values that its precision stands for; return the codes.

    Raises:
        MpqError: E-MODEL when a table holds values that the precision cannot.
    """
    weights = quantized_tables(model, precision)
    for name, table in tables_of(model).items():
        if name in weights:
            table.weight.copy_(weights[name].dequantize())
        elif precision == "fp16":
            try:
                table.weight.copy_(finite(finite(table.weight).half()))
            except ValueError as error:
                raise _refusal(name, error) from error
    return weights


def _refusal(name: str, error: ValueError) -> MpqError:
    return ModelError(f"The table {name}: {error}.", "Use --embeddings fp32.")
