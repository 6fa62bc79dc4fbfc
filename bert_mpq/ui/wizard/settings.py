"""The settings: model, data, device, length, quantizer, folder; each is checked before it is accepted."""

from collections.abc import Callable
from typing import Any

from rich.console import Console

from bert_mpq.compute.hardware import accelerator
from bert_mpq.records.files import EVALUATION, SENSITIVITIES, check_writable
from bert_mpq.settings import quantizers
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import MpqError, UsageError
from bert_mpq.settings.flag import read_number
from bert_mpq.settings.flags import FLAGS
from bert_mpq.sources.classifiers import DEFAULT_MODEL, LONGEST, find_classifier
from bert_mpq.sources.embedded.bases import BASE, EMBEDDED, SMALL
from bert_mpq.sources.embedded.files import installed
from bert_mpq.sources.reviews import find_reviews, known_size, load_reviews
from bert_mpq.ui.console import error_console
from bert_mpq.ui.views import panels as views
from bert_mpq.ui.wizard.prompts import Option, ask_text, choose
from bert_mpq.ui.wizard.steps import Back

OTHER = "other"
DONE = "done"
AUTO = "auto"


def change_settings(config: RunConfig, output: Console) -> RunConfig:
    """Let the user change settings until they go back; return the new configuration.

    Raises:
        KeyboardInterrupt: Ctrl-C.
        EOFError: Ctrl-D.
    """
    chosen: Any = "model"
    while True:
        chosen = choose("Settings", _rows(config), chosen)
        if chosen == DONE or isinstance(chosen, Back):
            return config
        answer = SETTINGS[chosen](config, output)
        config = config if answer is None else answer


def model_text(model: str) -> str:
    """Return a model setting in words."""
    words = {"default": DEFAULT_MODEL, SMALL.name: "embedded classifier"}
    words[BASE.name] = "embedded base classifier"
    return words.get(model, model)


def _rows(config: RunConfig) -> list[Option]:
    values = {
        "model": ("Model", model_text(config.model), "Hub id, folder, or the embedded classifier"),
        "data": ("Data", config.data, "IMDB, or a local file with text and label"),
        "device": ("Device", config.device, "Where the model runs"),
        "max_length": ("Max length", str(config.max_length or AUTO), "Tokens per review; shorter is faster"),
        "quantizer": ("Quantizer", config.quantizer, "How weights below 16 bits are rounded"),
        "embeddings": ("Embeddings", config.embeddings, "Precision of the embedding tables"),
        "output": ("Output folder", config.output, "Holds Sensitivities/ and Evaluation/"),
    }
    rows = [
        Option(title=f"{name:<14} {_shortened(value)}", value=field, description=description)
        for field, (name, value, description) in values.items()
    ]
    return [*rows, Option(title="Back to the menu", value=DONE)]


def _base_option() -> list[Option]:
    """Offer the classifier of twelve layers where its files are here, or where a GPU makes it quick."""
    quick = accelerator() != "cpu"
    if not (installed(BASE) or quick):
        return []
    price = "quick on this GPU" if quick else "minutes for every 100 reviews on a CPU"
    return [Option(title="Embedded base classifier", value=BASE.name, description=f"12 layers, {price}")]


def _shortened(value: str) -> str:
    return value if len(value) <= 52 else f"...{value[-49:]}"


def _model(config: RunConfig, output: Console) -> RunConfig | None:
    options = [
        Option(
            title=f"{DEFAULT_MODEL} (default)",
            value="default",
            description="From the hub or its cache; else the embedded classifier",
        ),
        Option(title="Embedded classifier", value=SMALL.name, description="6 layers, works without the hub"),
        *_base_option(),
        Option(title="Hub id or folder", value=OTHER, description="A fine-tuned two-label classifier"),
    ]
    named = config.model != "default" and config.model not in EMBEDDED
    value = choose("Model", options, OTHER if named else config.model)
    if isinstance(value, Back):
        return None
    if value != OTHER:
        return _accept(config.replace(model=value), output, lambda changed: find_classifier(changed.model))
    typed = _typed(
        "Hub id or folder of the model",
        config.model if named else "",
        lambda text: config.replace(model=text),
        output,
        lambda changed: find_classifier(changed.model),
    )
    return _model(config, output) if typed is None else typed  # Esc goes back one question


def _data(config: RunConfig, output: Console) -> RunConfig | None:
    options = [
        Option(title="IMDB (default)", value="imdb", description="From the hub, its cache, or offline"),
        Option(title="Local file", value=OTHER, description="CSV, JSON, Parquet or a saved Arrow data set"),
    ]
    named = config.data != "imdb"
    value = choose("Data", options, OTHER if named else "imdb")
    if isinstance(value, Back):
        return None
    if value != OTHER:
        return _accept(config.replace(data=value), output, lambda changed: find_reviews(changed.data))
    typed = _typed(
        "File with the columns text and label (0 or 1)",
        config.data if named else "",
        lambda text: config.replace(data=text),
        output,
        _check_data,
    )
    return _data(config, output) if typed is None else typed


def _check_data(config: RunConfig) -> None:
    source = find_reviews(config.data)
    if known_size(source, "calibration") is None:
        load_reviews(source, "calibration")


def _device(config: RunConfig, output: Console) -> RunConfig | None:
    found = accelerator()
    reasons = {"cuda": "no NVIDIA GPU seen", "mps": "no Apple GPU seen"}
    options = [Option(title="auto", value=AUTO, description=f"CUDA, then MPS, then the CPU; here: {found}")]
    options += [
        Option(title=name, value=name, disabled="" if name in ("cpu", found) else reasons[name])
        for name in ("cpu", "cuda", "mps")
    ]
    value = choose("Device", options, config.device)
    return None if isinstance(value, Back) else config.replace(device=value)


def _max_length(config: RunConfig, output: Console) -> RunConfig | None:
    def check(text: str) -> str:
        if text.strip().lower() == AUTO:
            return ""
        try:
            number = read_number(text)
        except UsageError as error:
            return error.title.rstrip(".")
        low = FLAGS["max_length"].lowest or 0
        return "" if low <= number <= LONGEST else f"Choose {low} to {LONGEST}, or {AUTO}"

    text = ask_text(f"Tokens per review, {AUTO} = the model's own", check, str(config.max_length or AUTO))
    if isinstance(text, Back):
        return None
    return config.replace(max_length=None if text.strip().lower() == AUTO else read_number(text))


def _quantizer(config: RunConfig, output: Console) -> RunConfig | None:
    options = [
        Option(title=title, value=name, description=text) for title, name, text in quantizers.menu_rows()
    ]
    value = choose("Quantizer", options, config.quantizer)
    return None if isinstance(value, Back) else config.replace(quantizer=value)


def _embeddings(config: RunConfig, output: Console) -> RunConfig | None:
    options = [
        Option(title="fp32 (default)", value="fp32", description="As they are"),
        Option(
            title="fp16", value="fp16", description="Half their size; much of a small model is embeddings"
        ),
    ]
    value = choose("Embeddings", options, config.embeddings)
    return None if isinstance(value, Back) else config.replace(embeddings=value)


def _output(config: RunConfig, output: Console) -> RunConfig | None:
    def check(changed: RunConfig) -> None:
        for name in (SENSITIVITIES, EVALUATION):
            check_writable(changed.output, name)

    return _typed(
        "Output folder", config.output, lambda text: config.replace(output=text.strip() or "."), output, check
    )


def _typed(
    message: str,
    default: str,
    change: Callable[[str], RunConfig],
    output: Console,
    check: Callable[[RunConfig], object],
) -> RunConfig | None:
    """Ask for a line until it passes ``check`` or the user goes back."""
    while True:
        text = ask_text(message, lambda typed: "" if typed.strip() else "Type a name or a path", default)
        if isinstance(text, Back):
            return None
        changed = _accept(change(text.strip()), output, check)
        if changed is not None:
            return changed
        default = text


def _accept(changed: RunConfig, output: Console, check: Callable[[RunConfig], object]) -> RunConfig | None:
    """Return ``changed`` when it passes ``check``, else show why not."""
    try:
        with output.status("Checking"):
            check(changed)
    except MpqError as error:
        views.print_error(error, error_console())
        return None
    return changed


SETTINGS: dict[str, Callable[[RunConfig, Console], RunConfig | None]] = {
    "model": _model,
    "data": _data,
    "device": _device,
    "max_length": _max_length,
    "quantizer": _quantizer,
    "embeddings": _embeddings,
    "output": _output,
}
