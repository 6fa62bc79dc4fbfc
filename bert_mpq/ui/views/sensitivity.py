"""Phase 1's results as tables with bars, and as a heat map."""

import math
from itertools import zip_longest

from rich.console import Console, RenderableType
from rich.text import Text

from bert_mpq.records.decision import decide
from bert_mpq.records.numbers import score_text
from bert_mpq.records.sensitivity import AnalysisResult, LayerScore, MetricAgreement, Scores, Stopping
from bert_mpq.settings.metrics import METRICS, Metric, title_of
from bert_mpq.ui.console import is_accessible, is_utf8
from bert_mpq.ui.views.panels import heading
from bert_mpq.ui.views.tables import plain_table

NEXT = " > next: confidence that the layer is really above the one below it."
INTERVALS = 64  # columns from which they are shown
SHADES, PLAIN_SHADES = " ░▒▓█", " .:+#"  # of the heat map
CELL = 4  # characters of shade
EIGHTHS = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")


def sensitivity_views(result: AnalysisResult, console: Console) -> list[RenderableType]:
    """Return a ranked table with bars per metric, the agreement of the metrics, what to be wary of, and which
    metric decides.
    """
    views: list[RenderableType] = []
    for scores in result.scores:
        views += _score_views(result, scores, console)
    views += heat_map(result, decide(result).metric, console)
    if any(layer.interval for scores in result.scores for layer in scores.layers):
        shade = "░" if is_utf8(console) else "-"
        following = NEXT if console.width >= INTERVALS else ""
        drawn = "" if is_accessible() else f" ({shade} from end to end)"
        text = f"95 % intervals{drawn}: jackknife over blocks of reviews.{following}"
        views.append(Text(text))
    if result.stopping is not None:
        views.append(Text(_stopping(result.stopping)))
    pairs = [entry for entry in result.agreement if entry.spearman is not None]
    if pairs:
        views.append(heading("Rank agreement over the layers (Spearman; KL = damage to the logits)"))
        views += map(_agreement, pairs)
    ends = [*_warnings(result), decide(result).sentence]
    if len(result.config.widths) > 1:
        ends.append(f"A budget goes by {METRICS[result.config.score].title}, which has every width.")
    return [*views, *map(Text, ends)]


def _stopping(stopping: Stopping) -> str:
    if stopping.used == stopping.available:
        return f"All {stopping.used:,} reviews were needed: fewer left the bit allocation uncertain."
    certain = f"{math.floor(100 * stopping.confidence)} % sure that all of them give the same bit allocation"
    return f"Stopped after {stopping.used:,} of {stopping.available:,} reviews: {certain}."


def _agreement(pair: MetricAgreement) -> Text:
    line = f"  {title_of(pair.first)} and {title_of(pair.second)}: {pair.spearman:+.2f}"
    if pair.flagged:
        layers = ", ".join(f"layer_{layer}" for layer in pair.flagged)
        line += f"; look into {layers} (ordered oppositely, beyond the intervals)"
    return Text(line)


def _score_views(result: AnalysisResult, scores: Scores, console: Console) -> list[RenderableType]:
    facts = METRICS[scores.metric]
    intervals = any(layer.interval for layer in scores.layers) and console.width >= INTERVALS
    show_kl = bool(result.kl) and not facts.of_logits and console.width >= (78 if intervals else 72)
    names = ["Rank", "Layer", "Score"]
    names += ["95 % interval", "> next"] if intervals else []
    names += ["KL"] if show_kl else []
    drawn = [] if is_accessible() else [""]
    table = plain_table(*names, *drawn, left=("Layer", "95 % interval", ""))
    length = max(8, min(30, console.width - 34 - 28 * intervals - 10 * show_kl))
    largest = max((top for layer in scores.layers if (top := _span(layer)[1]) == top), default=0.0)
    for rank, (index, confidence) in enumerate(zip_longest(scores.ranking, scores.rank_confidence), start=1):
        layer = scores.layers[index]
        cells = [str(rank), f"layer_{index}", score_text(layer.value)]
        cells += [_interval(layer), _percent(confidence)] if intervals else []
        cells += [score_text(result.kl[index])] if show_kl else []
        bars = [bar(_span(layer), largest, length, is_utf8(console)) for _ in drawn]
        table.add_row(*cells, *bars)
    return [heading(f"Layer sensitivity, {facts.loss_title} (higher = more fragile)"), table]


def _span(layer: LayerScore) -> tuple[float, float]:
    return layer.interval or (layer.value, layer.value)


def _interval(layer: LayerScore) -> str:
    if layer.interval is None:
        return ""
    decimals = 5 if layer.interval[0] >= 1e-4 else 6
    return "-".join(score_text(bound, decimals) for bound in layer.interval)


def _percent(confidence: float | None) -> str:
    if confidence is None:
        return ""
    return ">99 %" if confidence > 0.99 else f"{math.floor(100 * confidence)} %"


def bar(span: tuple[float, float], largest: float, length: int, blocks: bool) -> str:
    """Return a bar of at most ``length`` characters: solid up to an interval, light along it.

    Args:
        span: both ends of the interval; twice the score where there is none.
        largest: what the full length stands for.
        blocks: whether the console can show block characters.
    """
    low, high = span
    if not (largest > 0 and high == high):
        return ""
    solid, light = ("█", "░") if blocks else ("#", "-")
    eighths = round(8 * length * low / largest)
    end = round(length * high / largest)
    if high > low or not blocks:
        start = min(round(eighths / 8), end)
        return solid * start + light * (end - start)
    return solid * (eighths // 8) + EIGHTHS[eighths % 8]


def _few(result: AnalysisResult, scores: Scores) -> str:
    """Return what too few reviews do, and how many would do."""
    rows = result.config.rows
    directions = max(sum(layer.ranks) for layer in scores.layers)
    enough = f"{10 * directions:,} {rows} would do for {directions:,} directions"
    return f"{title_of(scores.metric)}: too few {rows}, so the scores read too similar; {enough}."


def _warnings(result: AnalysisResult) -> list[str]:
    """Say in words every status that is not ok, each once."""
    lines: dict[str, None] = {}
    for scores in result.scores:
        title = title_of(scores.metric)
        for index, layer in enumerate(scores.layers):
            if layer.status == "few_samples":
                lines[_few(result, scores)] = None
            elif layer.explanation:
                lines[f"{title}, layer_{index}: {layer.explanation}."] = None
            if layer.value < 2 * layer.noise_floor:
                noise = f"no larger than its rounding error ({layer.noise_floor:.0e})"
                lines[f"{title}, layer_{index}: the score is {noise}."] = None
    return list(lines)


def heat_map(result: AnalysisResult, deciding: Metric, console: Console) -> list[RenderableType]:
    """Return each score over the largest of its metric, layers x metrics, darker = more fragile.

    Nothing where only one metric has a score for every layer.

    Args:
        deciding: the metric whose scores decide the bits; its column is marked.
    """
    columns = {scores.metric: scores.values for scores in result.scores if scores.usable}
    if result.kl:
        columns.setdefault("kl", result.kl)
    if len(columns) < 2:
        return []
    names = [f"{METRICS[metric].title}{' *' if metric == deciding else ''}" for metric in columns]
    table = plain_table("Layer", *names, left=("Layer", *names))
    shades = SHADES if is_utf8(console) else PLAIN_SHADES
    for layer, row in enumerate(zip(*columns.values(), strict=True)):
        shares = (value / (max(values) or 1.0) for value, values in zip(row, columns.values(), strict=True))
        table.add_row(f"layer_{layer}", *(_cell(share, shades) for share in shares))
    title = "Heat map: each score over the largest of its metric (* decides the bits)"
    return [heading(title) if deciding in columns else Text(title.partition(" (")[0]), table]


def _cell(share: float, shades: str) -> str:
    figure = f"{share:.2f}"
    if is_accessible():
        return figure
    return f"{shades[min(len(shades) - 1, int(share * len(shades)))] * CELL} {figure}"
