import dataclasses
import json
import shutil

import pytest
import torch
from transformers import (
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from bert_mpq.compute.encoder import encoder_layers
from bert_mpq.compute.outputs import outputs_of
from bert_mpq.settings.choices import DEFAULT_MODEL
from bert_mpq.settings.errors import MpqError
from bert_mpq.sources.classifiers import ModelSource, find_classifier, load_classifier


def change_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_folder_is_measured_before_it_is_loaded(model_folder):
    source = find_classifier(str(model_folder))
    assert source == ModelSource(
        name=str(model_folder),
        kind="folder",
        layers=2,
        hidden=16,
        inner=32,
        max_length=64,
        positions=64,
        parameters=494_194,
    )
    assert (source.title, source.word) == ("tiny-bert", "tiny-bert")


def test_a_saved_classifier_is_loaded_as_it_was(model_folder, tiny_model):
    loaded = load_classifier(find_classifier(str(model_folder)))
    batch = loaded.tokenizer(["a good film", "a bad film"], return_tensors="pt")
    assert len(loaded.tokenizer) == 30_522
    with torch.inference_mode():
        assert loaded.model(**batch).logits.equal(tiny_model(**batch).logits)
    assert not loaded.model.training


@pytest.mark.parametrize(
    ("names", "order", "text"),
    [
        (None, (0, 1), "output 0 (LABEL_0) = negative, output 1 (LABEL_1) = positive"),
        (
            {"0": "POSITIVE", "1": "NEGATIVE"},
            (1, 0),
            "output 0 (POSITIVE) = positive, output 1 (NEGATIVE) = negative",
        ),
    ],
)
@pytest.mark.parametrize("swap", [False, True])
def test_the_meaning_of_the_outputs_is_known_before_the_model_is_loaded(
    model_folder, names, order, text, swap
):
    change_config(model_folder, id2label=names)
    source = find_classifier(str(model_folder))
    assert source.outputs.text == text
    if swap:
        source = dataclasses.replace(source, outputs=source.outputs.swapped)
    loaded = load_classifier(source)
    assert outputs_of(loaded.model).order == (tuple(reversed(order)) if swap else order)


def test_half_precision_weights_are_loaded_as_fp32(model_folder, tiny_model):
    BertForSequenceClassification.from_pretrained(model_folder).half().save_pretrained(model_folder)
    loaded = load_classifier(find_classifier(str(model_folder)))
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("model", "max_length"),
    [
        (
            RobertaForSequenceClassification(
                RobertaConfig(
                    vocab_size=30_522,
                    hidden_size=16,
                    num_hidden_layers=3,
                    num_attention_heads=2,
                    intermediate_size=32,
                    max_position_embeddings=34,
                )
            ),
            32,
        ),
        (
            DistilBertForSequenceClassification(
                DistilBertConfig(
                    vocab_size=30_522,
                    dim=16,
                    n_layers=3,
                    n_heads=2,
                    hidden_dim=32,
                    max_position_embeddings=32,
                )
            ),
            32,
        ),
    ],
    ids=["roberta", "distilbert"],
)
def test_other_encoders_are_understood(tmp_path, tokenizer_files, model, max_length):
    model.save_pretrained(tmp_path)
    for file in tokenizer_files:
        shutil.copy(file, tmp_path)
    source = find_classifier(str(tmp_path))
    assert (source.layers, source.hidden, source.max_length) == (3, 16, max_length)
    assert len(encoder_layers(load_classifier(source).model)) == 3


def test_no_default_is_longer_than_512_tokens(model_folder):
    change_config(model_folder, max_position_embeddings=4096)
    assert find_classifier(str(model_folder)).max_length == 512


def test_without_a_hub_the_default_is_the_embedded_classifier_and_a_note_says_so():
    source = find_classifier("default")
    assert source.kind == "embedded"
    assert DEFAULT_MODEL in source.note
    assert "using the embedded classifier" in source.note


def test_the_embedded_classifier_that_was_asked_for_needs_no_note():
    source = find_classifier("embedded")
    assert (source.note, source.word, source.max_length) == ("", "BERT", 256)


@pytest.mark.parametrize("model", [DEFAULT_MODEL, "distilbert-base-uncased", "org/name@v1.0"])
def test_a_model_that_was_named_never_falls_back(model):
    with pytest.raises(MpqError, match="Cannot reach the Hugging Face hub") as refused:
        find_classifier(model)
    assert refused.value.code == "E-NETWORK"
    assert model.partition("@")[0] in refused.value.title


def test_the_default_model_has_the_original_tools_names():
    source = ModelSource(name=DEFAULT_MODEL, kind="hub", layers=12, hidden=768, inner=3072, max_length=512)
    assert (source.title, source.word) == ("BERT-base-uncased", "BERT")


@pytest.mark.parametrize("path", ["./nowhere", "/no/such/folder", "~/nowhere", "a/b/c", "org/name@"])
def test_a_path_without_a_folder_is_named(path):
    with pytest.raises(MpqError) as refused:
        find_classifier(path)
    assert refused.value.code == "E-MODEL"
    assert refused.value.title == f"There is no model folder at {path}."


def test_a_file_is_no_model_folder(model_folder):
    with pytest.raises(MpqError, match="is a file, no model folder") as refused:
        find_classifier(str(model_folder / "config.json"))
    assert refused.value.code == "E-MODEL"


def test_what_is_no_name_of_a_model_is_not_looked_up():
    with pytest.raises(MpqError) as refused:
        find_classifier("no such model")
    assert refused.value.code == "E-MODEL"
    assert refused.value.title == "'no such model' is no name of a model on the hub."


@pytest.mark.parametrize("path", ["x" * 300, "~no-such-user/model"], ids=["too long", "no such user"])
def test_a_path_that_no_folder_can_have_is_refused(path):
    with pytest.raises(MpqError):
        find_classifier(path)


@pytest.mark.parametrize("model_type", ["bert", "evil"])
def test_code_from_the_repository_is_never_run(model_folder, model_type):
    marker = model_folder / "it ran"
    (model_folder / "evil.py").write_text(f"open({str(marker)!r}, 'w')")
    auto_map = {
        "AutoConfig": "evil.Config",
        "AutoModelForSequenceClassification": "evil.Model",
        "AutoTokenizer": ["evil.Tokenizer", None],
    }
    change_config(model_folder, model_type=model_type, auto_map=auto_map)
    if model_type == "evil":
        with pytest.raises(MpqError, match="'evil' is no type of text encoder"):
            find_classifier(str(model_folder))
    else:
        load_classifier(find_classifier(str(model_folder)))
    assert not marker.exists()


def test_parameters_are_counted_before_the_model_is_loaded(classifier, model_folder, tiny_model):
    for source, model in (
        (find_classifier("embedded"), classifier.model),
        (find_classifier(str(model_folder)), tiny_model),
    ):
        assert source.parameters == sum(parameter.numel() for parameter in model.parameters())
