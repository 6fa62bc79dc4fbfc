"""The card of the embedded classifier: what it is, how it was trained, and how good it is."""

import os
import platform
from collections.abc import Mapping
from pathlib import Path

import torch

from bert_mpq.compute.devices import Machine
from bert_mpq.records.evaluation import Accuracy
from bert_mpq.records.template import render
from bert_mpq.sources.embedded.bases import EmbeddedModel
from bert_mpq.sources.embedded.training.recipe import ClassifierRecipe

TEMPLATE = Path(__file__).with_name("card.md.jinja")


def card_text(
    embedded: EmbeddedModel,
    recipe: ClassifierRecipe,
    reviews: int,
    seconds: float,
    machine: Machine,
    accuracy: Mapping[int, Accuracy],
) -> str:
    """Return the card as Markdown.

    Args:
        reviews: calibration reviews it saw.
        seconds: of its forward and backward passes and steps.
        accuracy: on all held-out reviews, by max length.
    """
    cpu = f"{os.cpu_count()} {platform.machine()} CPU cores"
    cuda = machine.device.type == "cuda"
    return render(
        TEMPLATE,
        embedded=embedded,
        recipe=recipe,
        reviews=reviews,
        seconds=seconds,
        hardware=f"one {torch.cuda.get_device_name(machine.device)}" if cuda else cpu,
        torch_version=torch.__version__,
        accuracy=accuracy,
    )
