"""How many groups, and their bits: presets with what they come to, and your own."""

from bert_mpq.allocation.clustering import allocate, group_layers
from bert_mpq.records.numbers import megabytes
from bert_mpq.records.sensitivity_file import read_sensitivities
from bert_mpq.settings.bits import parse_bits
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.quantizers import quantizers_for
from bert_mpq.sources.classifiers import ModelSource
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
        rows = [(3, "3 groups (simple)", "A good balance for most models")]
        rows += [(4, "4 groups (fine control)", "When 3 groups lose more than 2 % accuracy")]
        return [
            Option(
                title=name,
                value=count,
                description=description,
                disabled=_groups_problem(config, count, model.layers),
            )
            for count, name, description in rows
        ]

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
            (f"[{', '.join(map(str, bits))}] {name}", bits, size_text(config, bits, model))
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
        last=last,
        shown=lambda bits: ",".join(map(str, bits)),
        when=_clusters,
    )


def _clusters(config: RunConfig) -> bool:
    return config.clustering != "budget"


def size_text(config: RunConfig, bits: tuple[int, ...], model: ModelSource) -> str:
    """Return the mean bits and the size that ``bits`` give, or the range before the scores are known."""
    count, layers = len(bits), model.layers
    if config.sensitivities:
        try:
            scores = read_sensitivities(config.sensitivities).values
            means = [_mean(config, allocate(scores, bits, config.clustering, config.protect_last).bits)]
        except MpqError:
            return ""
    else:  # every group has one layer at least
        rest = layers - count
        means = [_mean(config, (*bits, *(rest * [bits[which]]))) for which in (-1, 0)]
    mean = " to ".join(f"{value:.1f}" for value in means)
    if model.parameters is None:
        ratio = " to ".join(f"{32 / value:.1f}x" for value in means)
        return f"{mean} bits a weight, encoder {ratio} smaller"
    weights = layers * model.layer_weights
    whole = 32 * model.parameters
    sizes = [whole - weights * (32 - value) for value in means]
    size = " to ".join(f"{megabytes(round(each)):.0f}" for each in sizes)
    ratio = " to ".join(f"{whole / each:.2f}" for each in sizes)
    return f"{mean} bits a weight; model {size} of {megabytes(whole):.0f} MB ({ratio}x smaller)"


def _mean(config: RunConfig, bits: tuple[int, ...]) -> float:
    used = quantizers_for(config.quantizer, bits, config.group_size)
    scales = {entry.bits: entry.scale_bits for entry in used}
    return sum(width + scales.get(width, 0.0) for width in bits) / len(bits)


def _groups_problem(config: RunConfig, count: int, layers: int) -> str:
    if count > layers:
        return f"the model has {layers} layers"
    file = config.sensitivities
    if file is None:
        return ""
    return problem_of(lambda: group_layers(read_sensitivities(file).values, count, config.clustering))
