"""Phase 1's results as tables with bars."""

from rich.console import Console, RenderableType
from rich.text import Text

from bert_mpq.artifacts.sensitivity_files import METRIC_TITLES
from bert_mpq.results import Scores, SensitivityResult
from bert_mpq.ui.console import is_utf8
from bert_mpq.ui.views import heading, plain_table

EIGHTHS = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")


def sensitivity_views(result: SensitivityResult, console: Console) -> list[RenderableType]:
    """Return a ranked table with bars per metric, the agreement of the metrics, and what to be wary of."""
    views: list[RenderableType] = []
    for scores in result.scores:
        views += _score_views(result, scores, console)
    pairs = [entry for entry in result.agreement if entry.spearman is not None]
    if pairs:
        views.append(heading("Rank agreement over the layers (Spearman; KL = damage to the logits)"))
        views += [
            Text(f"  {METRIC_TITLES[pair.first]} and {METRIC_TITLES[pair.second]}: {pair.spearman:+.2f}")
            for pair in pairs
        ]
    return [*views, *map(Text, _warnings(result))]


def _score_views(result: SensitivityResult, scores: Scores, console: Console) -> list[RenderableType]:
    kind = "KL of the logits" if scores.metric == "kl" else f"1 - {METRIC_TITLES[scores.metric]}"
    show_kl = bool(result.kl) and scores.metric != "kl" and console.width >= 72
    table = plain_table()
    table.add_column("Rank", justify="right", no_wrap=True)
    table.add_column("Layer", no_wrap=True)
    table.add_column("Score", justify="right", no_wrap=True)
    if show_kl:
        table.add_column("KL of logits", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    length = max(10, min(30, console.width - (50 if show_kl else 34)))
    finite = [value for value in scores.values if value == value]
    order = sorted(range(len(scores.layers)), key=lambda index: -scores.values[index])
    for rank, index in enumerate(order, start=1):
        value = scores.values[index]
        cells = [str(rank), f"layer_{index}", f"{value:.6f}"]
        cells += [f"{result.kl[index]:.6f}"] if show_kl else []
        table.add_row(*cells, bar(value, max(finite, default=0.0), length, is_utf8(console)))
    return [heading(f"Layer sensitivity, {kind} (higher = more fragile)"), table]


def bar(value: float, largest: float, length: int, blocks: bool) -> str:
    """Return a bar of at most ``length`` characters; eighths of a block where the console has them."""
    if not (largest > 0 and value == value):
        return ""
    if not blocks:
        return "#" * round(length * value / largest)
    eighths = round(8 * length * value / largest)
    return "█" * (eighths // 8) + EIGHTHS[eighths % 8]


def _warnings(result: SensitivityResult) -> list[str]:
    """Say in words every status that is not ok, each once."""
    lines: dict[str, None] = {}
    for scores in result.scores:
        title = METRIC_TITLES[scores.metric]
        for index, layer in enumerate(scores.layers):
            if layer.status == "few_samples":
                lines[f"{title}: few reviews for so many directions: the scores read too similar."] = None
            elif layer.explanation:
                lines[f"{title}, layer_{index}: {layer.explanation}."] = None
    return list(lines)
