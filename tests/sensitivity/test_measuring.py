"""Phase 1 on real reviews: moments against stored activations, and what the scores mean."""

import numpy as np
import pytest
import torch

from bert_mpq.compute.batches import tokenize
from bert_mpq.compute.divergence import kl_of_logits
from bert_mpq.compute.reporting import Silent
from bert_mpq.sensitivity.measure import measure
from bert_mpq.sensitivity.probe import Probe
from bert_mpq.sensitivity.probed_classifier import ProbedClassifier
from bert_mpq.sensitivity.scoring import score
from bert_mpq.sensitivity.twins import Twins
from bert_mpq.settings.errors import MpqError
from tests.helpers.workloads import on_cpu

PROBE = Probe(scope="propagated", pooling="mean", bits=(4,), quantizer="rtn", group_size=64)


@pytest.fixture(scope="module")
def tokens(classifier, reviews):
    return tokenize(reviews.take(list(range(0, 400, 4))), classifier.tokenizer, 16, Silent())


@pytest.fixture(scope="module")
def measurement(classifier, tokens):
    # One block: intervals have tests of their own, and take eleven times as long.
    return measure(classifier, on_cpu(tokens, 4096), PROBE, Silent(), blocks=1)


@pytest.fixture(scope="module")
def stored(classifier, tokens):
    """Reference (n, 6, 384), perturbed (n, 6, 384) and logits of the same reviews, all kept."""
    module = ProbedClassifier(Twins.of(classifier.model, PROBE))
    order, parts = [], []
    with torch.inference_mode():
        for indices in tokens.plan(4096 // module.computed):
            batch = tokens.batch(indices)
            order.append(indices)
            parts.append(module(batch.input_ids, batch.attention_mask))
    assert sorted(np.concatenate(order)) == list(range(len(tokens)))
    return tuple(torch.cat(tensors).double().numpy() for tensors in zip(*parts, strict=True))


def centred(rows):
    return rows - rows.mean(0)


def naive_cka(x, y):
    x, y = centred(x), centred(y)
    return 1 - np.sum((y.T @ x) ** 2) / np.linalg.norm(x.T @ x) / np.linalg.norm(y.T @ y)


def naive_svcca(x, y):
    bases = []
    for rows in (centred(x), centred(y)):
        u, s, _ = np.linalg.svd(rows, full_matrices=False)
        keep = int(np.searchsorted(np.cumsum(s**2) / np.sum(s**2), 0.99)) + 1
        bases.append(u[:, :keep])
    return 1 - np.linalg.svd(bases[0].T @ bases[1], compute_uv=False).mean()


def test_scores_equal_formulas_on_stored_activations(measurement, stored):
    reference, perturbed, _ = stored
    for metric, naive in (("cka", naive_cka), ("svcca", naive_svcca)):
        (scores,) = score(measurement, (metric,), Silent()).scores
        for layer in range(6):
            expected = naive(reference[:, 0], perturbed[:, layer])
            assert scores.values[layer] == pytest.approx(expected, rel=1e-9)


def test_kl_equals_the_definition(measurement, stored):
    logits = stored[2]
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    p, q = probabilities[:, :1], probabilities[:, 1:]
    expected = (p * np.log(p / q)).sum(-1).mean(0)
    assert measurement.kl == pytest.approx(expected, rel=1e-9)


def test_kl_of_equal_logits_is_exactly_zero():
    logits = torch.randn(5, 1, 2)
    assert kl_of_logits(logits, logits.repeat(1, 3, 1)).abs().max() == 0.0


def test_scores_do_not_depend_on_the_batch_size(classifier, tokens, measurement):
    other = measure(classifier, on_cpu(tokens, 700), PROBE, Silent(), blocks=1)
    (first,), (second,) = (score(m, ("cka",), Silent()).scores for m in (measurement, other))
    assert first.values == pytest.approx(second.values, rel=1e-3)  # FP32 rounding


def test_fewer_bits_hurt_more(classifier, tokens, measurement):
    coarse = Probe(scope="propagated", pooling="mean", bits=(2,), quantizer="rtn", group_size=64)
    worse = measure(classifier, on_cpu(tokens, 4096), coarse, Silent(), blocks=1)
    (four,), (two,) = (score(m, ("cka",), Silent()).scores for m in (measurement, worse))
    assert all(low > high for low, high in zip(two.values, four.values, strict=True))


def test_a_model_that_gives_nan_is_an_error_that_says_so(classifier, tokens):
    from copy import deepcopy
    from dataclasses import replace

    broken = deepcopy(classifier.model)
    broken.bert.encoder.layer[0].attention.output.LayerNorm.bias.data[3] = torch.nan
    few = replace(tokens, offsets=tokens.offsets[:9], labels=tokens.labels[:8])
    result = measure(replace(classifier, model=broken), on_cpu(few, 4096), PROBE, Silent())
    with pytest.raises(MpqError, match="8 rows of the FP32 reference hold NaN") as caught:
        score(result, ("cka",), Silent())
    assert caught.value.code == "E-MODEL"


def test_without_pooling_every_real_token_is_a_row_of_its_reviews_block(tiny_model, classifier, reviews):
    from dataclasses import replace

    own = replace(classifier, model=tiny_model, source=replace(classifier.source, layers=2, hidden=16))
    tokens = tokenize(reviews.take(list(range(25))), classifier.tokenizer, 12, Silent())
    probe = Probe(scope="propagated", pooling="none", bits=(4,), quantizer="rtn", group_size=None)
    result = measure(own, on_cpu(tokens, 300), probe, Silent())
    by_block = [int(tokens.lengths[block::10].sum()) for block in range(10)]
    assert [block[0].samples for block in result.sums.blocks] == by_block
    stacks, masks = [], []
    module = ProbedClassifier(Twins.of(tiny_model, probe))
    with torch.inference_mode():
        for indices in tokens.plan(1000):
            batch = tokens.batch(indices)
            reference, perturbed, _ = module(batch.input_ids, batch.attention_mask)
            stacks.append(torch.cat([reference, perturbed], 1).transpose(1, 2).flatten(0, 1))
            masks.append(batch.attention_mask.flatten() > 0)
    rows = torch.cat(stacks)[torch.cat(masks)].double().numpy()
    (scores,) = score(result, ("cka",), Silent()).scores
    for layer in range(2):
        assert scores.values[layer] == pytest.approx(naive_cka(rows[:, 0], rows[:, 1 + layer]), rel=1e-4)


def test_tokens_as_rows_need_no_thousand_reviews():
    from bert_mpq.settings.metrics import required_reviews

    assert required_reviews(("pwcca",), 384) == 769
    assert required_reviews(("pwcca",), 384, "tokens") == 4
