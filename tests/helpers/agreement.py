"""What must hold of any two machines, whatever they are: the same assertions with GPUs and without."""

import pytest

from bert_mpq.compute.evaluate import evaluate
from bert_mpq.compute.reporting import Silent
from bert_mpq.sensitivity.measure import measure
from bert_mpq.sensitivity.predicted import predict
from bert_mpq.sensitivity.probe import Probe
from bert_mpq.sensitivity.scoring import score
from tests.helpers.workloads import on

PROBE = Probe(scope="propagated", pooling="mean", bits=(4,), quantizer="rtn", group_size=64)


def assert_machines_agree(classifier, tokens, one, other, batch_tokens=4096):
    """Compare scores and KL of every layer, the predicted damage and the predictions of both machines."""
    works = [on(machine, tokens, batch_tokens) for machine in (one, other)]
    measured = [measure(classifier, work, PROBE, Silent()) for work in works]
    first, second = (score(measurement, ("cka",), Silent()).scores[0].values for measurement in measured)
    assert second == pytest.approx(first, rel=1e-3)
    assert measured[1].kl == pytest.approx(measured[0].kl, rel=1e-3)
    losses = [predict(classifier.model, work, PROBE, Silent()).losses("linear") for work in works]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3, abs=1e-9)
    here, there = (evaluate(classifier.model, work, Silent(), "") for work in works)
    assert (here.predictions == there.predictions).all()
