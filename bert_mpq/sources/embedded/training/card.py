"""The card of the embedded classifier: what it is, how it was trained, and how good it is."""

import os
import platform
from dataclasses import dataclass

import torch

from bert_mpq.compute.devices import Machine
from bert_mpq.records.evaluation import Accuracy
from bert_mpq.sources.embedded import loading as embedded
from bert_mpq.sources.embedded.training.recipe import Recipe, StageRecipe


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a training leaves to be said.

    Args:
        recipe: the numbers it used.
        reviews: calibration reviews it saw.
        seconds: of its forward and backward passes and steps.
        machine: where it ran.
        accuracy: on all held-out reviews, by max length.
    """

    recipe: Recipe
    reviews: int
    seconds: float
    machine: Machine
    accuracy: dict[int, Accuracy]


def card(facts: Facts) -> str:
    """Return the card as Markdown."""
    return "\n".join([_identity(facts.recipe), _training(facts), _accuracy(facts.accuracy), LICENCE])


def _identity(recipe: Recipe) -> str:
    return f"""# Adapter of the embedded classifier

IMDB sentiment, labels 0 negative and 1 positive.

- Base: `{embedded.BASE}`, revision `{embedded.REVISION}`,
  opened as `BertForSequenceClassification`.
- Adapter: PEFT LoRA, rank {recipe.rank}, alpha {recipe.alpha}, on the encoder's `query`, `key`, `value` and
  `dense`; pooler and classifier are stored whole; float16. Everything else is the base's.
- Merged at load: `W + {recipe.alpha / recipe.rank:g} B A`.
"""


def _training(facts: Facts) -> str:
    recipe, tuning = facts.recipe, facts.recipe.finetuning
    return f"""## Training

Command: `python -m bert_mpq.sources.embedded.training` (extra `train`), seed {recipe.seed}.
It took {facts.seconds:.0f} s on {hardware(facts.machine)}, torch {torch.__version__}.

Data rule: exact duplicates are dropped; a review is held out when the lowest bit of the first byte of
the SHA-256 of its UTF-8 text is 1, else it is a calibration review. Training and the choice of the
recipe saw the {facts.reviews:,} calibration reviews only; the held-out reviews were classified once, by
the finished adapter.

1. Masked-language modelling of the calibration texts without their labels: {recipe.predicted_share:.0%} of
   the tokens are predicted, the output embeddings are the frozen input embeddings, LoRA is trained.
   {_stage(recipe.pretraining)}
2. Classification: label smoothing {recipe.label_smoothing:g}, R-Drop with weight {recipe.agreement:g},
   {recipe.hidden_share:.0%} of the tokens hidden at random{_views(recipe)}.
   {_stage(tuning)}

Both: AdamW with weight decay {tuning.weight_decay:g}, linear warm-up over {tuning.warmup:.0%} of the steps,
then linear decay to zero; gradients clipped to norm {tuning.clip:g}; bfloat16 forward passes. Every epoch
takes one window of every review.
"""


def _views(recipe: Recipe) -> str:
    return f", the first view cut to {recipe.short_view} tokens" if recipe.short_view else ""


def _stage(stage: StageRecipe) -> str:
    return (
        f"{stage.epochs} epochs of {stage.batch} windows a step, at most {stage.window} tokens long,\n"
        f"   {stage.head_share:.0%} of the long ones from the head of the review, the others from anywhere;\n"
        f"   learning rate {stage.learning_rate:g}; dropout {stage.dropout:g}."
    )


def _accuracy(accuracy: dict[int, Accuracy]) -> str:
    size = next(iter(accuracy.values())).size
    rows = [
        f"| {length} | {figures.accuracy:.2%} | {figures.loss:.4f} |" for length, figures in accuracy.items()
    ]
    return "\n".join(
        [
            "## Accuracy",
            "",
            f"All {size:,} held-out reviews, FP32, cut to the max length.",
            "",
            "| max length | accuracy | cross-entropy |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


def hardware(machine: Machine) -> str:
    """Return the device in words."""
    if machine.device.type == "cuda":
        return f"one {torch.cuda.get_device_name(machine.device)}"
    return f"{os.cpu_count()} {platform.machine()} CPU cores"


LICENCE = """## Licence

The base model is by the sentence-transformers team, Apache-2.0, from `nreimers/MiniLM-L6-H384-uncased`,
itself made with MiniLM (Wang et al. 2020). The adapter is part of this package and under its MIT licence;
merged with the base, the terms of both hold. The reviews are those of the Large Movie Review Dataset (Maas
et al. 2011).
"""
