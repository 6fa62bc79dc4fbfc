"""The settings: model, data, device, length, quantizer, folder; each is checked before it is accepted."""

from typing import Any

from bert_mpq.compute.hardware import accelerator
from bert_mpq.records.files import EVALUATION, SENSITIVITIES, check_writable
from bert_mpq.settings import embeddings, quantizers
from bert_mpq.settings.choices import DEFAULT_MODEL
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import UsageError
from bert_mpq.settings.flag import read_number
from bert_mpq.settings.flags import FLAGS
from bert_mpq.sources.embedded.bases import BASE, SMALL
from bert_mpq.sources.model_config import LONGEST
from bert_mpq.ui.console import output_console, working
from bert_mpq.ui.wizard.data_step import OWN_DATA, other_data, settle_data
from bert_mpq.ui.wizard.prompts import Back, Option, choose, rows_of
from bert_mpq.ui.wizard.steps import CUSTOM, Step, menu

DONE = "done"
AUTO = "auto"


def change_settings(config: RunConfig) -> RunConfig:
    """Let the user change settings until they go back; return the new configuration."""
    chosen: Any = SETTINGS[0]
    while True:
        chosen = choose("Settings", setting_rows(config), chosen, back=False)
        if chosen == DONE or isinstance(chosen, Back):
            return config
        answer = chosen.ask(config, chosen.name, config)
        config = config if isinstance(answer, Back) else answer


def setting_rows(config: RunConfig) -> list[Option]:
    """Return the settings with their values."""
    rows = []
    for step in SETTINGS:
        value = step.shown(getattr(config, step.field))
        value = value if len(value) <= 52 else f"...{value[-49:]}"
        rows.append(Option(title=f"{step.name:<14} {value}", value=step, description=step.about))
    return [*rows, Option(title="Back to the menu", value=DONE)]


def model_text(model: str) -> str:
    """Return a model setting in words."""
    words = {"default": DEFAULT_MODEL, SMALL.name: "embedded classifier"}
    words[BASE.name] = "embedded base classifier"
    return words.get(model, model)


def _models(config: RunConfig) -> list[Option]:
    """Return the rows; the classifier of twelve layers where its files are here, or where a GPU is."""
    from bert_mpq.sources.embedded.files import installed

    quick = accelerator() != "cpu"
    price = "quick on this GPU" if quick else "minutes for every 100 reviews on a CPU"
    base = [("Embedded base classifier", BASE.name, f"12 layers, {price}")]
    default = "The default: hub or cache, else the embedded classifier"
    return rows_of(
        (DEFAULT_MODEL, "default", default),
        ("Embedded classifier", SMALL.name, "6 layers, works without the hub"),
        *(base if quick or installed(BASE) else []),
        ("Hub id or folder", CUSTOM, "A fine-tuned two-label classifier"),
    )


def _other_model(config: RunConfig, model: str) -> RunConfig:
    """Return ``config`` with another model: what was said of the outputs of the old does not hold."""
    return config.replace(model=model, swap_labels=False)


def _settle_model(config: RunConfig) -> RunConfig:
    """Find the model and show what is known of it; raises MpqError as ``find_classifier``."""
    from bert_mpq.sources.classifiers import find_classifier

    output = output_console()
    with working(output, "Checking"):
        text = find_classifier(config.model).text
    output.print(text, markup=False, highlight=False)
    return config


def _devices(config: RunConfig) -> list[Option]:
    found = accelerator()
    reasons = {"cuda": "no NVIDIA GPU seen", "mps": "no Apple GPU seen"}
    return rows_of(
        ("auto", AUTO, f"CUDA, then MPS, then the CPU; here: {found}"),
        ("cpu", "cpu", ""),
        *((name, name, "", "" if name == found else reason) for name, reason in reasons.items()),
    )


def _read_length(text: str) -> int | None:
    if text.strip().lower() == AUTO:
        return None
    number, low = read_number(text), FLAGS["max_length"].lowest or 0
    if not low <= number <= LONGEST:
        raise UsageError("E-CONFIG", f"Choose {low} to {LONGEST}, or {AUTO}.")
    return number


def _check_output(config: RunConfig) -> None:
    for name in (SENSITIVITIES, EVALUATION):
        check_writable(config.output, name)


SETTINGS: tuple[Step, ...] = (
    Step(
        name="Model",
        field="model",
        options=_models,
        line=lambda config: "Hub id or folder of the model",
        take=_other_model,
        settle=_settle_model,
        shown=model_text,
        about="Hub id, folder, or the embedded classifier",
    ),
    Step(
        name="Data",
        field="data",
        options=menu(
            ("IMDB (default)", "imdb", "From the hub, its cache, or offline"),
            ("File, folder or archive", CUSTOM, OWN_DATA),
        ),
        line=lambda config: "File, folder or archive of reviews",
        take=other_data,
        settle=settle_data,
        about="IMDB, or a file, folder or archive of yours",
    ),
    Step(name="Device", field="device", options=_devices, about="Where the model runs"),
    Step(
        name="Max length",
        field="max_length",
        line=lambda config: f"Tokens per review, {AUTO} = the model's own",
        read=lambda config, text: _read_length(text),
        shown=lambda length: str(length or AUTO),
        about="Tokens per review; shorter is faster",
    ),
    Step(
        name="Quantizer",
        field="quantizer",
        options=menu(*quantizers.menu_rows()),
        about="How weights below 16 bits are rounded",
    ),
    Step(
        name="Embeddings",
        field="embeddings",
        options=menu(*embeddings.menu_rows()),
        about="Precision of the embedding tables",
    ),
    Step(
        name="Output folder",
        field="output",
        line=lambda config: "Output folder",
        check=_check_output,
        about="Holds Sensitivities/ and Evaluation/",
    ),
)
