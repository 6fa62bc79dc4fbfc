"""compressed-tensors' own loader, on every family of encoders, must give back what was written."""

import copy
import re

import pytest
import torch
from torch import nn
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    DistilBertConfig,
    ElectraConfig,
    MPNetConfig,
    RobertaConfig,
)

from bert_mpq.compute.fingerprint import weights_fingerprint
from bert_mpq.export.formats.compressed_tensors import (
    CompressedTensors,
    quantization_config,
    targets,
)
from tests.helpers.export_cases import packed_pair

SHAPE = {"hidden_size": 64, "num_hidden_layers": 12, "num_attention_heads": 2, "intermediate_size": 128}
DISTIL = {"dim": 64, "n_layers": 12, "n_heads": 2, "hidden_dim": 128}
WIDTHS = (8, 4, 2, 16, 32, 8, 4, 2, 4, 8, 4, 2)  # layers 1, 10 and 11 differ: an unanchored layer.1 would not
CONFIGS = {
    "bert": lambda: BertConfig(**SHAPE, vocab_size=100),
    "roberta": lambda: RobertaConfig(**SHAPE, vocab_size=100),
    "distilbert": lambda: DistilBertConfig(**DISTIL, vocab_size=100),
    "electra": lambda: ElectraConfig(**SHAPE, vocab_size=100, embedding_size=32),
    "mpnet": lambda: MPNetConfig(**SHAPE, vocab_size=100),
}


class NoTokenizer:
    def save_pretrained(self, folder):
        pass


@pytest.mark.parametrize("family", CONFIGS)
def test_plain_transformers_gives_back_every_weight_of_every_family(tmp_path, family):
    torch.manual_seed(1)
    original = AutoModelForSequenceClassification.from_config(CONFIGS[family]()).eval()
    model, packed = packed_pair(original, WIDTHS, "rtn-mse", 32 if family == "bert" else 64)
    assert {2, 4} <= {weight.bits for weight in packed.weights.values() if (weight.scale < 0).any()}
    CompressedTensors().write(tmp_path, packed, model, NoTokenizer(), {})
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    ids = torch.randint(5, 100, (2, 9), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(loaded(input_ids=ids).logits, model(input_ids=ids).logits)
    state = loaded.state_dict()
    expected = weights_fingerprint(model.state_dict())
    assert weights_fingerprint({name: state[name] for name in model.state_dict()}) == expected


def test_targets_match_exactly_the_names_they_were_made_from(tiny_model):
    base = copy.deepcopy(tiny_model.config)
    base.num_hidden_layers = 12
    every = [
        name
        for name, module in AutoModelForSequenceClassification.from_config(base).named_modules()
        if isinstance(module, nn.Linear)
    ]
    chosen = [name for name in every if ".layer.1." in name or name == "bert.encoder.layer.4.output.dense"]
    patterns = [target.removeprefix("re:") for target in targets([*chosen, "classifier"])]
    matched = {name for name in every if any(re.match(pattern, name) for pattern in patterns)}
    assert matched == {*chosen, "classifier"}
    assert not any(re.match(pattern, "bert.encoder.layer.1.attention.self") for pattern in patterns)


def test_every_width_has_its_group_and_the_rest_is_ignored(tiny_model):
    model, packed = packed_pair(tiny_model, (8, 4))
    linears = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    written = quantization_config(packed, linears)
    widths = [group["weights"]["num_bits"] for group in written["config_groups"].values()]
    assert widths == [4, 8]
    assert written["ignore"] == ["bert.pooler.dense", "classifier"]
    assert {group["weights"]["strategy"] for group in written["config_groups"].values()} == {"channel"}
    assert {group["weights"]["group_size"] for group in written["config_groups"].values()} == {None}
