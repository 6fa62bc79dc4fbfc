"""The lines above the menu: what it is, and model, data and device in use."""

from pathlib import Path

from rich.console import Console, RenderableType
from rich.rule import Rule
from rich.text import Text

from bert_mpq import __version__
from bert_mpq.compute.hardware import accelerator
from bert_mpq.settings.config import RunConfig
from bert_mpq.ui.console import is_accessible, is_utf8
from bert_mpq.ui.wizard.settings import model_text

TITLE = "Mixed-precision quantization of BERT classifiers"


def header(config: RunConfig, console: Console) -> list[RenderableType]:
    """Return the lines that open the menu."""
    if is_accessible():
        return [f"bert-mpq {__version__}", TITLE, setting_line(config, console), ""]
    rule = Rule(
        f"bert-mpq {__version__}", align="left", style="none", characters="─" if is_utf8(console) else "-"
    )
    return [rule, TITLE, setting_line(config, console), ""]


def setting_line(config: RunConfig, console: Console) -> Text:
    """Return model, data and device in use, and the other settings where they are not the defaults."""
    facts = [
        f"model {model_text(config.model)}",
        f"data {'imdb' if config.data == 'imdb' else Path(config.data).name}",
        f"device {accelerator() if config.device == 'auto' else config.device}",
    ]
    facts += [f"max length {config.max_length}"] if config.max_length else []
    facts += [f"output {config.output}"] if config.output != "." else []
    between = ", " if is_accessible() else " · " if is_utf8(console) else " | "
    return Text(between.join(facts), overflow="fold")
