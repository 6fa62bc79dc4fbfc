"""What an export format says of itself, and what it does; quick to import."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bert_mpq.records.evaluation import EvaluationResult
from bert_mpq.records.files import write_atomic
from bert_mpq.records.run_record import version_of
from bert_mpq.records.sizes import SizeReport
from bert_mpq.settings.errors import MpqError

if TYPE_CHECKING:
    from torch import nn

    from bert_mpq.export.packed import PackedModel


class Format(ABC):
    """A format of an export: a subclass in a file of this folder, and a row of ``FORMATS``.

    Menus read its facts, so its file imports torch, numpy and transformers inside functions only.

    Attributes:
        name: what ``--format`` calls it.
        title: one line for menus.
        needs: what must be installed to load it.
        weights_file: name of the file with the weights.
        tolerance: largest difference of the logits that a reload may show; None = whatever it shows.
        rounding: what becomes of the weights; "" = the reloaded model is the evaluated one, bit by bit.
        reloader: the module that answers for a folder in a fresh process; see ``bert_mpq.export.reload``.
        loading: Python that gives the model of ``{folder}``, and its tokenizer.
        memory: what the loaded model gains in memory and speed, one sentence.
        measured: whether the file computes otherwise than what was evaluated, so that it has an accuracy of
            its own.
        caveats: what to know before use, sentences for the model card.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ("transformers",)
    weights_file: ClassVar[str] = "model.safetensors"
    tolerance: ClassVar[float | None] = 0.0
    rounding: ClassVar[str] = ""
    reloader: ClassVar[str] = "bert_mpq.export.reload"
    loading: ClassVar[str] = (
        "from transformers import AutoModelForSequenceClassification, AutoTokenizer\n\n"
        'model = AutoModelForSequenceClassification.from_pretrained("{folder}").eval()\n'
        'tokenizer = AutoTokenizer.from_pretrained("{folder}")'
    )
    memory: ClassVar[str] = "Only the file is smaller: in memory the weights are float32 again, no faster."
    measured: ClassVar[bool] = False
    caveats: ClassVar[tuple[str, ...]]

    def check(self, result: EvaluationResult) -> None:  # noqa: B027
        """Refuse what the format cannot hold; by default every plan fits.

        Raises:
            MpqError: E-EXPORT with the reason; E-EXTRA when a package is missing or too old.
        """

    def config(self, packed: "PackedModel", model: Any) -> Any:
        """Return the transformers config for config.json: that of ``model``, the classifier as modules."""
        config = copy.deepcopy(model.config)
        config.architectures = [type(model).__name__]
        config.dtype = "float32"  # float16 tensors become float32 on the way in
        return config

    @abstractmethod
    def write_weights(
        self, path: Path, packed: "PackedModel", model: "nn.Module", facts: Mapping[str, Any]
    ) -> None:
        """Write the file with the weights, whose folder is there.

        Args:
            model: the same model as modules.
            facts: JSON values for a header: the plan, the source model, ...

        Raises:
            MpqError: E-MODEL when a weight is beyond what the format can store; E-EXPORT when the model is;
                E-READONLY or E-DISK.
        """

    def write(
        self, folder: Path, packed: "PackedModel", model: Any, tokenizer: Any, facts: Mapping[str, Any]
    ) -> Path:
        """Write weights, config.json and tokenizer into an empty folder; return the weights file.

        Raises:
            MpqError: what ``write_weights`` raises.
        """
        path = folder / self.weights_file
        path.parent.mkdir(exist_ok=True)
        self.write_weights(path, packed, model, facts)
        self.config(packed, model).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return path

    def predicted_bytes(self, sizes: SizeReport, packed: "PackedModel") -> int:
        """Return the bytes that the evaluation's size report promises for the tensors of the file."""
        return (sizes.whole_bits + packed.buffer_bits + 7) // 8

    @abstractmethod
    def header_bytes(self, path: Path) -> int:
        """Return the bytes of a weights file that are no tensors."""

    @abstractmethod
    def load(self, folder: Path | str) -> Any:
        """Return the model of an exported folder: modules of torch, or an ``OnnxClassifier``."""


class Safetensors(Format):
    """A format whose weights are one safetensors file, and whose folder loads as modules."""

    @abstractmethod
    def content(self, packed: "PackedModel", facts: Mapping[str, Any]) -> bytes:
        """Return the file with the weights.

        Args:
            facts: JSON values for a header.

        Raises:
            MpqError: E-MODEL when a weight is beyond what the format can store.
        """

    def write_weights(
        self, path: Path, packed: "PackedModel", model: "nn.Module", facts: Mapping[str, Any]
    ) -> None:
        """Write the file of ``content``."""
        write_atomic(path, self.content(packed, facts))

    def header_bytes(self, path: Path) -> int:
        """Return the bytes that a safetensors file begins with."""
        with path.open("rb") as file:
            return 8 + int.from_bytes(file.read(8), "little")

    def load(self, folder: Path | str) -> Any:
        """Return the model of an exported folder, loaded as a user would load it."""
        from transformers import AutoModelForSequenceClassification

        return AutoModelForSequenceClassification.from_pretrained(folder).eval()


def check_packages(needed: Iterable[str], extra: str) -> None:
    """Refuse to go on without packages that are new enough; raises MpqError E-EXTRA.

    Args:
        needed: packages and the first releases that will do, as ``onnx>=1.18``.
        extra: of this package, which brings them.
    """
    from packaging.version import Version

    hint = f"pip install 'bert-mpq[{extra}]', or use --format mpq."
    for name, _, oldest in (each.partition(">=") for each in needed):
        version = version_of(name)
        if version is None:
            raise MpqError("E-EXTRA", f"{name} is not installed.", hint)
        if Version(version) < Version(oldest):
            raise MpqError("E-EXTRA", f"{name} {version} is too old; {oldest} or newer is needed.", hint)
