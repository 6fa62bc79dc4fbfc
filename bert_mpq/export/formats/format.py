"""What an export format says of itself, and what it does; quick to import."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bert_mpq.records.evaluation import EvaluationResult
from bert_mpq.records.files import write_atomic
from bert_mpq.records.sizes import SizeReport

if TYPE_CHECKING:
    from bert_mpq.export.packed import PackedModel


class Format(ABC):
    """A format of an export: a subclass in a file of this folder, and a row of ``FORMATS``.

    Menus read its facts, so its file imports torch, numpy and transformers inside functions only.

    Attributes:
        name: what ``--format`` calls it.
        title: one line for menus.
        needs: what must be installed to load it, beside transformers; "" = nothing.
        weights_file: name of the file with the weights.
        rounding: what becomes of the weights; "" = the reloaded model is the evaluated one, bit by bit.
        loading: Python that gives the model of ``{folder}``.
        memory: what the loaded model gains in memory and speed, one sentence.
        caveats: what to know before use, sentences for the model card.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    needs: ClassVar[str] = ""
    weights_file: ClassVar[str] = "model.safetensors"
    rounding: ClassVar[str] = ""
    loading: ClassVar[str] = (
        "from transformers import AutoModelForSequenceClassification\n\n"
        'model = AutoModelForSequenceClassification.from_pretrained("{folder}").eval()'
    )
    memory: ClassVar[str] = "Only the file is smaller: in memory the weights are float32 again, no faster."
    caveats: ClassVar[tuple[str, ...]]

    @property
    def exact(self) -> bool:
        """Whether the reloaded model is the evaluated one, bit by bit."""
        return not self.rounding

    def check(self, result: EvaluationResult) -> None:  # noqa: B027
        """Refuse what the format cannot hold; by default every plan fits.

        Raises:
            MpqError: E-EXPORT with the reason; E-EXTRA when a package is missing or too old.
        """

    @abstractmethod
    def content(self, packed: "PackedModel", facts: Mapping[str, Any]) -> bytes:
        """Return the file with the weights.

        Args:
            facts: JSON values for a header: the plan, the source model, ...

        Raises:
            MpqError: E-MODEL when a weight is beyond what the format can store.
        """

    def config(self, packed: "PackedModel", model: Any) -> Any:
        """Return the transformers config for config.json: that of ``model``, the classifier as modules."""
        config = copy.deepcopy(model.config)
        config.architectures = [type(model).__name__]
        config.dtype = "float32"  # float16 tensors become float32 on the way in
        return config

    def write(
        self, folder: Path, packed: "PackedModel", model: Any, tokenizer: Any, facts: Mapping[str, Any]
    ) -> Path:
        """Write weights, config.json and tokenizer into an empty folder; return the weights file.

        Raises:
            MpqError: E-READONLY or E-DISK; what ``content`` raises.
        """
        path = write_atomic(folder / self.weights_file, self.content(packed, facts))
        self.config(packed, model).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return path

    def predicted_bytes(self, sizes: SizeReport, packed: "PackedModel") -> int:
        """Return the bytes that the evaluation's size report promises for the tensors of the file."""
        return (sizes.whole_bits + packed.buffer_bits + 7) // 8

    def header_bytes(self, path: Path) -> int:
        """Return the bytes of a weights file that are no tensors: a safetensors file begins with them."""
        with path.open("rb") as file:
            return 8 + int.from_bytes(file.read(8), "little")

    def load(self, folder: Path | str) -> Any:
        """Return the model of an exported folder, loaded as a user would load it."""
        from transformers import AutoModelForSequenceClassification

        return AutoModelForSequenceClassification.from_pretrained(folder).eval()
