"""A head for a model that was only pretrained."""

import copy
import shutil

import pytest
import torch
from torch import nn
from transformers import (
    AutoModelForSequenceClassification,
    BertModel,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    MPNetConfig,
    RobertaConfig,
)

from bert_mpq import RunConfig
from bert_mpq.compute.batches import tokenize
from bert_mpq.compute.devices import pick_machine
from bert_mpq.compute.evaluate import evaluate
from bert_mpq.compute.reporting import Silent
from bert_mpq.runs.job import Job
from bert_mpq.runs.make_plan import make_plan
from bert_mpq.runs.session import Session
from bert_mpq.settings.errors import MpqError
from bert_mpq.sources.classifiers import find_classifier, load_classifier
from bert_mpq.sources.heads import fit_head, last_linear
from tests.helpers.workloads import on_cpu

TINY = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
CONFIGS = {
    "roberta": RobertaConfig(vocab_size=30_522, max_position_embeddings=130, **TINY),
    "electra": ElectraConfig(vocab_size=30_522, embedding_size=16, **TINY),
    "mpnet": MPNetConfig(vocab_size=30_522, max_position_embeddings=130, **TINY),
    "deberta-v2": DebertaV2Config(vocab_size=30_522, relative_attention=True, pos_att_type=["c2p"], **TINY),
    "distilbert": DistilBertConfig(vocab_size=30_522, dim=16, n_layers=2, n_heads=2, hidden_dim=32),
}


@pytest.fixture(scope="module")
def machine():
    return pick_machine("cpu", "fp32")


@pytest.fixture(scope="module")
def tokens(classifier, reviews):
    return tokenize(reviews.take(list(range(120))), classifier.tokenizer, 24, Silent())


@pytest.fixture
def headless(tmp_path, classifier, tokenizer_files):
    """The embedded classifier's encoder, saved as a pretrained model without a head."""
    config = copy.deepcopy(classifier.model.config)
    bare = BertModel(config)
    bare.load_state_dict(classifier.model.bert.state_dict())
    bare.save_pretrained(tmp_path / "bare")
    for file in tokenizer_files:
        shutil.copy(file, tmp_path / "bare")
    return tmp_path / "bare"


def test_the_fitted_head_gives_the_log_odds_of_the_regression_on_its_features(classifier, tokens, machine):
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    model = copy.deepcopy(classifier.model)
    seen = []
    hook = model.classifier.register_forward_pre_hook(lambda _m, rows: seen.append(rows[0]))
    fit_head(model, on_cpu(tokens, 2_048), Silent())
    batch = tokens.batch(torch.arange(len(tokens)).numpy())
    with torch.inference_mode():
        logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    hook.remove()
    features = StandardScaler().fit_transform(seen[-1].double().numpy())
    expected = LogisticRegression(max_iter=2_000).fit(features, tokens.labels).decision_function(features)
    torch.testing.assert_close(
        (logits[:, 1] - logits[:, 0]).double(), torch.from_numpy(expected), rtol=0, atol=0.02
    )


def test_nothing_but_the_last_linear_changes(classifier, tokens, machine):
    model = copy.deepcopy(classifier.model)
    fit_head(model, on_cpu(tokens, 2_048), Silent())
    changed = {
        name
        for name, value in model.state_dict().items()
        if not torch.equal(value, classifier.model.state_dict()[name])
    }
    assert changed == {"classifier.weight", "classifier.bias"}


@pytest.mark.parametrize("kind", CONFIGS)
def test_every_encoder_family_can_be_given_a_head(kind, tokens, machine):
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(CONFIGS[kind]).eval()
    before = last_linear(model).weight.clone()
    fit_head(model, on_cpu(tokens, 8_192), Silent())
    assert not torch.equal(last_linear(model).weight, before)
    # 16 features cannot tell much, but the fit must beat a coin on what it was fitted on.
    assert evaluate(model, on_cpu(tokens, 8_192), Silent(), "").accuracy.accuracy > 0.55


def job(config, session):
    return Job(plan=make_plan(config, "sensitivity"), reporter=Silent(), session=session)


def test_a_model_without_a_head_is_analysed_with_a_fitted_one(headless):
    config = RunConfig(model=str(headless), fit_head=60, max_length=16, calibration_size=8, metrics=("cka",))
    session = Session()
    fitted = job(config, session).classifier()
    again = job(config, Session()).classifier()
    assert torch.equal(fitted.model.classifier.weight, again.model.classifier.weight), "not reproducible"
    assert job(config, session).classifier() is fitted
    other = job(config.replace(fit_head=50), session).classifier()
    assert not torch.equal(fitted.model.classifier.weight, other.model.classifier.weight)


def test_a_fitted_head_reads_real_reviews(headless, tokens, machine):
    config = RunConfig(model=str(headless), fit_head=200, max_length=24, calibration_size=8, metrics=("cka",))
    classifier = job(config, Session()).classifier()
    # Fitted on the calibration half, measured on held-out reviews.
    assert evaluate(classifier.model, on_cpu(tokens, 2_048), Silent(), "").accuracy.accuracy > 0.6


def test_without_the_flag_the_hint_names_it(headless):
    with pytest.raises(MpqError) as refused:
        load_classifier(find_classifier(str(headless)))
    assert refused.value.code == "E-MODEL"
    assert "--fit-head" in refused.value.hint


def test_more_reviews_than_there_are_are_refused_before_the_run(headless):
    with pytest.raises(MpqError) as refused:
        make_plan(
            RunConfig(model=str(headless), fit_head=13_000, calibration_size=4, metrics=("cka",)),
            "sensitivity",
        )
    assert refused.value.code == "E-DATA-SIZE"


def test_a_model_without_a_layer_of_two_outputs_is_refused(tiny_model):
    model = copy.deepcopy(tiny_model)
    model.classifier = nn.Linear(16, 3)
    with pytest.raises(MpqError) as refused:
        last_linear(model)
    assert refused.value.code == "E-MODEL"


def test_an_encoder_that_gives_nan_is_refused(tiny_model, tokens, machine):
    model = copy.deepcopy(tiny_model)
    model.bert.pooler.dense.weight.data.fill_(float("nan"))
    with pytest.raises(MpqError) as refused:
        fit_head(model, on_cpu(tokens, 8_192), Silent())
    assert refused.value.code == "E-MODEL"
