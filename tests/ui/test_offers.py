"""What the menu offers after an evaluation."""

import io

from rich.console import Console

from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import MpqError
from bert_mpq.ui.execution import Execution, Finished
from bert_mpq.ui.wizard.offers import Offer, offer
from tests.helpers.keyboard import pressing


def make(title, applies, done, fails=False):
    def act(finished, execution):
        done.append((title, finished))
        if fails:
            raise MpqError("E-DISK", "The disk is full.")

    return Offer(title=title, description="", applies=lambda finished: applies, act=act)


def run(offers, *keys):
    errors = Console(file=io.StringIO(), width=80)
    finished = Finished(plan=RunConfig())
    with pressing(*keys):
        offer(finished, Execution(Console(file=io.StringIO()), errors), offers)
    return errors.file.getvalue()


def test_nothing_is_asked_where_no_offer_applies():
    run((make("Export", False, []),))


def test_enter_leads_back_to_the_menu():
    done = []
    run((make("Export", True, done),), "enter")
    assert done == []


def test_an_offer_is_made_and_then_asked_for_again():
    done = []
    run((make("Skipped", False, done), make("Export", True, done)), "down enter", "esc")
    assert [title for title, _ in done] == ["Export"]


def test_an_error_inside_an_offer_is_shown_and_leads_back_to_the_question():
    done = []
    shown = run((make("Export", True, done, fails=True),), "down enter", "enter")
    assert "error[E-DISK]: The disk is full." in shown
    assert len(done) == 1


def test_what_an_offer_makes_takes_the_place_of_what_was_there():
    better = Finished(plan=RunConfig(seed=7))
    train = Offer(
        title="Train",
        description="",
        applies=lambda finished: finished.plan.seed != 7,
        act=lambda finished, execution: better,
    )
    run((train,), "down enter")  # and no second question
