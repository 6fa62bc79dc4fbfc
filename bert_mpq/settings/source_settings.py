"""The settings that say what is measured: model, data and device; every run has them."""

from dataclasses import dataclass

from bert_mpq.settings.choices import Device, Precision
from bert_mpq.settings.flag import common, phase_2
from bert_mpq.settings.label_words import EXAMPLE

OF_DATA = ("text_column", "label_column", "labels")  # the fields that explain data of one's own


@dataclass(frozen=True, kw_only=True)
class SourceSettings:
    """Model, data and device of a ``RunConfig``, whose first fields these are.

    Args:
        model: ``default`` (textattack/bert-base-uncased-imdb, or the embedded classifier without a hub),
            ``embedded``, a hub id or a folder.
        data: ``imdb``, or a CSV, TSV, JSON, Parquet or Arrow file, a folder of them, or folders of texts.
        text_column: column of the user's data that holds the reviews; None = by its common name.
        label_column: column of the user's data that holds the labels; None = by its common name.
        labels: what its labels mean, as ``1=negative``, ``2=positive``, ``3=skip``; empty = by common words.
        precision: arithmetic of the forward passes; ``tf32`` and ``bf16`` are faster and rounder.
        fit_head: fit the classification head on this many calibration reviews (for a model that was only
            pretrained); None = keep the head it has.
        swap_labels: take the model's outputs to mean the opposite of what its config says, or, where it says
            nothing, of 0 negative and 1 positive.
    """

    model: str = common(
        "default",
        "classifier: hub id, folder, or the embedded one (default: that of the hub, else embedded)",
        shown="ID|PATH|embedded",
        remembered=True,
    )
    data: str = common(
        "imdb", "reviews: IMDB, or a file, folder or archive of yours", shown="imdb|PATH", remembered=True
    )
    text_column: str | None = common(
        None, "column of your data that holds the reviews", shown="NAME", remembered=True
    )
    label_column: str | None = common(
        None, "column of your data that holds the labels", shown="NAME", remembered=True
    )
    labels: tuple[str, ...] = common(
        (),
        "what the labels of your data mean: negative, positive, or skip to leave their reviews out",
        shown=EXAMPLE,
        remembered=True,
        repeats=True,
    )
    device: Device = common("auto", "where the model runs", remembered=True)
    precision: Precision = common("fp32", "arithmetic of the forward passes")
    fit_head: int | None = common(
        None, "fit the classification head on N calibration reviews", shown="N|off", none="off", lowest=10
    )
    swap_labels: bool = phase_2(
        False,
        "take the outputs of the model to mean the opposite: 0 positive, 1 negative",
        commands=("quantize", "run", "plan", "sweep", "validate"),
    )
    output: str = common(".", "folder of Sensitivities/ and Evaluation/", shown="DIR")

    @property
    def head_text(self) -> str:
        """Where the classification head comes from; empty when it is the model's own."""
        return f"fitted on {self.fit_head:,} calibration reviews" if self.fit_head else ""
