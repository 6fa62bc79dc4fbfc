"""Every way in which a model folder can be wrong has a sentence of its own, and none of a library's."""

import copy
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForSequenceClassification, BertModel

from bert_mpq.settings.errors import MpqError
from bert_mpq.sources.classifiers import find_classifier, load_classifier

WEIGHTS = "model.safetensors"
EMBEDDINGS = "bert.embeddings.word_embeddings.weight"


def refusal(folder, code="E-MODEL", **options):
    """Return the error of finding and loading the classifier in ``folder``."""
    with pytest.raises(MpqError) as refused:
        load_classifier(find_classifier(str(folder)), **options)
    assert refused.value.code == code
    assert refused.value.hint
    assert refused.value.title.endswith(".")
    return refused.value


def change_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_weights(folder, change):
    state = load_file(folder / WEIGHTS)
    change(state)
    save_file(state, folder / WEIGHTS, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "The config.json of {name} is not valid JSON."),
        (b"", "The config.json of {name} is not valid JSON."),
        (b"{\xff}", "The config.json of {name} cannot be used: it is not UTF-8 text."),
        (b"[]", "The config.json of {name} is no JSON object."),
        (b'"bert"', "The config.json of {name} is no JSON object."),
        (b"{}", "{name} cannot be measured: its config.json names no model_type."),
        (
            b'{"model_type": "bert", "num_hidden_layers": true}',
            "The config.json of {name} is broken: it has no usable num_hidden_layers.",
        ),
        (
            b'{"model_type": "bert", "num_hidden_layers": "12"}',
            "The config.json of {name} is broken: it has no usable num_hidden_layers.",
        ),
        (
            b'{"model_type": "bert", "num_hidden_layers": 2}',
            "The config.json of {name} is broken: it has no usable hidden_size.",
        ),
    ],
)
def test_a_broken_config_is_refused(model_folder, content, reason):
    (model_folder / "config.json").write_bytes(content)
    assert refusal(model_folder).title == reason.format(name=model_folder)


@pytest.mark.parametrize("positions", [None, "512", 0])
def test_a_config_with_odd_positions_is_refused(model_folder, positions):
    change_config(model_folder, max_position_embeddings=positions)
    assert refusal(model_folder).title.endswith("it has no usable max_position_embeddings.")


def test_a_config_that_transformers_does_not_read_is_refused(model_folder):
    change_config(model_folder, hidden_act=["gelu"], num_attention_heads="two")
    title = f"The config.json of {model_folder} is none that transformers reads."
    assert refusal(model_folder).title == title


def test_a_config_of_which_no_model_can_be_made_is_refused(model_folder):
    change_config(model_folder, num_attention_heads=3)
    assert refusal(model_folder).title == (
        f"transformers cannot make a model of the config.json and the weights of {model_folder}."
    )


def test_a_folder_without_a_config_is_refused(tmp_path):
    assert refusal(tmp_path).title == f"{tmp_path} has no config.json."


def test_an_adapter_is_no_model(tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    refused = refusal(tmp_path)
    assert refused.title == f"{tmp_path} holds an adapter (LoRA), not a whole model."
    assert "merge_and_unload" in refused.hint


def test_the_folder_of_a_training_names_its_checkpoint(tmp_path, model_folder):
    shutil.copytree(model_folder, tmp_path / "run" / "checkpoint-500")
    refused = refusal(tmp_path / "run")
    assert refused.title == f"{tmp_path / 'run'} has no config.json, but there is one in checkpoint-500/."
    assert str(tmp_path / "run" / "checkpoint-500") in refused.hint


def test_a_quantized_model_is_refused(model_folder):
    change_config(model_folder, quantization_config={"quant_method": "compressed-tensors"})
    assert refusal(model_folder).title == f"{model_folder} is quantized already."


def test_weights_of_integers_are_refused(model_folder):
    change_weights(model_folder, lambda state: state.update({EMBEDDINGS: state[EMBEDDINGS].to(torch.int8)}))
    assert f"holds weights of the type int8 ({EMBEDDINGS})" in refusal(model_folder).title


@pytest.mark.parametrize(
    ("changes", "outputs"),
    [
        ({"id2label": {"0": "a", "1": "b", "2": "c"}}, "3 outputs, not 2."),
        ({"num_labels": 5}, "5 outputs, not 2."),
        ({"id2label": {"0": "LABEL_0"}}, "1 output, not 2: it gives a score, not a class."),
    ],
)
def test_another_number_of_outputs_is_refused_by_the_config_alone(model_folder, changes, outputs):
    (model_folder / WEIGHTS).unlink()
    change_config(model_folder, **changes)
    assert refusal(model_folder).title == f"{model_folder} has {outputs}"


@pytest.mark.parametrize(
    ("count", "outputs"),
    [(1, "1 output, not 2: it gives a score, not a class."), (3, "3 outputs, not 2.")],
)
def test_another_number_of_outputs_than_a_silent_config_says_is_refused(
    model_folder, tiny_model, count, outputs
):
    config = BertConfig(**(tiny_model.config.to_dict() | {"num_labels": count, "id2label": None}))
    BertForSequenceClassification(config).save_pretrained(model_folder)
    change_config(model_folder, id2label=None, label2id=None)
    assert refusal(model_folder).title == f"{model_folder} has {outputs}"


@pytest.mark.parametrize("names", [{"0": "neg", "1": "negative"}, {"0": "pos", "1": "1"}])
def test_outputs_that_are_called_alike_are_refused(model_folder, names):
    change_config(model_folder, id2label=names)
    assert "it calls both outputs" in refusal(model_folder, "E-LABELS").title


def test_a_model_without_a_head_is_refused(model_folder, tiny_model):
    BertModel(tiny_model.config).save_pretrained(model_folder)
    refused = refusal(model_folder)
    assert refused.title == f"{model_folder} has no trained classification head (classifier.bias is missing)."
    assert "--fit-head" in refused.hint


def test_a_model_without_head_and_pooler_can_be_given_a_head(model_folder, tiny_model):
    BertModel(tiny_model.config, add_pooling_layer=False).save_pretrained(model_folder)
    assert "has no trained classification head" in refusal(model_folder).title
    loaded = load_classifier(find_classifier(str(model_folder)), needs_head=False)
    assert torch.equal(
        loaded.model.bert.embeddings.word_embeddings.weight,
        load_file(model_folder / WEIGHTS)["embeddings.word_embeddings.weight"],
    )


def test_a_head_of_another_size_may_be_fitted_anew(model_folder, tiny_model):
    config = BertConfig(**(tiny_model.config.to_dict() | {"num_labels": 1, "id2label": None}))
    BertForSequenceClassification(config).save_pretrained(model_folder)
    change_config(model_folder, id2label=None, label2id=None)
    loaded = load_classifier(find_classifier(str(model_folder)), needs_head=False)
    assert loaded.model.classifier.weight.shape == (2, 16)


def test_weights_of_which_a_part_is_missing_are_refused(model_folder):
    name = "bert.encoder.layer.1.output.dense.weight"
    change_weights(model_folder, lambda state: state.pop(name))
    assert refusal(model_folder).title == f"{model_folder} is incomplete ({name} is missing)."


def test_a_config_of_another_shape_than_the_weights_is_refused(model_folder):
    change_config(model_folder, intermediate_size=64)
    name = "bert.encoder.layer.0.intermediate.dense.bias"
    title = f"{name} of {model_folder} has the shape 32, its config.json says 64."
    assert refusal(model_folder).title == title


def test_a_config_with_fewer_layers_than_the_weights_is_refused(model_folder):
    change_config(model_folder, num_hidden_layers=1)
    assert refusal(model_folder).title == (
        f"The weights of {model_folder} have 2 encoder layers, its config.json says 1."
    )


def test_a_weight_that_the_encoder_has_no_place_for_is_refused(model_folder):
    odd = "bert.encoder.layer.0.attention.self.query.lora_A.weight"
    change_weights(model_folder, lambda state: state.update({odd: torch.ones(2, 16)}))
    assert f"has no place for its weight {odd}" in refusal(model_folder).title


def test_a_config_that_asks_for_more_than_the_weights_hold_is_refused_before_memory_is_taken(model_folder):
    held = sum(tensor.numel() for tensor in load_file(model_folder / WEIGHTS).values())
    change_config(model_folder, vocab_size=10**12)
    title = refusal(model_folder).title
    assert title.startswith(f"The config.json of {model_folder} asks for 16,000,0")
    assert title.endswith(f" values, its weights hold {held:,}.")


def test_a_config_with_a_thousand_layers_too_many_is_refused_at_once(model_folder):
    change_config(model_folder, num_hidden_layers=1_001)
    title = f"The config.json of {model_folder} is broken: it says more than 1,000 encoder layers."
    assert refusal(model_folder).title == title


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(model_folder, tiny_model, value):
    broken = copy.deepcopy(tiny_model)
    broken.bert.embeddings.word_embeddings.weight.data[7, 3] = value
    broken.save_pretrained(model_folder)
    title = f"{model_folder} holds NaN or infinite values ({EMBEDDINGS})."
    assert refusal(model_folder).title == title


def test_a_folder_without_weights_is_refused_before_anything_is_loaded(model_folder):
    (model_folder / WEIGHTS).unlink()
    with pytest.raises(MpqError) as refused:
        find_classifier(str(model_folder))
    assert refused.value.title == f"{model_folder} holds neither model.safetensors nor pytorch_model.bin."


@pytest.mark.parametrize(
    "other", ["tf_model.h5", "flax_model.msgpack", "model.onnx", "adapter_model.safetensors"]
)
def test_other_weights_are_named(model_folder, other):
    (model_folder / WEIGHTS).rename(model_folder / other)
    refused = refusal(model_folder)
    assert refused.title.endswith(f"nor pytorch_model.bin, only {other}.")


@pytest.mark.parametrize("name", [WEIGHTS, "pytorch_model.bin"])
def test_a_pointer_of_git_lfs_is_no_file_of_weights(model_folder, name):
    (model_folder / WEIGHTS).unlink()
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:53aa51\nsize 437992753\n"
    (model_folder / name).write_text(pointer)
    refused = refusal(model_folder)
    assert refused.title == f"{name} is a pointer of Git LFS, not the weights."
    assert "git lfs pull" in refused.hint


@pytest.mark.parametrize("size", [1, 9, 5_000])
def test_weights_that_are_cut_off_are_refused(model_folder, size):
    weights = model_folder / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:size])
    assert refusal(model_folder).title == f"{WEIGHTS} cannot be used: it is damaged, or was cut off."


def test_a_broken_tokenizer_is_refused(model_folder):
    (model_folder / "tokenizer.json").write_text("{")
    assert refusal(model_folder).title == f"The tokenizer of {model_folder} cannot be read."


def test_a_folder_without_a_tokenizer_is_refused(model_folder, tokenizer_files):
    for file in tokenizer_files:
        (model_folder / file.name).unlink()
    assert (
        refusal(model_folder).title == f"{model_folder} has no tokenizer (no tokenizer.json, no vocab.txt)."
    )


def test_the_tokenizer_of_another_model_is_refused(model_folder, tiny_model):
    config = BertConfig(**(tiny_model.config.to_dict() | {"vocab_size": 500}))
    BertForSequenceClassification(config).save_pretrained(model_folder)
    assert refusal(model_folder).title == (
        f"{model_folder} has a tokenizer of 30,522 tokens, the model knows 500."
    )


def test_a_tokenizer_that_needs_a_package_names_it(model_folder, tokenizer_files, monkeypatch):
    from transformers import AutoTokenizer

    def refuse(*_, **__):
        raise ImportError("XLMRobertaTokenizer requires the sentencepiece library but it was not found")

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", refuse)
    refused = refusal(model_folder)
    assert refused.title == f"The tokenizer of {model_folder} needs the package sentencepiece."
    assert refused.hint == "pip install sentencepiece"


def test_a_vocabulary_padded_to_a_round_number_is_right(model_folder, tiny_model):
    config = BertConfig(**(tiny_model.config.to_dict() | {"vocab_size": 30_528}))
    BertForSequenceClassification(config).save_pretrained(model_folder)
    assert len(load_classifier(find_classifier(str(model_folder))).tokenizer) == 30_522


def test_a_tokenizer_of_any_length_and_without_padding_is_right(model_folder):
    path = model_folder / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    settings.pop("pad_token", None)
    path.write_text(json.dumps(settings | {"model_max_length": 1e30}))
    source = find_classifier(str(model_folder))
    assert source.max_length == 64
    assert load_classifier(source).tokenizer(["a good film"])["input_ids"]
