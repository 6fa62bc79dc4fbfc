"""The card of the embedded classifier: what it is, how it was trained, and how good it is."""

import os
import platform
from dataclasses import dataclass

import torch

from bert_mpq.compute.devices import Machine
from bert_mpq.records.evaluation import Accuracy
from bert_mpq.sources.embedded.bases import EmbeddedModel
from bert_mpq.sources.embedded.training.recipe import Recipe, StageRecipe


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a training leaves to be said.

    Args:
        embedded: the classifier whose adapter was trained.
        recipe: the numbers it used.
        reviews: calibration reviews it saw.
        seconds: of its forward and backward passes and steps.
        machine: where it ran.
        accuracy: on all held-out reviews, by max length.
    """

    embedded: EmbeddedModel
    recipe: Recipe
    reviews: int
    seconds: float
    machine: Machine
    accuracy: dict[int, Accuracy]


def card(facts: Facts) -> str:
    """Return the card as Markdown."""
    return "\n".join(
        [_identity(facts), _training(facts), _accuracy(facts.accuracy), _licence(facts.embedded)]
    )


def _identity(facts: Facts) -> str:
    embedded, recipe = facts.embedded, facts.recipe
    return f"""# Adapter of `--model {embedded.name}`

IMDB sentiment, labels 0 negative and 1 positive.

- Base: `{embedded.repository}`, revision `{embedded.revision}`,
  opened as `{embedded.architecture}`.
- Adapter: PEFT LoRA, rank {recipe.rank}, alpha {recipe.alpha}, on the encoder's {_listed(recipe.adapted)};
  {_listed(recipe.trained_whole)} stored whole; float16. Everything else is the base's.
- Merged at load: `W + {recipe.alpha / recipe.rank:g} B A`.
"""


def _training(facts: Facts) -> str:
    recipe, tuning = facts.recipe, facts.recipe.finetuning
    return f"""## Training

Command: `python -m bert_mpq.sources.embedded.training --base {facts.embedded.short}`
(extra `train`), seed {recipe.seed}.
It took {facts.seconds:.0f} s on {hardware(facts.machine)}, torch {torch.__version__}.

Data rule: exact duplicates are dropped; a review is held out when the lowest bit of the first byte of
the SHA-256 of its UTF-8 text is 1, else it is a calibration review. Training and the choice of the
recipe saw the {facts.reviews:,} calibration reviews only; the held-out reviews were classified once, by
the finished adapter.

{_pretraining(recipe)}1. Classification: label smoothing {recipe.label_smoothing:g}, R-Drop with weight
   {recipe.agreement:g}, {recipe.hidden_share:.0%} of the tokens hidden at random{_views(recipe)}.
   {_stage(tuning)}

AdamW with weight decay {tuning.weight_decay:g}, linear warm-up over {tuning.warmup:.0%} of the steps,
then linear decay to zero; gradients clipped to norm {tuning.clip:g}; bfloat16 forward passes. Every epoch
takes one window of every review.
"""


def _pretraining(recipe: Recipe) -> str:
    if recipe.pretraining is None:
        return ""
    return f"""1. Masked-language modelling of the calibration texts without their labels:
   {recipe.predicted_share:.0%} of the tokens are predicted, the output embeddings are the frozen input
   embeddings, LoRA is trained.
   {_stage(recipe.pretraining)}
"""


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


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


def _licence(embedded: EmbeddedModel) -> str:
    return f"""## Licence

The base model is by the sentence-transformers team, Apache-2.0, made from {embedded.lineage}.
The adapter is part of this package and under its MIT licence; merged with the base, the terms of both hold.
The reviews are those of the Large Movie Review Dataset (Maas
et al. 2011).
"""
