"""The wizard's questions, in the words of the original tool's guide."""

from dataclasses import replace

from bert_mpq.compute.hardware import accelerator
from bert_mpq.records.width_scores import is_width_file
from bert_mpq.runs.plan import Sources
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import UsageError
from bert_mpq.settings.flag import read_number
from bert_mpq.settings.metrics import FRUGAL, menu_rows, required_reviews
from bert_mpq.sources.halves import Split
from bert_mpq.ui.views.timing import about, split_rate
from bert_mpq.ui.wizard.bits_step import CUSTOM, bits_step, groups_step
from bert_mpq.ui.wizard.file_step import file_step
from bert_mpq.ui.wizard.prompts import Option, ask_text, choose
from bert_mpq.ui.wizard.steps import BACK, Back, Step
from bert_mpq.ui.wizard.target_step import DEFAULT, target_step

UNTIL_STABLE = "until stable"
STABLE = "Stops when more reviews would not change the bits (95 % sure)"


def phase_1_steps(sources: Sources) -> list[Step]:
    """Return the steps of Phase 1."""
    size = _size_step("Calibration set size", "calibration_size", "calibration", sources)
    return [size, sampling_step(), metrics_step(sources)]


def phase_2_steps(sources: Sources, with_file: bool) -> list[Step]:
    """Return the steps of Phase 2; without the file when Phase 1 is about to write it."""
    size = _size_step("Evaluation set size", "eval_size", "evaluation", sources)
    file = [file_step(sources)] if with_file else []
    grouped = [
        replace(step, when=lambda config: config.clustering != "budget")
        for step in (groups_step(sources.model), bits_step(sources.model))
    ]
    return [size, *file, clustering_step(), *grouped, target_step()]


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
    available = sources.size(split)
    sizes = size_options(split, available, sources.data.kind == "wheel")
    least = 4 if split == "calibration" else 2

    def check(text: str) -> str:
        if not text.strip():
            return "Type a whole number, like 2,000"
        try:
            number = read_number(text)
        except UsageError as error:
            return error.title.rstrip(".")
        if number > available:
            return f"The split has {available:,} reviews: choose {available:,} or fewer"
        return "" if number >= least else f"Choose {least} or more"

    def answer(config: RunConfig, title: str, earlier: RunConfig) -> RunConfig | Back:
        last = getattr(earlier, field) or (min(1_000, available) if accelerator() == "cpu" else available)
        own = str(last) if last not in [size for _, size in sizes] and last <= available else ""
        while True:
            before = CUSTOM if own else last
            before = UNTIL_STABLE if split == "calibration" and earlier.until_stable else before
            size = choose(title, _size_rows(config, split, sources, sizes), before)
            if size == UNTIL_STABLE:
                return config.replace(calibration_size=None, until_stable=True)
            if size == CUSTOM:
                text = ask_text(f"{name} (up to {available:,})", check, own)
                if isinstance(text, Back):
                    continue
                size = read_number(text)
            if isinstance(size, Back):
                return size
            whole = {"until_stable": False} if split == "calibration" else {}
            return config.replace(**{field: size}, **whole)

    return Step(name=name, ask=answer, field=field)


def _size_rows(
    config: RunConfig, split: Split, sources: Sources, sizes: list[tuple[str, int]]
) -> list[Option]:
    """Return the rows; a size larger than the split is disabled with the number there is."""
    available = sources.size(split)
    rate = split_rate(config, sources.model, split)
    rows = [
        Option(
            title=title,
            value=size,
            description=f"About {about(rate.seconds(size))} on this machine" if rate else "",
            disabled=f"the split has {available:,}" if size > available else "",
        )
        for title, size in sizes
    ]
    if split == "calibration":
        rows.append(Option(title="Until stable", value=UNTIL_STABLE, description=STABLE))
    return [*rows, Option(title="Custom size", value=CUSTOM, description="Any number of reviews")]


def sampling_step() -> Step:
    """How reviews are drawn."""
    options = [
        Option(
            title="Stratified sampling (recommended)",
            value="stratified",
            description="As many positive as negative",
        ),
        Option(title="Random sampling", value="random", description="Drawn from all reviews alike"),
    ]
    return _choice_step("Sampling strategy", "sampling", options)


def metrics_step(sources: Sources) -> Step:
    """Which similarity metrics; those that need more reviews than there are cannot be chosen."""

    def answer(config: RunConfig, title: str, earlier: RunConfig) -> RunConfig | Back:
        size = config.calibration_size or sources.calibration_size
        options = []
        for name, metrics, description in menu_rows():
            needed = required_reviews(metrics, sources.model.hidden, config.rows)
            reason = f"needs {needed:,} reviews" if size < needed else ""
            options.append(Option(title=name, value=metrics, description=description, disabled=reason))
        default = next((option for option in options if option.value == earlier.metrics), None)
        value = choose(title, options, (FRUGAL,) if default is None or default.disabled else default.value)
        return value if isinstance(value, Back) else config.replace(metrics=value)

    return Step(name="Similarity metrics", ask=answer, field="metrics")


def clustering_step() -> Step:
    """How layers are grouped, or the exact plan for a size."""
    rows = [
        ("K-means (recommended)", "kmeans", "Groups of similar scores"),
        ("Percentile", "percentile", "Groups of equal size: top, middle, bottom"),
        ("Hierarchical", "hierarchical", "Merges the closest scores (Ward)"),
        ("Budget (exact, by target size)", "budget", "The best bits per layer for a size or a drop"),
    ]

    def answer(config: RunConfig, title: str, earlier: RunConfig) -> RunConfig | Back:
        several = config.sensitivities is None or is_width_file(config.sensitivities)
        options = [
            Option(title=name, value=value, description=text, disabled=_unfit(config, value, several))
            for name, value, text in rows
        ]
        value = choose(title, options, earlier.clustering, code="E-BUDGET", hint="Pick another file.")
        if isinstance(value, Back):
            return BACK
        target = (earlier.target or DEFAULT) if value == "budget" else None
        return config.replace(clustering=value, target=target)

    return Step(name="Clustering strategy", ask=answer, field="clustering")


def _unfit(config: RunConfig, strategy: str, several: bool) -> str:
    if strategy == "budget":
        return "" if several else "needs a widths_ file: see Full pipeline"
    return "the file is for a budget" if config.sensitivities and several else ""


def _choice_step(name: str, field: str, options: list[Option]) -> Step:
    def answer(config: RunConfig, title: str, earlier: RunConfig) -> RunConfig | Back:
        value = choose(title, options, getattr(earlier, field))
        return BACK if isinstance(value, Back) else config.replace(**{field: value})

    return Step(name=name, ask=answer, field=field)
