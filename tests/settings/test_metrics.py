"""The catalogue of the metrics."""

import typing

import pytest

from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.metrics import (
    COMPARED,
    METRICS,
    Metric,
    check_required,
    menu_rows,
    required_reviews,
    title_of,
    titles_of,
)


def test_every_metric_has_facts_and_a_function_that_computes_it():
    from bert_mpq.sensitivity.estimates import SIMILARITIES

    assert list(METRICS) == list(typing.get_args(Metric))
    assert [metric for metric, facts in METRICS.items() if not facts.of_logits] == list(SIMILARITIES)
    assert [metric for metric, facts in METRICS.items() if not facts.measured] == ["predicted"]


@pytest.mark.parametrize(
    ("metrics", "reviews"),
    [(("pwcca",), 1537), (("cka", "pwcca"), 1537), (("svcca", "cka"), 4), (("kl",), 4)],
)
def test_a_metric_needs_as_many_reviews_as_its_ranks(metrics, reviews):
    assert required_reviews(metrics, 768) == reviews
    assert required_reviews(metrics, 768, "tokens") == 4
    check_required(metrics, 768, reviews)
    with pytest.raises(MpqError) as refused:
        check_required(metrics, 768, reviews - 1)
    assert refused.value.code == "E-DATA-SIZE"
    assert f"{reviews:,}" in f"{refused.value.title} {refused.value.hint}"


def test_the_words_of_a_metric():
    assert [METRICS[metric].loss_title for metric in ("pwcca", "debiased_cka", "kl")] == [
        "1 - PWCCA",
        "1 - debiased CKA",
        "KL of the logits",
    ]
    assert titles_of(COMPARED) == "PWCCA + SVCCA + CKA"
    assert (title_of("cka"), title_of("rmse"), title_of("rmse", "Score")) == ("CKA", "rmse", "Score")


def test_the_menu_begins_with_what_a_run_does_by_default():
    rows = menu_rows()
    assert rows[0][1] == RunConfig().metrics
    assert {metric for _, metrics, _ in rows for metric in metrics} == {*COMPARED, "predicted"}
    assert len({metrics for _, metrics, _ in rows}) == len(rows)
