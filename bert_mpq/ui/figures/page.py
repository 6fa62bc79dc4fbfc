"""The results of a folder as one HTML page that needs nothing else: no network, no script, no other file."""

import html
import re
from pathlib import Path
from string import Template

from bert_mpq.records.files import write_atomic
from bert_mpq.records.numbers import megabytes, score_text
from bert_mpq.records.sensitivity import AnalysisResult
from bert_mpq.runs.compare import ComparedGroup
from bert_mpq.settings.metrics import METRICS, title_of
from bert_mpq.settings.paths import user_path
from bert_mpq.ui.figures.plots import Material, draw

PAGE = Template(
    """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>bert-mpq: results</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; color: #222 }
body { max-width: 68rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
table { border-collapse: collapse; margin: .8rem 0; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .8rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid #ddd }
th { border-bottom: 2px solid #888 } td.text, th.text { text-align: left }
tr.best td { background: #eef4fa; font-weight: 600 }
.scroll { overflow-x: auto } svg { max-width: 100%; height: auto } p.note { color: #555 }
</style>
</head>
<body>
<h1>Mixed-precision quantization: results</h1>
$body
<p class="note">Sizes are of the whole model, computed; 1 MB = 1024<sup>2</sup> bytes. Runs on other reviews
are never ranked together.</p>
</body>
</html>
"""
)


def html_page(path: Path | str, material: Material) -> Path:
    """Write ``material`` as one page.

    Raises:
        MpqError: E-EXTRA without matplotlib; E-READONLY or E-DISK.
    """
    svg = draw(material, "svg").decode("utf-8")
    parts = [svg[svg.index("<svg") :]]
    if material.sensitivity is not None:
        parts.append(_sensitivities(material.sensitivity))
    parts += map(_group, material.comparison.groups)
    return write_atomic(user_path(path), PAGE.substitute(body="\n".join(parts)))


def _sensitivities(result: AnalysisResult) -> str:
    header = ["layer"]
    for scores in result.scores:
        header += [METRICS[scores.metric].loss_title, "95 % interval"]
    show_kl = bool(result.kl) and all(scores.metric != "kl" for scores in result.scores)
    header += [METRICS["kl"].loss_title] if show_kl else []
    rows = []
    for layer in range(result.setting.layers):
        row = [f"layer_{layer}"]
        for scores in result.scores:
            score = scores.layers[layer]
            shown = "" if score.interval is None else "{:.3g} to {:.3g}".format(*score.interval)
            row += [score_text(score.value), shown]
        rows.append((False, [*row, *([score_text(result.kl[layer])] if show_kl else [])]))
    sample = result.sample
    title = f"Sensitivity of {result.setting.model_title}"
    bits = result.config.widths[0]
    text = f"{sample.size:,} reviews ({sample.split}, {sample.sampling}), probe of {bits} bits"
    return _section(title, text, header, rows, 1)


def _group(group: ComparedGroup) -> str:
    header = ["bits", "clustering", "scores", "quantizer", "accuracy", "change", "F1", "size", "ratio"]
    losses = any(run.loss_over_optimum is not None for run in group.runs)
    header += ["loss / optimum"] if losses else []
    size = f"{megabytes(group.whole_original_bits):.1f} MB"
    first = ["FP32", "", "", "", f"{group.before.accuracy:.4f}", "", f"{group.before.f1:.4f}", size, ""]
    rows = [(False, [*first, *([""] if losses else [])])]
    for run in group.runs:
        row = [
            "/".join(map(str, run.group_bits)) + (" QAT" if run.trained else ""),
            run.clustering,
            title_of(run.metric),
            run.quantizer,
            f"{run.accuracy:.4f}",
            f"{round(-100 * run.drop, 2) + 0.0:+.2f} pp",
            f"{run.f1:.4f}",
            f"{megabytes(run.whole_bits):.1f} MB",
            f"{run.whole_ratio:.2f}x",
        ]
        if losses:
            row.append("" if run.loss_over_optimum is None else f"{run.loss_over_optimum:.2f}")
        rows.append((run.pareto, row))
    text = (
        f"{group.size:,} reviews of {group.data} ({group.split}), {group.max_length} tokens at most. Marked:"
        " no other run is as small and more accurate, or as accurate and smaller."
    )
    return _section(f"Evaluations of {group.model}", text, header, rows, 4)


def _section(title: str, text: str, header: list[str], rows: list[tuple[bool, list[str]]], words: int) -> str:
    """Return a table whose first ``words`` columns are text; rows marked True stand out."""

    def cells(tag: str, row: list[str]) -> str:
        return "".join(
            f"<{tag}{' class=text' if index < words else ''}>{html.escape(cell)}</{tag}>"
            for index, cell in enumerate(row)
        )

    lines = [f"<tr>{cells('th', header)}</tr>"]
    lines += [f"<tr{' class=best' if best else ''}>{cells('td', row)}</tr>" for best, row in rows]
    table = "<div class=scroll><table>\n" + "\n".join(lines) + "\n</table></div>"
    return f"<h2>{html.escape(title)}</h2>\n<p>{html.escape(text)}</p>\n{_plain(table)}"


def _plain(text: str) -> str:
    """Keep what a file may hold by accident out of the page: control characters are not HTML."""
    return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", "", text)
