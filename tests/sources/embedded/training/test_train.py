"""The whole training on a few reviews, its interruption, and the command."""

import dataclasses
import importlib.util
import json

import numpy as np
import pytest
import torch

from bert_mpq.compute.batches import tokenize
from bert_mpq.compute.devices import pick_machine
from bert_mpq.compute.evaluate import figures
from bert_mpq.compute.reporting import Silent
from bert_mpq.sources.embedded.bases import SMALL
from bert_mpq.sources.embedded.loading import load_base, load_embedded
from bert_mpq.sources.embedded.training import train as command
from bert_mpq.sources.embedded.training.card import card_text
from bert_mpq.sources.embedded.training.fitting import fit
from bert_mpq.sources.embedded.training.recipe import ClassifierRecipe, StageRecipe

STAGE = StageRecipe(epochs=2, batch=4, learning_rate=1e-2, window=16)
RECIPE = ClassifierRecipe(rank=2, alpha=4, pretraining=STAGE, finetuning=STAGE)


class Interrupted(Exception):
    pass


class StopsInEpoch(Silent):
    """Breaks the training off in the middle of one of its epochs."""

    def __init__(self, epoch: int) -> None:
        self.left = epoch

    def track(self, items, title, total, weight=len):
        self.left -= 1
        for count, item in enumerate(items):
            if not self.left and count:
                raise Interrupted
            yield item


@pytest.fixture(scope="module")
def machine():
    return pick_machine("cpu")


@pytest.fixture(scope="module")
def tokens(imdb, classifier):
    return tokenize(imdb["calibration"].take(list(range(12))), classifier.tokenizer, 40, Silent())


@pytest.fixture(scope="module")
def trained(tokens, machine, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapter")
    command.train(SMALL, RECIPE, tokens, machine, folder, tmp_path_factory.mktemp("work"), Silent())
    return folder


def test_the_adapter_is_what_the_package_loads(trained):
    assert sorted(path.name for path in trained.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    settings = json.loads((trained / "adapter_config.json").read_text())
    assert (settings["r"], settings["lora_alpha"], settings["revision"]) == (2, 4, SMALL.revision)
    model, _ = load_embedded(SMALL, trained)
    base, _ = load_base(SMALL)
    mine, theirs = model.state_dict(), base.state_dict()
    changed = {name for name in mine if not mine[name].equal(theirs[name])}
    linears = {
        f"bert.{name}.weight" for name, part in base.bert.named_modules() if hasattr(part, "in_features")
    }
    head = {"bert.pooler.dense.bias", "classifier.weight", "classifier.bias"}
    assert changed <= linears | head
    assert changed >= (linears | head) - {"classifier.bias"}


def test_an_interrupted_training_ends_as_if_it_had_not_been(trained, tokens, machine, tmp_path):
    work, folder = tmp_path / "work", tmp_path / "adapter"
    work.mkdir()
    for epoch in (2, 3):  # the second of the first stage, then the second of the second one
        with pytest.raises(Interrupted):
            command.train(SMALL, RECIPE, tokens, machine, folder, work, StopsInEpoch(epoch))
    assert not folder.exists()
    command.train(SMALL, RECIPE, tokens, machine, folder, work, Silent())
    name = "adapter_model.safetensors"
    assert (folder / name).read_bytes() == (trained / name).read_bytes()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_fitting_lowers_the_loss_and_sets_the_dropout(tokens, precision, tmp_path):
    from torch import nn

    class Regression(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.tensor(3.0))
            self.dropout = nn.Dropout(0.5)

        def forward(self, batch):
            return (self.weight - batch.attention_mask[:, 0].float().mean()) ** 2

    module = Regression()
    stage = dataclasses.replace(STAGE, epochs=30, learning_rate=0.1, weight_decay=0.0, dropout=0.2)
    machine = pick_machine("cpu", precision)
    seconds = fit(module, tokens, stage, machine, 0, tmp_path / "state.pt", Silent(), "Fit")
    assert abs(module.weight.item() - 1.0) < 0.2
    assert module.dropout.p == 0.2
    assert seconds > 0


def test_the_card_says_what_was_done(machine):
    labels = np.array([0, 1, 1, 0])
    logits = np.array([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0], [2.0, 0.0]])
    accuracy = figures(logits, logits.argmax(1), labels, 1.0)
    text = card_text(SMALL, RECIPE, 12_450, 61.7, machine, {256: accuracy})
    assert "rank 2, alpha 4" in text
    assert "`W + 2 B A`" in text
    assert "It took 62 s" in text
    assert "12,450 calibration reviews only" in text
    assert "| 256 | 75.00% |" in text
    assert "Apache-2.0" in text


def test_without_peft_the_command_names_the_extra(monkeypatch, capsys, tmp_path):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "peft" else found(name))
    assert command.main(["--output", str(tmp_path / "out"), "--work", str(tmp_path / "work")]) == 1
    assert "E-EXTRA" in (message := capsys.readouterr().err)
    assert "bert-mpq[train]" in message
    assert not list(tmp_path.iterdir())
