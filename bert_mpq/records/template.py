"""Texts that are Jinja templates: text with a few figures in it is easiest to read as text."""

from pathlib import Path

from bert_mpq.records.numbers import megabytes, score_text
from bert_mpq.settings.embeddings import EMBEDDINGS
from bert_mpq.settings.metrics import METRICS, title_of, titles_of


def render(template: Path, **values: object) -> str:
    """Return a template, filled in; what goes into HTML is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=select_autoescape(("html.jinja",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    for function in (megabytes, score_text, title_of, titles_of):
        environment.filters[function.__name__] = function
    return environment.get_template(template.name).render(metrics=METRICS, embeddings=EMBEDDINGS, **values)
