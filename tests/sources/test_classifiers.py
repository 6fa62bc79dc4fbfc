import copy
import json
import shutil

import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from bert_mpq.compute.encoder import encoder_layers
from bert_mpq.settings.errors import MpqError
from bert_mpq.sources.classifiers import DEFAULT_MODEL, ModelSource, find_classifier, load_classifier


def change_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def refusal(folder):
    """Return the error of finding and loading the classifier in ``folder``."""
    with pytest.raises(MpqError) as refused:
        load_classifier(find_classifier(str(folder)))
    assert refused.value.code == "E-MODEL"
    assert refused.value.hint
    return refused.value


def test_a_folder_is_measured_before_it_is_loaded(model_folder):
    source = find_classifier(str(model_folder))
    assert source == ModelSource(
        name=str(model_folder),
        kind="folder",
        layers=2,
        hidden=16,
        layer_weights=4 * 16 * 16 + 2 * 16 * 32,
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


@pytest.mark.parametrize("model", [DEFAULT_MODEL, "distilbert-base-uncased", "no such model"])
def test_a_model_that_was_named_never_falls_back(model):
    with pytest.raises(MpqError, match="Cannot reach the Hugging Face hub") as refused:
        find_classifier(model)
    assert refused.value.code == "E-NETWORK"
    assert model in refused.value.title


def test_the_default_model_has_the_original_tools_names():
    source = ModelSource(
        name=DEFAULT_MODEL, kind="hub", layers=12, hidden=768, layer_weights=1, max_length=512
    )
    assert (source.title, source.word) == ("BERT-base-uncased", "BERT")


@pytest.mark.parametrize("path", ["./nowhere", "/no/such/folder", "~/nowhere", "a/b/c"])
def test_a_path_without_a_folder_is_named(path):
    with pytest.raises(MpqError) as refused:
        find_classifier(path)
    assert refused.value.code == "E-MODEL"
    assert refused.value.title == f"There is no model folder at {path}."


def test_a_file_is_no_model_folder(model_folder):
    with pytest.raises(MpqError, match="no model folder") as refused:
        find_classifier(str(model_folder / "config.json"))
    assert refused.value.code == "E-MODEL"


@pytest.mark.parametrize("path", ["x" * 300, "~no-such-user/model"], ids=["too long", "no such user"])
def test_a_path_that_no_folder_can_have_is_refused(path):
    with pytest.raises(MpqError):
        find_classifier(path)


def test_three_labels_are_refused(model_folder, tiny_model):
    config = BertConfig(**(tiny_model.config.to_dict() | {"num_labels": 3, "id2label": None}))
    BertForSequenceClassification(config).save_pretrained(model_folder)
    assert refusal(model_folder).title == f"{model_folder} has 3 labels, not 2."


def test_a_model_without_a_head_is_refused(model_folder, tiny_model):
    BertModel(tiny_model.config).save_pretrained(model_folder)
    assert refusal(model_folder).title == (
        f"{model_folder} has no trained classification head (classifier.bias is missing)."
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(model_folder, tiny_model, value):
    broken = copy.deepcopy(tiny_model)
    broken.bert.embeddings.word_embeddings.weight.data[7, 3] = value
    broken.save_pretrained(model_folder)
    title = f"{model_folder} holds NaN or infinite values (bert.embeddings.word_embeddings.weight)."
    assert refusal(model_folder).title == title


def test_pickled_weights_are_refused(model_folder, tiny_model):
    (model_folder / "model.safetensors").unlink()
    torch.save(tiny_model.state_dict(), model_folder / "pytorch_model.bin")
    assert "cannot be loaded" in refusal(model_folder).title


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
        assert "cannot be loaded" in refusal(model_folder).title
    else:
        load_classifier(find_classifier(str(model_folder)))
    assert not marker.exists()


@pytest.mark.parametrize(
    "content", ["{", "", "{}", '{"num_hidden_layers": true}', b"\xff\xfe", '{"num_hidden_layers": "12"}']
)
def test_a_broken_config_is_refused(model_folder, content):
    data = content if isinstance(content, bytes) else content.encode()
    (model_folder / "config.json").write_bytes(data)
    assert refusal(model_folder).title == f"{model_folder} has no config.json of an encoder model."


def test_a_folder_without_a_config_is_refused(tmp_path):
    assert refusal(tmp_path).title == f"{tmp_path} has no config.json of an encoder model."


def test_a_quantized_model_is_refused(model_folder):
    change_config(model_folder, quantization_config={"quant_method": "compressed-tensors"})
    assert refusal(model_folder).title == f"{model_folder} is quantized already."


@pytest.mark.parametrize("content", ["[]", "null", '"bert"'])
def test_a_config_that_is_no_object_is_refused(model_folder, content):
    (model_folder / "config.json").write_text(content)
    refusal(model_folder)


@pytest.mark.parametrize("positions", [None, "512"])
def test_a_config_with_odd_positions_is_refused(model_folder, positions):
    change_config(model_folder, max_position_embeddings=positions)
    refusal(model_folder)


def test_a_config_of_another_shape_than_the_weights_is_refused(model_folder):
    change_config(model_folder, intermediate_size=64)
    assert "cannot be loaded" in refusal(model_folder).title


def test_a_broken_tokenizer_is_refused(model_folder):
    (model_folder / "tokenizer.json").write_text("{")
    assert "cannot be loaded" in refusal(model_folder).title


def test_a_folder_without_a_tokenizer_is_refused(model_folder, tokenizer_files):
    for file in tokenizer_files:
        (model_folder / file.name).unlink()
    refusal(model_folder)


def test_weights_that_are_cut_off_are_refused(model_folder):
    weights = model_folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    refusal(model_folder)


def test_parameters_are_counted_before_the_model_is_loaded(classifier, model_folder, tiny_model):
    for source, model in (
        (find_classifier("embedded"), classifier.model),
        (find_classifier(str(model_folder)), tiny_model),
    ):
        assert source.parameters == sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("content", [b"", b"12", (2**60).to_bytes(8, "little"), b"\x02" + 7 * b"\0" + b"[]"])
def test_parameters_of_a_file_that_cannot_be_read_are_unknown(tmp_path, content):
    from bert_mpq.sources.parameter_count import parameter_count

    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    assert parameter_count(path) is None
    assert parameter_count(tmp_path / "gone") is None
