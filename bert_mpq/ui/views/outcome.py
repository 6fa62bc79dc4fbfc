"""What bits come to, in one line; and what a run would do."""

from collections.abc import Iterable
from itertools import zip_longest

from rich.console import RenderableType
from rich.text import Text

from bert_mpq.records.numbers import megabytes, score_text
from bert_mpq.runs.dry_run import DryRun
from bert_mpq.runs.outcome import Outcome, outcomes_of
from bert_mpq.runs.plan import Plan
from bert_mpq.ui.views.tables import Pairs
from bert_mpq.ui.views.timing import about


def outcome_text(*outcomes: Outcome) -> str:
    """Return mean bits, size and predicted KL of one outcome, or of the least and the most there can be."""
    mean = _range(f"{each.bits_per_weight:.1f}" for each in outcomes)
    ratio = _range(f"{each.whole_ratio:.2f}" for each in reversed(outcomes))
    sizes = [megabytes(each.whole_bits) for each in outcomes if each.whole_bits is not None]
    original = outcomes[0].whole_original_bits
    if original is None or not sizes:
        return f"{mean} bits a weight, encoder {ratio}x smaller"
    losses = [score_text(each.kl, 5) for each in outcomes if each.kl is not None]
    kl = f"; KL {_range(losses)}" if len(losses) == len(outcomes) else ""
    decimals = 0 if megabytes(original) >= 10 else 1
    size = _range(f"{each:.{decimals}f}" for each in sizes)
    return f"{mean} bits a weight; model {size} of {megabytes(original):.{decimals}f} MB ({ratio}x){kl}"


def plan_size(plan: Plan) -> str:
    """Return what the bits of a plan come to; "" where that is not known before the run."""
    outcomes = outcomes_of(plan)
    return outcome_text(*outcomes) if outcomes else ""


def dry_run_views(dry_run: DryRun) -> list[RenderableType]:
    """Return what a run would come to, write and take."""
    time = "never measured on this machine" if dry_run.seconds is None else f"about {about(dry_run.seconds)}"
    rows = [("Size", outcome_text(*dry_run.outcomes))] if dry_run.outcomes else []
    rows += [("Time", time), *zip_longest(["Files"], map(str, dry_run.files), fillvalue="")]
    return [Pairs(rows), Text("Dry run: nothing was run or written.")]


def _range(texts: Iterable[str]) -> str:
    return " to ".join(dict.fromkeys(texts))
