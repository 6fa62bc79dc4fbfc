"""What the menu offers after an evaluation."""

import dataclasses
import io
from argparse import Namespace

import pytest
from rich.console import Console

from bert_mpq.records.reading import read_evaluation
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import MpqError
from bert_mpq.ui.execution import Execution
from bert_mpq.ui.wizard import finished as again
from bert_mpq.ui.wizard import offers as wizard
from bert_mpq.ui.wizard.finished import Finished
from bert_mpq.ui.wizard.offers import OFFERS, Offer, offer
from tests.helpers.golden import RUNS
from tests.helpers.keyboard import pressing

EMBEDDINGS = next(each for each in OFFERS if each.title == "8-bit embeddings")


@pytest.fixture
def asked(monkeypatch):
    """The questions that are asked, each with its rows."""
    questions = []

    def counted(message, rows, default, **rest):
        questions.append([row.title for row in rows])
        return choose(message, rows, default, **rest)

    choose = wizard.choose
    monkeypatch.setattr(wizard, "choose", counted)
    return questions


def make(title, applies, done, fails=False):
    def act(finished, execution):
        done.append((title, finished))
        if fails:
            raise MpqError("E-DISK", "The disk is full.")

    return Offer(title=title, description="", applies=lambda finished: applies, act=act)


def run(offers, *keys):
    errors = Console(file=io.StringIO(), width=80)
    finished = Finished(plan=RunConfig(), quantization=None)
    with pressing(*keys):
        offer(finished, Execution(Console(file=io.StringIO()), errors), offers)
    return errors.file.getvalue()


def test_nothing_is_asked_where_no_offer_applies(asked):
    run((make("Export", False, []),), "enter")
    assert asked == []


def test_enter_leads_back_to_the_menu(asked):
    done = []
    run((make("Export", True, done),), "enter", "enter")
    assert done == []
    assert asked == [["Back to the menu", "Export"]]


def test_an_offer_is_made_and_then_asked_for_again(asked):
    done = []
    run((make("Skipped", False, done), make("Export", True, done)), "down enter", "esc", "enter")
    assert [title for title, _ in done] == ["Export"]
    assert asked == [["Back to the menu", "Export"]] * 2


def test_an_error_inside_an_offer_is_shown_and_leads_back_to_the_question():
    done = []
    shown = run((make("Export", True, done, fails=True),), "down enter", "enter")
    assert "error[E-DISK]: The disk is full." in shown
    assert len(done) == 1


def test_what_an_offer_makes_takes_the_place_of_what_was_there(asked):
    better = Finished(plan=RunConfig(seed=7), quantization=None)
    train = Offer(
        title="Train",
        description="",
        applies=lambda finished: finished.plan.seed != 7,
        act=lambda finished, execution: better,
    )
    run((train,), "down enter", "enter")
    assert asked == [["Back to the menu", "Train"]]  # and no second question


@pytest.mark.parametrize(
    ("bits", "trained", "offered"),
    [(32, False, True), (16, False, True), (8, False, False), (32, True, False)],
)
def test_8_bit_embeddings_are_offered_where_tables_are_most_of_the_model(bits, trained, offered):
    result = read_evaluation(min(RUNS.glob("eval_*.json"))).result
    sizes = dataclasses.replace(result.sizes, embedding_bits=bits * result.sizes.embedding_weights)
    result = dataclasses.replace(result, sizes=sizes, trained=True if trained else None)
    assert EMBEDDINGS.applies(Finished(plan=None, quantization=Namespace(result=result))) is offered


def test_8_bit_embeddings_are_evaluated_with_the_same_bits(monkeypatch):
    result = read_evaluation(min(RUNS.glob("eval_*.json"))).result
    planned, done = [], Finished(plan=None, quantization=None)
    monkeypatch.setattr("bert_mpq.runs.make_plan.plan_quantization", lambda *given: planned.append(given))
    monkeypatch.setattr(again.views, "plan_panel", lambda *_: "")
    execution = Namespace(output=Console(file=io.StringIO()), run=lambda plan: done)
    finished = Finished(plan=Namespace(sources="sources"), quantization=Namespace(result=result))
    monkeypatch.setattr(again, "evaluation_of", lambda plan, ran: ran)
    with pressing("down enter"):
        assert EMBEDDINGS.act(finished, execution) is None  # Back
    assert planned == []
    with pressing("enter"):
        assert EMBEDDINGS.act(finished, execution) is done
    assert planned == [(result.config.replace(embeddings="int8"), "sources")]
