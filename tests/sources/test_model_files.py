"""Which files a model is loaded from: on the hub, and in its cache when the hub is gone."""

import hashlib
import json
import shutil

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save

from bert_mpq.settings.choices import DEFAULT_MODEL
from bert_mpq.settings.errors import MpqError
from bert_mpq.sources.classifiers import find_classifier, load_classifier
from bert_mpq.sources.model_files import CONVERSION, MAIN, cached_files
from bert_mpq.sources.wheels import sha256
from tests.helpers.checkpoint_variants import pickle, safetensors, safetensors_in_shards
from tests.helpers.stub_hub import StubHub

MAIN_COMMIT = "c70b9f391af2067f7eff69a03940218bba9b8d39"
CONVERTED = "17ca895" + 33 * "0"
OTHER = 40 * "a"
LOADED = (
    "(lambda c: [c.source.name, c.source.note, c.revision, c.weights, float(c.model.classifier.bias[0])])"
    "(classifiers.load_classifier(classifiers.find_classifier({!r})))"
)
FILES = (
    "(lambda f: [f.commit, f.weights.text, wheels.sha256(f.weights.files[0])])"
    "(model_files.hub_files({!r}, {!r}))"
)


@pytest.fixture(scope="module")
def default_model(tmp_path_factory, tiny_model, tokenizer_files):
    """The files of the default model's repository, as they are, but for the size of the model."""
    folder = tmp_path_factory.mktemp("default")
    tiny_model.config.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({"finetuning_task": "imdb", **config}))
    pickle(folder, tiny_model.state_dict())
    (folder / "flax_model.msgpack").write_bytes(b"\x81\xa4bert\x80")
    (folder / "special_tokens_map.json").write_text('{"unk_token": "[UNK]", "pad_token": "[PAD]"}')
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    shutil.copy(next(file for file in tokenizer_files if file.name == "vocab.txt"), folder)
    for name in ("README.md", "log.txt", "train_args.json", ".gitattributes"):
        (folder / name).write_text("{}")
    return folder


@pytest.fixture
def stub(tmp_path, monkeypatch):
    monkeypatch.setenv("BERT_MPQ_CACHE", str(tmp_path / "cache"))
    stub = StubHub(tmp_path / "home")
    yield stub
    stub.stop()


def publish(stub, default_model, tiny_model, commit=CONVERTED):
    """Put the default model on the hub, with its conversion to safetensors as an open pull request."""
    stub.add_folder(DEFAULT_MODEL, default_model, commit=MAIN_COMMIT)
    stub.add_folder(DEFAULT_MODEL, default_model, CONVERSION, commit)
    stub.add(f"{DEFAULT_MODEL}/model.safetensors", save(tiny_model.state_dict()), CONVERSION)


def test_the_default_model_is_loaded_from_its_pinned_conversion_and_then_from_the_cache(
    stub, default_model, tiny_model
):
    publish(stub, default_model, tiny_model)
    expected = [DEFAULT_MODEL, "", CONVERTED, "model.safetensors", tiny_model.classifier.bias[0].item()]
    assert stub.ask(LOADED.format("default")) == expected
    assert not [request for request in stub.requests if "/api/models" in request or "POST" in request]
    assert not [request for request in stub.requests if "pytorch_model" in request or "flax" in request]
    stub.requests.clear()
    files = [CONVERTED, "model.safetensors", hashlib.sha256(save(tiny_model.state_dict())).hexdigest()]
    assert stub.ask(FILES.format(DEFAULT_MODEL, MAIN)) == files
    asked = [request for request in stub.requests if "/resolve/" in request]
    assert {request.rpartition("/resolve/")[2] for request in asked} == {
        "main/config.json"  # has it changed?
    }
    assert all(request.startswith("HEAD ") for request in asked)
    stub.stop()
    cached = f"[each.value for each in doctor.diagnose().checks if each.name == {DEFAULT_MODEL!r}]"
    assert stub.ask(f"[{LOADED.format('default')}, {cached}]") == [
        expected,
        ["in the cache (model.safetensors of 17ca895)"],
    ]
    assert stub.ask(FILES.format(DEFAULT_MODEL, MAIN), HF_HUB_OFFLINE="1") == files


def test_a_conversion_of_another_commit_is_not_used(stub, default_model, tiny_model):
    publish(stub, default_model, tiny_model, commit=OTHER)
    pickled = sha256(default_model / "pytorch_model.bin")
    expected = [MAIN_COMMIT, "pytorch_model.bin, converted to safetensors", pickled]
    assert stub.ask(FILES.format(DEFAULT_MODEL, MAIN)) == expected
    stub.stop()
    assert stub.ask(FILES.format(DEFAULT_MODEL, MAIN)) == expected


def test_another_models_pull_request_is_used_only_when_it_is_named(stub, default_model, tiny_model):
    stub.add_folder("org/pickled", default_model)
    stub.add_folder("org/pickled", default_model, CONVERSION, CONVERTED)
    converted = save({name: value + 1 for name, value in tiny_model.state_dict().items()})
    stub.add("org/pickled/model.safetensors", converted, CONVERSION)
    pickled = sha256(default_model / "pytorch_model.bin")
    assert stub.ask(FILES.format("org/pickled", MAIN))[1:] == [
        "pytorch_model.bin, converted to safetensors",
        pickled,
    ]
    assert stub.ask(FILES.format("org/pickled", CONVERSION)) == [
        CONVERTED,
        "model.safetensors",
        hashlib.sha256(converted).hexdigest(),
    ]


def test_a_model_without_weights_on_the_hub_says_so(stub, default_model):
    stub.add_folder("org/flax", default_model)
    del stub.repositories["org/flax"][MAIN].files["pytorch_model.bin"]
    assert stub.ask(FILES.format("org/flax", MAIN)) == [
        "E-MODEL",
        "org/flax holds neither model.safetensors nor pytorch_model.bin at revision main.",
    ]


def test_a_download_that_breaks_off_is_made_good_by_an_older_one(stub, default_model):
    stub.add_folder("org/tiny", default_model)
    before = stub.ask(FILES.format("org/tiny", MAIN))
    stub.repositories["org/tiny"][MAIN].commit = OTHER
    stub.add("org/tiny/pytorch_model.bin", b"another one" * 1000)
    stub.cut_off.add("pytorch_model.bin")
    assert stub.ask(FILES.format("org/tiny", MAIN)) == before


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the hub."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("BERT_MPQ_CACHE", str(tmp_path / "converted"))
    return tmp_path / "hub"


def put(cache, repository, commit, files, revisions=()):
    """Put files into the cache, as the hub's client does."""
    home = cache / f"models--{repository.replace('/', '--')}"
    folder = home / "snapshots" / commit
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copy(file, folder)
    for revision in revisions:
        path = home / "refs" / revision
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(commit)
    return folder


def small(folder):
    """Return the files of the default model beside its weights."""
    return [path for path in folder.iterdir() if path.suffix not in (".bin", ".msgpack")]


def test_what_the_original_script_left_in_the_cache_is_used(cache, default_model, tiny_model):
    put(cache, DEFAULT_MODEL, MAIN_COMMIT, default_model.iterdir(), [MAIN])
    loaded = load_classifier(find_classifier("default"))
    assert (loaded.source.kind, loaded.revision) == ("hub", MAIN_COMMIT)
    assert loaded.weights == "pytorch_model.bin, converted to safetensors"
    assert torch.equal(loaded.model.classifier.weight, tiny_model.classifier.weight)


def test_what_the_conversion_of_transformers_left_in_the_cache_is_used(cache, default_model, tiny_model):
    put(cache, DEFAULT_MODEL, MAIN_COMMIT, small(default_model), [MAIN])
    folder = put(cache, DEFAULT_MODEL, CONVERTED, [], [CONVERSION])
    safetensors(folder, tiny_model.state_dict())
    loaded = load_classifier(find_classifier("default"))
    assert (loaded.revision, loaded.weights) == (CONVERTED, "model.safetensors")


def test_an_unknown_conversion_in_the_cache_is_not_used_and_the_way_out_is_named(
    cache, default_model, tiny_model
):
    put(cache, "org/tiny", MAIN_COMMIT, small(default_model), [MAIN])
    folder = put(cache, "org/tiny", CONVERTED, small(default_model), [CONVERSION])
    safetensors(folder, tiny_model.state_dict())
    with pytest.raises(MpqError) as refused:
        find_classifier("org/tiny")
    assert refused.value.code == "E-NETWORK"
    assert refused.value.title.endswith(
        "holds only a part of org/tiny: its weights are those of a pull request."
    )
    assert refused.value.hint.endswith("--model org/tiny@refs/pr/1.")
    assert load_classifier(find_classifier("org/tiny@refs/pr/1")).revision == CONVERTED


def test_an_older_commit_in_the_cache_is_used_when_the_newest_is_not_whole(cache, default_model, tiny_model):
    put(cache, "org/tiny", MAIN_COMMIT, default_model.iterdir())
    put(cache, "org/tiny", OTHER, [default_model / "config.json"], [MAIN])
    assert load_classifier(find_classifier("org/tiny")).revision == MAIN_COMMIT


def test_a_revision_that_was_named_is_not_replaced_by_another(cache, default_model):
    put(cache, "org/tiny", MAIN_COMMIT, default_model.iterdir(), [MAIN])
    with pytest.raises(MpqError) as refused:
        find_classifier("org/tiny@v2")
    assert refused.value.title.endswith("holds only a part of org/tiny at revision v2.")
    assert find_classifier(f"org/tiny@{MAIN_COMMIT[:7]}").layers == 2


def test_safetensors_are_preferred_to_pickles_of_the_same_revision(cache, default_model, tiny_model):
    folder = put(cache, "org/tiny", MAIN_COMMIT, default_model.iterdir(), [MAIN])
    safetensors(folder, tiny_model.state_dict())
    assert not cached_files("org/tiny", MAIN).weights.pickled


@pytest.mark.parametrize("lost", ["model-00002-of-00003.safetensors", "config.json", "vocab.txt"])
def test_a_download_that_broke_off_is_not_enough(cache, default_model, tiny_model, lost):
    folder = put(cache, DEFAULT_MODEL, MAIN_COMMIT, small(default_model), [MAIN])
    safetensors_in_shards(folder, tiny_model.state_dict())
    assert find_classifier("default").kind == "hub"
    (folder / lost).unlink()
    assert find_classifier("default").kind == "embedded"
    with pytest.raises(MpqError) as refused:
        find_classifier(DEFAULT_MODEL)
    assert refused.value.code == "E-NETWORK"
    assert refused.value.title.endswith(f"holds only a part of {DEFAULT_MODEL}.")


def test_weights_in_the_cache_are_measured_before_they_are_loaded(cache, default_model, tiny_model):
    folder = put(cache, "org/tiny", MAIN_COMMIT, default_model.iterdir(), [MAIN])
    assert find_classifier("org/tiny").parameters is None  # a pickle says nothing without being read
    safetensors(folder, tiny_model.state_dict())
    assert find_classifier("org/tiny").parameters == 494_194
