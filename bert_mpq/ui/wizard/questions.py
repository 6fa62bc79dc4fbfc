"""The wizard's questions, in the words of the guide to the script this tool replaces."""

from typing import Any

from bert_mpq.allocation.budget import make_budget
from bert_mpq.compute.hardware import accelerator
from bert_mpq.records.width_scores import is_width_file, read_width_scores
from bert_mpq.runs.plan import Sources
from bert_mpq.settings.choices import Split
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import UsageError
from bert_mpq.settings.flag import read_number
from bert_mpq.settings.metrics import FRUGAL, METRICS, menu_rows, required_reviews
from bert_mpq.ui.views.outcome import about, split_rate
from bert_mpq.ui.wizard.bits_step import bits_step, groups_step
from bert_mpq.ui.wizard.file_step import file_step
from bert_mpq.ui.wizard.prompts import Option, Row, problem_of, rows_of
from bert_mpq.ui.wizard.steps import CUSTOM, Step, menu
from bert_mpq.ui.wizard.target_step import DEFAULT_TARGET, target_step

UNTIL_STABLE = "until stable"
STABLE = "Stops when more reviews would not change the bits (95 % sure)"


def phase_1_steps(sources: Sources) -> list[Step]:
    """Return the steps of Phase 1."""
    size = _size_step("Calibration set size", "calibration_size", "calibration", sources)
    return [size, SAMPLING, metrics_step(sources)]


def phase_2_steps(sources: Sources, with_file: bool) -> list[Step]:
    """Return the steps of Phase 2; without the file when Phase 1 is about to write it."""
    size = _size_step("Evaluation set size", "eval_size", "evaluation", sources)
    file = [file_step(sources)] if with_file else []
    groups, bits = groups_step(sources.model), bits_step(sources.model)
    return [size, *file, CLUSTERING, groups, bits, GRANULARITY, target_step()]


def size_options(split: Split, available: int, offline: bool) -> list[tuple[str, int]]:
    """Return the sizes of the guide with their titles."""
    notes = {
        "calibration": ("fast, noisy", "medium", "full IMDB train, recommended"),
        "evaluation": ("fast", "medium", "full test, recommended"),
    }[split]
    full = f"25k ({notes[2]})"
    if available != 25_000:
        full = f"{available:,} (full {'offline ' if offline else ''}split, recommended)"
    sizes = [("1k (smoke test, CPU)", 1_000)] if accelerator() == "cpu" else []
    return [*sizes, (f"5k ({notes[0]})", 5_000), (f"10k ({notes[1]})", 10_000), (full, available)]


def _size_step(name: str, field: str, split: Split, sources: Sources) -> Step:
    available = sources.sizes[split]
    calibrates = split == "calibration"

    def last(config: RunConfig, earlier: RunConfig) -> int | str | None:
        if calibrates and earlier.until_stable:
            return UNTIL_STABLE
        smoke = min(1_000, available) if accelerator() == "cpu" else available
        size: int = getattr(earlier, field) or smoke
        return size if size <= available else None

    def take(config: RunConfig, answer: Any) -> RunConfig:
        if answer == UNTIL_STABLE:
            return config.replace(calibration_size=None, until_stable=True)
        return config.replace(**{field: answer}, **({"until_stable": False} if calibrates else {}))

    return Step(
        name=name,
        field=field,
        options=lambda config: _size_rows(config, split, sources),
        line=lambda config: f"{name} (up to {available:,})",
        read=lambda config, text: _read_size(text, available, least=4 if calibrates else 2),
        last=last,
        take=take,
    )


def _read_size(text: str, available: int, least: int) -> int:
    if not text.strip():
        raise UsageError("E-DATA-SIZE", "Type a whole number, like 2,000.")
    number = read_number(text)
    if number > available:
        raise UsageError(
            "E-DATA-SIZE", f"The split has {available:,} reviews: choose {available:,} or fewer."
        )
    if number < least:
        raise UsageError("E-DATA-SIZE", f"Choose {least} or more.")
    return number


def _size_rows(config: RunConfig, split: Split, sources: Sources) -> list[Option]:
    """Return the rows; a size larger than the split is disabled with the number there is."""
    available = sources.sizes[split]
    rate = split_rate(config, sources.model, split)
    rows: list[Row] = []
    for title, size in size_options(split, available, sources.data.kind == "wheel"):
        time = f"About {about(rate.seconds(size))} on this machine" if rate else ""
        rows.append((title, size, time, f"the split has {available:,}" if size > available else ""))
    if split == "calibration":
        rows.append(("Until stable", UNTIL_STABLE, STABLE))
    return rows_of(*rows, ("Custom size", CUSTOM, "Any number of reviews"))


SAMPLING = Step(
    name="Sampling strategy",
    field="sampling",
    options=menu(
        ("Stratified sampling (recommended)", "stratified", "As many positive as negative"),
        ("Random sampling", "random", "Drawn from all reviews alike"),
    ),
)


def metrics_step(sources: Sources) -> Step:
    """Which similarity metrics; those that need more reviews than there are cannot be chosen."""

    def options(config: RunConfig) -> list[Option]:
        size = config.calibration_size or sources.sizes["calibration"]
        rows: list[Row] = []
        for name, metrics, description in menu_rows():
            needed = required_reviews(metrics, sources.model.hidden, config.rows)
            reason = f"needs {needed:,} reviews" if size < needed else ""
            if config.until_stable and not METRICS[metrics[0]].measured:
                reason = "one short pass takes all reviews"
            rows.append((name, metrics, description, reason))
        return rows_of(*rows)

    def last(config: RunConfig, earlier: RunConfig) -> Any:
        enabled = [option.value for option in options(config) if not option.disabled]
        return earlier.metrics if earlier.metrics in enabled else (FRUGAL,)

    return Step(name="Similarity metrics", field="metrics", options=options, last=last)


STRATEGIES = (
    ("K-means (recommended)", "kmeans", "Groups of similar scores"),
    ("Percentile", "percentile", "Groups of equal size: top, middle, bottom"),
    ("Hierarchical", "hierarchical", "Merges the closest scores (Ward)"),
    ("Budget (exact, by target size)", "budget", "The best bits per layer for a size or a drop"),
)


def _clusterings(config: RunConfig) -> list[Option]:
    """Return the rows; a file of one width is no base for a budget, one of several for nothing else."""
    several = config.sensitivities is None or is_width_file(config.sensitivities)
    unfit = "the file is for a budget" if config.sensitivities and several else ""
    reasons = {"budget": "" if several else "needs a widths_ file: see Full pipeline"}
    return rows_of(*((title, value, text, reasons.get(value, unfit)) for title, value, text in STRATEGIES))


def _with_clustering(config: RunConfig, clustering: Any) -> RunConfig:
    """Return ``config`` with a clustering, and with the target that a budget cannot be without."""
    if clustering == "budget":
        return config.replace(clustering=clustering, target=config.target or DEFAULT_TARGET)
    return config.replace(clustering=clustering, target=None, granularity="layer")


CLUSTERING = Step(
    name="Clustering strategy",
    field="clustering",
    options=_clusterings,
    take=_with_clustering,
    code="E-BUDGET",
    hint="Pick another file.",
)


def _granularities(config: RunConfig) -> list[Option]:
    """Return the rows; bits per matrix need scores of single Linears, which older files have not."""
    reason, less = "", "Less damage at few bits; query, key and value stay alike"
    if config.sensitivities is not None:
        finer = config.replace(granularity="linear")
        unfit = problem_of(lambda: make_budget(finer, read_width_scores(config.sensitivities or "")))
        reason = "the file has scores of layers only" if unfit else ""
    return rows_of(
        ("Bits per layer", "layer", "One width for all matrices of a layer"),
        ("Bits per matrix (finer)", "linear", less, reason),
    )


GRANULARITY = Step(
    name="Budget granularity",
    field="granularity",
    options=_granularities,
    when=lambda config: config.clustering == "budget",
)
