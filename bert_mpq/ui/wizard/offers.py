"""What the menu offers after an evaluation: each offer is a row of the question "What next?".

Adding one: write ``act(finished, execution)`` in a module of this folder, and put an ``Offer`` into
``OFFERS``. ``act`` asks what it needs with ``choose`` and ``ask_text`` (BACK: return), runs with
``execution.run(plan)`` or its own function of ``bert_mpq.runs``, and prints results on ``execution.output``
and the command that repeats them with ``views.print_repeat``. An ``MpqError`` it raises is shown as a panel.
"""

from collections.abc import Callable
from dataclasses import dataclass

from bert_mpq.records.numbers import duration
from bert_mpq.settings.errors import MpqError
from bert_mpq.ui.execution import Execution
from bert_mpq.ui.wizard import export_offer, rounding_offer, training_offer, try_offer
from bert_mpq.ui.wizard.finished import Finished, evaluated_again
from bert_mpq.ui.wizard.prompts import Back, choose, rows_of
from bert_mpq.ui.wizard.wording import tell

MENU = "menu"


@dataclass(frozen=True, kw_only=True)
class Offer:
    """Something to do with an evaluated model.

    Args:
        title: its row.
        description: what it costs and writes, at most 64 characters.
        applies: whether to offer it; ``finished.quantization`` is the evaluation. Default: always.
        act: does it; returns the evaluation that takes the place of the one before, if it has made one.
    """

    title: str
    description: str
    act: Callable[[Finished, Execution], Finished | None]
    applies: Callable[[Finished], bool] = lambda finished: True


def _tables_are_large(finished: Finished) -> bool:
    """Return whether wide tables take more than a third of a model that has not been trained."""
    result = finished.quantization.result
    return result.trained is None and result.sizes.wide_embeddings


def _with_8_bit_embeddings(finished: Finished, execution: Execution) -> Finished | None:
    """Say how long it takes, and go on as ``evaluated_again``."""
    stages = finished.quantization.result.stages
    seconds = sum(stage.seconds for stage in stages if stage.name in ("Quantize", "Evaluate quantized"))
    rows = rows_of(("Start", True, f"About {duration(seconds)}; new report"))
    if isinstance(choose("Keep the embeddings as 8-bit codes?", rows, True), Back):
        return None
    return evaluated_again(finished, execution, embeddings="int8")


OFFERS: tuple[Offer, ...] = (
    Offer(
        title="Learned rounding",
        description="Better codes for 2 and 3 bits, in minutes; new report",
        applies=rounding_offer.applies,
        act=rounding_offer.act,
    ),
    Offer(
        title="Quantization-aware training",
        description="Trains the quantized model on calibration reviews; new report",
        applies=training_offer.applies,
        act=training_offer.act,
    ),
    Offer(
        title="8-bit embeddings",
        description="Evaluates again: a quarter of their size, no loss to speak of",
        applies=_tables_are_large,
        act=_with_8_bit_embeddings,
    ),
    Offer(
        title="Export the quantized model",
        description="A folder with the small file, loaded again and compared",
        act=export_offer.act,
    ),
    Offer(
        title="Try a review",
        description="Type one, and see what both models say of it",
        act=try_offer.act,
    ),
)


def offer(finished: Finished, execution: Execution, offers: tuple[Offer, ...] | None = None) -> None:
    """Ask what next, as often as the user wants, until the way leads back to the menu."""
    every = OFFERS if offers is None else offers
    while applicable := [each for each in every if each.applies(finished)]:
        back = ("Back to the menu", MENU, "The files above are kept")
        rows = rows_of(back, *((each.title, each, each.description) for each in applicable))
        chosen = choose("What next?", rows, MENU, back=False)
        if chosen == MENU or isinstance(chosen, Back):
            return
        try:
            finished = chosen.act(finished, execution) or finished
        except MpqError as error:
            tell(error, execution.errors)
