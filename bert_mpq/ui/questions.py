"""The wizard's questions, in the words of the original tool's guide."""

import textwrap
import time

from bert_mpq.allocation.clustering import allocate, group_layers
from bert_mpq.artifacts.sensitivity_files import list_sensitivities, read_sensitivities
from bert_mpq.config import RunConfig, parse_bits
from bert_mpq.errors import MpqError, UsageError
from bert_mpq.flags import read_number
from bert_mpq.planning import Sources, required_reviews
from bert_mpq.quantizer import quantizers_for
from bert_mpq.results import Sensitivities
from bert_mpq.sources.hardware import accelerator
from bert_mpq.sources.reviews import Split
from bert_mpq.ui.choices import Option, ask_text, choose
from bert_mpq.ui.steps import BACK, Back, Step

CUSTOM = "custom"
PRESETS: dict[int, list[tuple[tuple[int, ...], str]]] = {
    3: [((16, 8, 4), "conservative (recommended)"), ((8, 4, 2), "aggressive")],
    4: [
        ((32, 16, 8, 4), "conservative (recommended)"),
        ((16, 8, 4, 2), "moderate"),
        ((8, 4, 2, 2), "aggressive"),
    ],
}


def size_options(split: Split, available: int, offline: bool) -> list[Option]:
    """Return the sizes of the guide; those larger than the split are disabled with the number there is."""
    notes = {
        "calibration": ("fast, noisy", "medium", "full IMDB train, recommended"),
        "evaluation": ("fast", "medium", "full test, recommended"),
    }[split]
    full = f"25k ({notes[2]})"
    if available != 25_000:
        half = "calibration" if split == "calibration" else "held-out"
        full = f"{available:,} (full {half} split{' offline' if offline else ''}, recommended)"
    sizes = [("1k (smoke test, CPU)", 1_000)] if accelerator() == "cpu" else []
    sizes += [(f"5k ({notes[0]})", 5_000), (f"10k ({notes[1]})", 10_000)]
    rows = [
        Option(title=title, value=size, disabled=f"the split has {available:,}" if size > available else "")
        for title, size in sizes
    ]
    return [*rows, Option(title=full, value=available), Option(title="Custom size", value=CUSTOM)]


def _size_step(name: str, field: str, split: Split, sources: Sources) -> Step:
    available = sources.size(split)
    least = 4 if split == "calibration" else 2

    def check(text: str) -> str:
        try:
            number = read_number(text)
        except UsageError as error:
            return error.title.rstrip(".")
        if number > available:
            return f"The split has {available:,} reviews: choose {available:,} or fewer"
        return "" if number >= least else f"Choose {least} or more"

    def answer(config: RunConfig, title: str, earlier: RunConfig) -> RunConfig | Back:
        while True:
            options = size_options(split, available, sources.data.kind == "wheel")
            default = min(1_000, available) if accelerator() == "cpu" else available
            size = choose(title, options, getattr(earlier, field) or default)
            if size == CUSTOM:
                text = ask_text(f"{name} (up to {available:,})", check)
                if isinstance(text, Back):
                    continue
                size = read_number(text)
            return size if isinstance(size, Back) else config.replace(**{field: size})

    return Step(name=name, ask=answer, field=field)


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
    """Which similarity metrics; PWCCA only where there are enough reviews."""
    rows = [
        ("PWCCA + CKA (recommended)", ("pwcca", "cka"), "Weighted canonical correlations, and a check"),
        ("PWCCA only", ("pwcca",), "Canonical correlations, weighted by what they explain"),
        ("SVCCA only", ("svcca",), "Canonical correlations of the main directions"),
        ("CKA only", ("cka",), "Kernel alignment: robust, few reviews suffice"),
        ("All three (PWCCA + SVCCA + CKA)", ("pwcca", "svcca", "cka"), "To compare them"),
    ]

    def answer(config: RunConfig, title: str, earlier: RunConfig) -> RunConfig | Back:
        size = config.calibration_size or sources.calibration_size
        options = []
        for name, metrics, description in rows:
            needed = required_reviews(metrics, sources.model.hidden)
            reason = f"needs {needed:,} reviews" if size < needed else ""
            options.append(Option(title=name, value=metrics, description=description, disabled=reason))
        default = next((option for option in options if option.value == earlier.metrics), None)
        value = choose(title, options, ("cka",) if default is None or default.disabled else default.value)
        return value if isinstance(value, Back) else config.replace(metrics=value)

    return Step(name="Similarity metrics", ask=answer, field="metrics")


def file_step(sources: Sources) -> Step:
    """Which sensitivity file; those that do not fit are shown with the reason."""

    def answer(config: RunConfig, title: str, earlier: RunConfig) -> RunConfig | Back:
        value = choose(
            title,
            file_options(config, sources),
            earlier.sensitivities,
            code="E-LAYERS",
            hint="Run Phase 1 for this model.",
        )
        return value if isinstance(value, Back) else config.replace(sensitivities=value)

    return Step(name="Load sensitivity file", ask=answer, field="sensitivities")


def file_options(config: RunConfig, sources: Sources | None) -> list[Option]:
    """Return the files in ``Sensitivities/``, newest first; without ``sources`` any readable one fits."""
    options = []
    for file in list_sensitivities(config.output):
        facts, title = file.sensitivities, file.path.name
        problem = file.problem.removeprefix(title).lstrip(": ")
        if facts is not None and sources is not None:
            problem = _misfit(facts, sources)
        description = f"{len(facts.values)} layers" if facts else ""
        if facts and facts.metric:
            description += f", {facts.metric}, {facts.samples} reviews"
        description += time.strftime(", %Y-%m-%d %H:%M", time.localtime(file.modified)) if facts else ""
        problem = textwrap.shorten(problem, 71 - len(title), placeholder="...") if problem else ""
        options.append(Option(title=title, value=str(file.path), description=description, disabled=problem))
    return options


def _misfit(facts: Sensitivities, sources: Sources) -> str:
    """Say in few words why a file is not this model's; "" when it is."""
    if len(facts.values) != sources.model.layers:
        return f"{len(facts.values)} layers, the model has {sources.model.layers}"
    if facts.model_name and facts.model_name != sources.model.name:
        return f"measured on {facts.model_name}"
    return ""


def clustering_step() -> Step:
    """How layers are grouped."""
    options = [
        Option(title="K-means (recommended)", value="kmeans", description="Groups of similar scores"),
        Option(
            title="Percentile", value="percentile", description="Groups of equal size: top, middle, bottom"
        ),
        Option(title="Hierarchical", value="hierarchical", description="Merges the closest scores (Ward)"),
    ]
    return _choice_step("Clustering strategy", "clustering", options)


def groups_step(layers: int) -> Step:
    """How many groups."""

    def answer(config: RunConfig, title: str, earlier: RunConfig) -> RunConfig | Back:
        rows: list[tuple[int, str, str]] = [(3, "3 groups (simple)", "A good balance for most models")]
        rows += [(4, "4 groups (fine control)", "When 3 groups lose more than 2 % accuracy")]
        options = []
        for count, name, description in rows:
            problem = _groups_problem(config, count, layers)
            options.append(Option(title=name, value=count, description=description, disabled=problem))
        hint = "Pick another sensitivity file or clustering."
        count = choose(title, options, len(earlier.bits), code="E-GROUPS", hint=hint)
        if isinstance(count, Back):
            return count
        return config if count == len(config.bits) else config.replace(bits=PRESETS[count][0][0])

    return Step(name="Number of precision groups", ask=answer, field="bits")


def bits_step() -> Step:
    """How many bits per group; each preset shows what it comes to where the scores are known."""

    def answer(config: RunConfig, title: str, earlier: RunConfig) -> RunConfig | Back:
        count = len(config.bits)
        while True:
            options = [
                Option(
                    title=f"[{', '.join(map(str, bits))}] {name}",
                    value=bits,
                    description=_size_of(config, bits),
                )
                for bits, name in PRESETS[count]
            ]
            options.append(Option(title="Custom (specify manually)", value=CUSTOM))
            value = choose(title, options, earlier.bits if len(earlier.bits) == count else config.bits)
            if value == CUSTOM:
                example = "16,8,4,2" if count == 4 else "32,16,8"
                message = f"Bits per group, most sensitive first (e.g. {example})"
                text = ask_text(message, lambda typed: _bits_problem(typed, count))
                if isinstance(text, Back):
                    continue
                value = parse_bits(text, count)
            return value if isinstance(value, Back) else config.replace(bits=value)

    return Step(name="Bit precision assignment", ask=answer, field="bits")


def phase_1_steps(sources: Sources) -> list[Step]:
    """Return the steps of Phase 1."""
    size = _size_step("Calibration set size", "calibration_size", "calibration", sources)
    return [size, sampling_step(), metrics_step(sources)]


def phase_2_steps(sources: Sources, with_file: bool) -> list[Step]:
    """Return the steps of Phase 2; without the file when Phase 1 is about to write it."""
    size = _size_step("Evaluation set size", "eval_size", "evaluation", sources)
    file = [file_step(sources)] if with_file else []
    return [size, *file, clustering_step(), groups_step(sources.model.layers), bits_step()]


def _choice_step(name: str, field: str, options: list[Option]) -> Step:
    def answer(config: RunConfig, title: str, earlier: RunConfig) -> RunConfig | Back:
        value = choose(title, options, getattr(earlier, field))
        return BACK if isinstance(value, Back) else config.replace(**{field: value})

    return Step(name=name, ask=answer, field=field)


def _bits_problem(text: str, count: int) -> str:
    try:
        parse_bits(text, count)
    except MpqError as error:
        return error.title.rstrip(".")
    return ""


def _groups_problem(config: RunConfig, count: int, layers: int) -> str:
    if count > layers:
        return f"the model has {layers} layers"
    try:
        if config.sensitivities:
            group_layers(read_sensitivities(config.sensitivities).values, count, config.clustering)
    except MpqError as error:
        return error.title.rstrip(".")
    return ""


def _size_of(config: RunConfig, bits: tuple[int, ...]) -> str:
    if not config.sensitivities:
        return ""
    try:
        scores = read_sensitivities(config.sensitivities).values
        allocated = allocate(scores, bits, config.clustering, config.protect_last).bits
    except MpqError:
        return ""
    used = quantizers_for(config.quantizer, allocated, config.group_size)
    scales = {entry.bits: entry.scale_bits for entry in used}
    mean = sum(width + scales.get(width, 0.0) for width in allocated) / len(allocated)
    return f"{mean:.2f} bits a weight on average, encoder {32 / mean:.2f}x smaller"
