"""Which metric decides: by evidence where the damage was measured, by the number of reviews where not."""

import dataclasses

import pytest

from bert_mpq.records.decision import UNVERIFIED, damage_correlation, decide
from bert_mpq.records.sensitivity import LayerScore, MetricAgreement, Scores
from bert_mpq.settings.config import RunConfig


def scores(metric, status="ok", usable=True):
    layers = tuple(LayerScore(value=value, status=status, usable=usable) for value in (0.3, 0.2, 0.1))
    return Scores(metric=metric, layers=layers)


@pytest.fixture
def result(sensitivity_result):
    """Make a result of scores, their correlations with the damage, and the damage where there is one."""

    def make(*entries, measured=True, until_stable=False, **correlations):
        return dataclasses.replace(
            sensitivity_result,
            config=RunConfig(metrics=tuple(entry.metric for entry in entries), until_stable=until_stable),
            scores=entries,
            kl=(0.3, 0.2, 0.1) if measured else (),
            agreement=tuple(
                MetricAgreement(first=metric, second="kl", spearman=value)
                for metric, value in correlations.items()
            ),
        )

    return make


def test_the_metric_that_orders_the_layers_most_like_the_damage_decides(result):
    decision = decide(result(scores("pwcca"), scores("cka"), pwcca=0.38, cka=0.99))
    assert (decision.metric, decision.spearman) == ("cka", 0.99)
    assert (
        decision.sentence
        == "CKA decides: it orders the layers as the measured damage does, +0.99; PWCCA +0.38."
    )


@pytest.mark.parametrize(
    ("entries", "correlations", "deciding"),
    [
        (("pwcca", "cka"), {"pwcca": 0.9, "cka": 0.9}, "pwcca"),  # a tie: the order given
        (("cka", "pwcca"), {"pwcca": 0.9, "cka": 0.9}, "cka"),
        (("pwcca", "cka"), {"pwcca": None, "cka": -0.5}, "cka"),  # an undefined one loses
        (("pwcca", "cka"), {"pwcca": None, "cka": None}, "pwcca"),
        (("svcca", "cka"), {"svcca": 0.99, "cka": 0.1}, "cka"),  # SVCCA may not take over
        (("svcca",), {"svcca": -0.15}, "svcca"),  # but decides where it is alone
        (("cka", "predicted"), {"cka": 0.97, "predicted": 0.98}, "predicted"),
        (("cka", "kl"), {"cka": 1.0}, "kl"),  # KL is the evidence
    ],
)
def test_the_rule(result, entries, correlations, deciding):
    assert decide(result(*map(scores, entries), **correlations)).metric == deciding


def test_a_score_with_too_few_reviews_does_not_decide_unless_all_have(result):
    few, cka = scores("pwcca", "few_samples"), scores("cka")
    assert decide(result(few, cka, pwcca=0.99, cka=0.5)).metric == "cka"
    also = scores("cka", "few_samples")
    assert decide(result(also, few, pwcca=0.99, cka=0.5)).metric == "pwcca"
    broken = scores("cka", "nonfinite", usable=False)
    assert decide(result(broken, few, pwcca=0.1, cka=None)).metric == "pwcca"
    assert decide(result(broken, scores("pwcca", "saturated", usable=False))).metric == "cka"


def test_one_that_was_passed_over_though_it_is_more_like_the_damage_is_spoken_of(result):
    decision = decide(result(scores("pwcca", status="few_samples"), scores("cka"), pwcca=0.54, cka=0.49))
    assert decision.sentence == (
        "CKA decides: of those with enough reviews it orders the layers most like the measured damage,"
        " +0.49; PWCCA +0.54."
    )


def test_one_chosen_alone_decides_and_its_correlation_is_said(result):
    decision = decide(result(scores("svcca"), svcca=-0.15))
    assert decision.sentence == (
        "SVCCA decides: it was chosen alone; rank correlation with the measured damage -0.15."
    )
    assert decide(result(scores("kl"))).sentence == "KL decides: it was chosen alone."


def test_kl_is_the_damage_itself(result):
    given = result(scores("kl"), scores("cka"), cka=0.99)
    assert decide(given).sentence == "KL decides: it is the measured damage; CKA +0.99."
    assert damage_correlation(given, "kl") == 1.0
    assert damage_correlation(given, "pwcca") is None


def test_a_run_until_stable_keeps_to_the_metric_it_waited_for(result):
    decision = decide(result(scores("pwcca"), scores("cka"), pwcca=0.3, cka=0.9, until_stable=True))
    assert decision.sentence == (
        "PWCCA decides: the run stopped when its bits were stable; rank correlation with the measured damage "
        "+0.30; CKA +0.90."
    )


@pytest.mark.parametrize(
    ("entries", "deciding", "why"),
    [
        ((scores("pwcca"), scores("cka")), "pwcca", "it was named first"),
        ((scores("pwcca", "few_samples"), scores("cka")), "cka", "too few reviews for PWCCA"),
        ((scores("pwcca", "saturated", usable=False), scores("cka")), "cka", "PWCCA has no valid scores"),
        ((scores("pwcca", "few_samples"), scores("svcca")), "pwcca", "it was named first"),
        ((scores("svcca"), scores("cka")), "svcca", "it was named first"),
        ((scores("predicted"),), "predicted", "it was chosen alone"),
    ],
)
def test_without_a_measured_damage_the_first_with_enough_reviews_decides_unverified(
    result, entries, deciding, why
):
    decision = decide(result(*entries, measured=False))
    assert decision.metric == deciding
    assert decision.spearman is None
    assert decision.sentence.endswith(f"decides: {why}. {UNVERIFIED}")


def test_some_of_the_metrics_can_be_chosen_from(result):
    given = result(scores("pwcca"), scores("svcca"), scores("cka"), pwcca=0.38, svcca=0.9, cka=0.99)
    assert decide(given, ("pwcca", "cka")).metric == "cka"
    assert decide(given, ("svcca",)).metric == "svcca"
