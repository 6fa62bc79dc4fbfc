"""What a budget asks for: a size, a ratio, mean bits or an accuracy drop, with what each comes to."""

from bert_mpq.allocation.budget import Budget, make_budget
from bert_mpq.records.numbers import megabytes
from bert_mpq.records.width_scores import read_width_scores
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.targets import parse_target
from bert_mpq.ui.wizard.prompts import Option, ask_text, choose
from bert_mpq.ui.wizard.steps import Back, Step

CUSTOM = "custom"
DEFAULT = "4bits"
PRESETS = (
    ("6 bits a weight (careful)", "6bits"),
    ("4 bits a weight (recommended)", DEFAULT),
    ("3 bits a weight (small)", "3bits"),
    ("At most 0.5 points of accuracy", "0.5pp"),
)


def target_step() -> Step:
    """What the plan must keep to; asked instead of groups and bits."""

    def answer(config: RunConfig, title: str, earlier: RunConfig) -> RunConfig | Back:
        last = earlier.target or DEFAULT
        own = last not in [target for _, target in PRESETS]
        while True:
            options = [_option(config, name, target) for name, target in PRESETS]
            custom = "A ratio (1.5x), a size (50MB), bits (4.5bits), a drop (1pp)"
            options.append(Option(title="Custom target", value=CUSTOM, description=custom))
            value = choose(title, options, CUSTOM if own else last, code="E-BUDGET", hint="Pin fewer layers.")
            if value == CUSTOM:
                message = "Target (e.g. 1.5x, 50MB, 4.5bits, 1pp)"
                value = ask_text(message, lambda text: _problem(config, text), last if own else "")
                if isinstance(value, Back):
                    continue
            return value if isinstance(value, Back) else config.replace(target=parse_target(value).text)

    return Step(name="Target", ask=answer, field="target", when=lambda config: config.clustering == "budget")


def _option(config: RunConfig, name: str, target: str) -> Option:
    problem, text = _problem(config, target), ""
    budget = _budget(config)
    if parse_target(target).kind == "drop":
        text = "Evaluates plans on calibration reviews until it fits"
    elif budget is not None and not problem:
        sizes = budget.sizes(budget.best(parse_target(target)).bits)
        size = f"{megabytes(sizes.whole_bits):.0f} of {megabytes(sizes.whole_original_bits):.0f} MB"
        text = f"Model {size} ({sizes.whole_ratio:.2f}x smaller)"
    return Option(title=name, value=target, description=text, disabled="cannot be reached" if problem else "")


def _problem(config: RunConfig, text: str) -> str:
    """Say what is wrong with a target, "" when nothing is."""
    try:
        target = parse_target(text)
        budget = _budget(config)
        if budget is not None and target.kind != "drop":
            budget.best(target)
    except MpqError as error:
        return _in_short(error)
    return ""


def _in_short(error: MpqError) -> str:
    """Return what is wrong in one line of the prompt: with the nearest target that can be reached, if any."""
    what, found, _ = error.title.partition(" cannot be reached: ")
    if not found:
        return error.title.rstrip(".")
    offer = error.hint.removeprefix("Ask for --target ").rstrip(".").split(",")[0]
    return f"{what} cannot be reached; {offer} can"


def _budget(config: RunConfig) -> Budget | None:
    """Return the problem where the scores are known already."""
    if config.sensitivities is None:
        return None
    return make_budget(config, read_width_scores(config.sensitivities))
