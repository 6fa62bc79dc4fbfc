"""A classifier as an ONNX file: exported by torch, with dynamic batch and length."""

import contextlib
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bert_mpq.compute.evaluate import Logits
from bert_mpq.settings.errors import MpqError

KEY = "bert_mpq"  # of the file's metadata: JSON


def write_onnx(path: Path, model: nn.Module, facts: Mapping[str, Any]) -> None:
    """Write a classifier whose inputs are ``input_ids`` and ``attention_mask``, whose output is ``logits``.

    Beyond 2 GB the weights are in a second file, ``model.onnx.data``.

    Args:
        facts: JSON values for its metadata.

    Raises:
        MpqError: E-EXPORT when torch cannot export this type of model.
    """
    ids = torch.arange(5, 29).reshape(2, 12)
    mask = torch.ones_like(ids)
    mask[1, 9:] = 0
    dynamic = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    try:
        with _quietly():
            program: Any = torch.onnx.export(
                Logits(model).eval(),
                (ids, mask),
                input_names=["input_ids", "attention_mask"],
                output_names=["logits"],
                dynamic_shapes=(dynamic, dynamic),
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # every kind of model fails in its own way
        kind = getattr(model.config, "model_type", "")
        raise MpqError(
            "E-EXPORT", f"torch cannot export this model (type {kind}) to ONNX.", "Use --format mpq."
        ) from error
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # stack traces, with the folders of this machine
    program.model.metadata_props[KEY] = json.dumps(dict(facts))
    program.save(path)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep what torch says while it exports off the screen."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
