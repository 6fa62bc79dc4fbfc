"""How many groups, and their bits: presets with what they come to, and your own."""

from bert_mpq.allocation.clustering import allocate, group_layers
from bert_mpq.records.sensitivity_file import read_sensitivities
from bert_mpq.runs.outcome import extremes, outcome_of
from bert_mpq.settings.bits import parse_bits
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import MpqError
from bert_mpq.sources.classifiers import ModelSource
from bert_mpq.ui.views.outcome import outcome_text
from bert_mpq.ui.wizard.prompts import Option, problem_of, rows_of
from bert_mpq.ui.wizard.steps import CUSTOM, Step

BITS_PRESETS: dict[int, list[tuple[tuple[int, ...], str]]] = {
    3: [((16, 8, 4), "conservative (recommended)"), ((8, 4, 2), "aggressive")],
    4: [
        ((32, 16, 8, 4), "conservative (recommended)"),
        ((16, 8, 4, 2), "moderate"),
        ((8, 4, 2, 2), "aggressive"),
    ],
}
BITS_EXAMPLES = {3: "32,16,8", 4: "16,8,4,2"}  # of what is no preset


def groups_step(model: ModelSource) -> Step:
    """How many groups."""

    def options(config: RunConfig) -> list[Option]:
        rows = [("3 groups (simple)", 3, "A good balance for most models")]
        rows += [("4 groups (fine control)", 4, "When 3 groups lose more than 2 % accuracy")]
        return rows_of(*((*row, _groups_problem(config, row[1], model.layers)) for row in rows))

    def take(config: RunConfig, count: int) -> RunConfig:
        return config if count == len(config.bits) else config.replace(bits=BITS_PRESETS[count][0][0])

    return Step(
        name="Number of precision groups",
        field="bits",
        options=options,
        last=lambda config, earlier: len(earlier.bits),
        take=take,
        when=_clusters,
        code="E-GROUPS",
        hint="Pick another sensitivity file or clustering.",
    )


def bits_step(model: ModelSource) -> Step:
    """How many bits per group; each preset shows what it comes to."""

    def options(config: RunConfig) -> list[Option]:
        presets = [
            (f"[{', '.join(map(str, bits))}] {name}", bits, bits_text(config.replace(bits=bits), model))
            for bits, name in BITS_PRESETS[len(config.bits)]
        ]
        custom = "Your own, e.g. to give the sensitive groups more"
        return rows_of(*presets, ("Custom (specify manually)", CUSTOM, custom))

    def last(config: RunConfig, earlier: RunConfig) -> tuple[int, ...]:
        return earlier.bits if len(earlier.bits) == len(config.bits) else config.bits

    return Step(
        name="Bit precision assignment",
        field="bits",
        options=options,
        line=lambda config: f"Bits per group, most sensitive first (e.g. {BITS_EXAMPLES[len(config.bits)]})",
        read=lambda config, text: parse_bits(text, len(config.bits)),
        remark=lambda config: bits_text(config, model),
        last=last,
        shown=lambda bits: ",".join(map(str, bits)),
        when=_clusters,
    )


def _clusters(config: RunConfig) -> bool:
    return config.clustering != "budget"


def bits_text(config: RunConfig, model: ModelSource) -> str:
    """Return what the bits per group come to; the range of it before the scores are known."""
    if config.sensitivities is None:
        return outcome_text(*extremes(config, model))
    try:
        scores = read_sensitivities(config.sensitivities).values
        allocation = allocate(scores, config.bits, config.clustering, config.protect_last)
    except MpqError:
        return ""
    return outcome_text(outcome_of(config, allocation.bits, model))


def _groups_problem(config: RunConfig, count: int, layers: int) -> str:
    if count > layers:
        return f"the model has {layers} layers"
    file = config.sensitivities
    if file is None:
        return ""
    return problem_of(lambda: group_layers(read_sensitivities(file).values, count, config.clustering))
