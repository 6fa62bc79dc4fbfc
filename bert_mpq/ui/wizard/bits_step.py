"""How many groups, and their bits: presets with what they come to, and your own."""

from bert_mpq.allocation.clustering import allocate, group_layers
from bert_mpq.records.numbers import megabytes
from bert_mpq.records.sensitivity_file import read_sensitivities
from bert_mpq.settings.bits import parse_bits
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.quantizers import quantizers_for
from bert_mpq.sources.classifiers import ModelSource
from bert_mpq.ui.wizard.prompts import Option, ask_text, choose
from bert_mpq.ui.wizard.steps import Back, Step

CUSTOM = "custom"
PRESETS: dict[int, list[tuple[tuple[int, ...], str]]] = {
    3: [((16, 8, 4), "conservative (recommended)"), ((8, 4, 2), "aggressive")],
    4: [
        ((32, 16, 8, 4), "conservative (recommended)"),
        ((16, 8, 4, 2), "moderate"),
        ((8, 4, 2, 2), "aggressive"),
    ],
}


def groups_step(model: ModelSource) -> Step:
    """How many groups."""

    def answer(config: RunConfig, title: str, earlier: RunConfig) -> RunConfig | Back:
        rows: list[tuple[int, str, str]] = [(3, "3 groups (simple)", "A good balance for most models")]
        rows += [(4, "4 groups (fine control)", "When 3 groups lose more than 2 % accuracy")]
        options = []
        for count, name, description in rows:
            problem = _groups_problem(config, count, model.layers)
            options.append(Option(title=name, value=count, description=description, disabled=problem))
        hint = "Pick another sensitivity file or clustering."
        count = choose(title, options, len(earlier.bits), code="E-GROUPS", hint=hint)
        if isinstance(count, Back):
            return count
        return config if count == len(config.bits) else config.replace(bits=PRESETS[count][0][0])

    return Step(name="Number of precision groups", ask=answer, field="bits")


def bits_step(model: ModelSource) -> Step:
    """How many bits per group; each preset shows what it comes to."""

    def answer(config: RunConfig, title: str, earlier: RunConfig) -> RunConfig | Back:
        count = len(config.bits)
        last = earlier.bits if len(earlier.bits) == count else config.bits
        presets = PRESETS[count]
        while True:
            options = [
                Option(
                    title=f"[{_listed(bits)}] {name}", value=bits, description=size_text(config, bits, model)
                )
                for bits, name in presets
            ]
            custom = "Your own, e.g. to give the sensitive groups more"
            options.append(Option(title="Custom (specify manually)", value=CUSTOM, description=custom))
            own = last not in [bits for bits, _ in presets]
            value = choose(title, options, CUSTOM if own else last)
            if value == CUSTOM:
                text = _ask_bits(count, last if own else None)
                if isinstance(text, Back):
                    continue
                value = parse_bits(text, count)
            return value if isinstance(value, Back) else config.replace(bits=value)

    return Step(name="Bit precision assignment", ask=answer, field="bits")


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


def _ask_bits(count: int, last: tuple[int, ...] | None) -> str | Back:
    def check(typed: str) -> str:
        try:
            parse_bits(typed, count)
        except MpqError as error:
            return error.title.rstrip(".")
        return ""

    example = "16,8,4,2" if count == 4 else "32,16,8"
    default = ",".join(map(str, last)) if last else ""
    text: str | Back = ask_text(f"Bits per group, most sensitive first (e.g. {example})", check, default)
    return text


def _groups_problem(config: RunConfig, count: int, layers: int) -> str:
    if count > layers:
        return f"the model has {layers} layers"
    try:
        if config.sensitivities:
            group_layers(read_sensitivities(config.sensitivities).values, count, config.clustering)
    except MpqError as error:
        return error.title.rstrip(".")
    return ""


def _listed(bits: tuple[int, ...]) -> str:
    return ", ".join(map(str, bits))
