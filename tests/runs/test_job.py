"""What the steps of a run share: nothing is loaded, drawn or measured twice, whatever the order of asking."""

import pytest

from bert_mpq import MpqError, RunConfig
from bert_mpq.compute.reporting import Silent
from bert_mpq.runs.job import Job
from bert_mpq.runs.make_plan import plan_full_run
from bert_mpq.runs.session import Kept, Session


class Listening(Silent):
    def __init__(self):
        self.stages, self.notes = [], []

    def track(self, items, title, total, weight=None):
        self.stages.append(title)
        yield from items

    def note(self, text):
        self.notes.append(text)


@pytest.fixture
def config(small_model, tmp_path):
    return RunConfig(
        model=str(small_model),
        output=str(tmp_path),
        calibration_size=20,
        eval_size=12,
        metrics=("cka",),
        max_length=12,
        gptq_reviews=6,
    )


def job(config, session):
    return Job(plan=plan_full_run(config), reporter=Listening(), session=session)


def test_reviews_can_be_drawn_before_anything_else_is_asked_for(config):
    run = job(config, Session())
    work = run.draw("evaluation", 12)
    assert run.reporter.stages == ["Load the model", "Tokenize"]
    assert work.sample(4).size == 12
    assert work.sample(4).positive == 6
    assert work.sample(4).split == "TRAIN set, held-out half"
    assert work.classifier is run.classifier()


def test_what_one_run_of_a_session_has_made_the_next_one_has(config):
    session = Session()
    first, second = job(config, session), job(config.replace(bits=(8, 4)), session)
    work = first.prepare("evaluation")
    assert second.prepare("evaluation").tokens is work.tokens
    assert first.baseline(work) is second.baseline(work)
    assert second.reporter.stages == []
    other = job(config.replace(seed=1), session).draw("evaluation", 12)
    assert other.tokens.fingerprint != work.tokens.fingerprint
    assert first.baseline(other) is not first.baseline(work)


def test_reviews_for_gptq_are_read_only_where_a_width_needs_them(config):
    run = job(config, Session())
    assert run.calibration((16, 8)) is None
    assert run.reporter.stages == []
    drawn = run.calibration((16, 4))
    assert len(drawn.tokens) == 6
    assert drawn.planned_sample.split == "TRAIN set, calibration half"
    assert [stage.name for stage in run.clock.stages] == ["Load the model", "Read for GPTQ"]


def test_without_reviews_for_gptq_a_note_says_why(config, monkeypatch):
    def refused(*_):
        raise MpqError("E-ONE-CLASS", "The sample holds only positive reviews.")

    monkeypatch.setattr("bert_mpq.runs.job.sample", refused)
    run = job(config, Session())
    assert run.calibration((4,)) is None
    why = "The sample holds only positive reviews. Rounding to nearest instead."
    assert run.reporter.notes == [f"No calibration reviews for GPTQ: {why}"]


def test_an_error_after_the_reviews_are_drawn_is_no_lack_of_reviews(config, monkeypatch):
    def full(*_, **__):
        raise MpqError("E-DISK", "The disk is full.")

    monkeypatch.setattr("bert_mpq.runs.job.tokenize", full)
    with pytest.raises(MpqError) as refused:
        job(config, Session()).calibration((4,))
    assert refused.value.code == "E-DISK"


def test_the_values_asked_for_last_are_kept():
    made, kept = [], Kept(2)

    def value(key):
        return kept.get(key, lambda: made.append(key) or key)

    assert [value(key) for key in ("a", "b", "a", "c", "a", "b")] == ["a", "b", "a", "c", "a", "b"]
    assert made == ["a", "b", "c", "b"]  # c took the place of b, which was asked for longest ago
