"""What a budget asks for: a size, a ratio, mean bits or an accuracy drop, with what each comes to."""

from bert_mpq.allocation.budget import Budget, make_budget
from bert_mpq.allocation.whole_plans import best_plan
from bert_mpq.records.width_scores import read_width_scores
from bert_mpq.runs.outcome import Outcome
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.metrics import METRICS
from bert_mpq.settings.targets import Target, parse_target
from bert_mpq.ui.views.outcome import outcome_text
from bert_mpq.ui.wizard.prompts import Option, Row, problem_of, rows_of
from bert_mpq.ui.wizard.steps import CUSTOM, Step

DEFAULT_TARGET = "4bits"
SEARCHED = "by measuring plans on calibration reviews"
TARGET_PRESETS = (
    ("6 bits a weight (careful)", "6bits"),
    ("4 bits a weight (recommended)", DEFAULT_TARGET),
    ("3 bits a weight (small)", "3bits"),
    ("A fifth of the whole model", "5x"),
    ("Smallest within 0.5 points", "0.5pp"),
)


def target_step() -> Step:
    """What the plan must keep to; asked instead of groups and bits."""
    return Step(
        name="Target",
        field="target",
        options=_options,
        line=lambda config: "Target (e.g. 1.5x, 50MB, 4.5bits, 1pp)",
        read=read_target,
        last=lambda config, earlier: earlier.target or DEFAULT_TARGET,
        remark=_remark,
        when=lambda config: config.clustering == "budget",
        code="E-BUDGET",
        hint="Pin fewer layers.",
    )


def _options(config: RunConfig) -> list[Option]:
    custom = "A ratio (1.5x), a size (50MB), bits (4.5bits), a drop (1pp)"
    presets = (_row(config, name, target) for name, target in TARGET_PRESETS)
    return rows_of(*presets, ("Custom target", CUSTOM, custom))


def _row(config: RunConfig, name: str, text: str) -> Row:
    target, budget, size = parse_target(text), _budget(config, text), ""
    problem = problem_of(lambda: read_target(config, text))
    open_ = config.replace(clustering="budget", target=text).chooses_embeddings
    chosen = "Bits and embeddings" if open_ else "Bits"
    if target.kind == "drop":
        size = f"{chosen}, {SEARCHED}"
    elif budget is None and target.kind != "bits":
        size = f"{chosen} that lose least at this size"
    elif budget is not None and not problem:
        size = _size(budget, target)
    return name, text, size, "cannot be reached" if problem else ""


def _remark(config: RunConfig) -> str:
    """Return what a typed target comes to; how it is found where that is not known yet."""
    budget = None if config.target is None else _budget(config, config.target)
    if config.goal.kind == "drop":
        return f"Found {SEARCHED}"
    return "Found once Phase 1 has measured the scores" if budget is None else _size(budget, config.goal)


def _size(budget: Budget, target: Target) -> str:
    """Return what the best bits within a target come to."""
    best = best_plan(budget, target)
    of_kl = METRICS[budget.config.score].of_logits
    outcome = Outcome.of(best.budget.sizes(best.assignment.bits), best.loss if of_kl else None)
    text, kept = outcome_text(outcome), best.budget.embeddings
    return text if kept == "fp32" else f"{text.replace(' a weight', '')}, {kept} embeddings"


def read_target(config: RunConfig, text: str) -> str:
    """Return a target in its usual spelling.

    Raises:
        MpqError: it is none, or cannot be reached with the scores of ``config``: in one line of the prompt,
            with the nearest one that can be, if any.
    """
    target, budget = parse_target(text), _budget(config, text)
    if budget is not None and target.kind != "drop":
        try:
            best_plan(budget, target)
        except MpqError as error:
            what, found, _ = error.title.partition(" cannot be reached: ")
            if not found:
                raise
            offer = error.hint.removeprefix("Ask for --target ").rstrip(".").split(",")[0]
            raise MpqError(error.code, f"{what} cannot be reached; {offer} can") from error
    return target.text


def _budget(config: RunConfig, target: str) -> Budget | None:
    """Return the problem of a target where the scores are known already."""
    if config.sensitivities is None:
        return None
    return make_budget(config.replace(target=target), read_width_scores(config.sensitivities))
