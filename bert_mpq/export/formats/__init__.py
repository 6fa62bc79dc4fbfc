"""The formats of an export, and what each can hold; quick to import."""

import importlib.metadata
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from bert_mpq.settings.errors import MpqError, UsageError

Format = Literal["mpq", "compressed-tensors", "dense-fp16"]
Embeddings = Literal["as-evaluated", "fp16", "int8"]
PACKAGE = "compressed-tensors"
OLDEST = (0, 17)  # the first release that reads 2 bits
PACKED_WIDTHS = (2, 4, 8)


@dataclass(frozen=True, kw_only=True)
class FormatFacts:
    """What a user should know of a format.

    Args:
        title: one line for menus.
        needs: what must be installed to load it, beside transformers.
        weights_file: its safetensors file.
        exact: whether the reloaded model is the evaluated one, bit by bit.
        loading: Python that gives the model.
    """

    title: str
    needs: str
    weights_file: str
    exact: bool
    loading: str


_PLAIN = (
    "from transformers import AutoModelForSequenceClassification\n\n"
    'model = AutoModelForSequenceClassification.from_pretrained("{folder}").eval()'
)
FORMATS: dict[Format, FormatFacts] = {
    "mpq": FormatFacts(
        title="every plan, smallest file, bit-exact; loads with bert_mpq.load",
        needs="bert-mpq",
        weights_file="model_mpq.safetensors",
        exact=True,
        loading='import bert_mpq\n\nmodel = bert_mpq.load("{folder}")',
    ),
    "compressed-tensors": FormatFacts(
        title="2, 4, 8, 16, 32 bits, bit-exact; loads with from_pretrained",
        needs="compressed-tensors>=0.17",
        weights_file="model.safetensors",
        exact=True,
        loading=_PLAIN,
    ),
    "dense-fp16": FormatFacts(
        title="all weights in float16; loads anywhere, rounds a little",
        needs="",
        weights_file="model.safetensors",
        exact=False,
        loading=_PLAIN,
    ),
}


def command_line(evaluation: str, to: str, kind: Format, embeddings: Embeddings) -> str:
    """Return the shell command that exports this way."""
    words = ["bert-mpq", "export", "--evaluation", evaluation, "--format", kind, "--to", to]
    return shlex.join([*words, *(["--embeddings", embeddings] if embeddings != "as-evaluated" else [])])


def check_format(kind: Format, widths: Iterable[int], asymmetric: bool, embeddings: Embeddings) -> None:
    """Refuse what a format cannot hold.

    Args:
        kind: the format.
        widths: bit widths of the plan.
        asymmetric: whether its codes have zero points.
        embeddings: what to store of the embedding tables.

    Raises:
        MpqError: E-EXPORT with the reason; E-EXTRA when compressed-tensors is missing or too old.
    """
    if kind == "dense-fp16" and embeddings == "int8":
        raise UsageError("E-EXPORT", "dense-fp16 has no int8 embeddings.", "Use --format mpq.")
    if kind != "compressed-tensors":
        return
    hint = "Use --format mpq, which takes every plan."
    if embeddings == "int8":
        raise UsageError("E-EXPORT", "compressed-tensors cannot load int8 embeddings back.", hint)
    if asymmetric:
        raise MpqError(
            "E-EXPORT",
            "compressed-tensors cannot load packed asymmetric weights (quantizer per-tensor) back.",
            hint,
        )
    narrow = sorted({width for width in widths if width < 16})
    if not narrow:
        raise MpqError("E-EXPORT", "No layer of this plan is below 16 bits: there is nothing to pack.", hint)
    if odd := [width for width in narrow if width not in PACKED_WIDTHS]:
        raise MpqError(
            "E-EXPORT",
            f"{odd[0]}-bit codes do not fill the 32-bit words of compressed-tensors, and its releases pack"
            " them in different ways.",
            "Use --format mpq, or a plan of 2, 4, 8, 16 and 32 bits.",
        )
    check_package()


def check_package() -> None:
    """Refuse to go on without a compressed-tensors that reads every width back.

    Raises:
        MpqError: E-EXTRA.
    """
    hint = "pip install 'bert-mpq[export]', or use --format mpq."
    try:
        version = importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError as error:
        raise MpqError("E-EXTRA", f"{PACKAGE} is not installed.", hint) from error
    if _numbers(version) < OLDEST:
        needed = ".".join(map(str, OLDEST))
        raise MpqError("E-EXTRA", f"{PACKAGE} {version} is too old; {needed} or newer is needed.", hint)


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.split(".")[:2]
    return tuple(int(part) if part.isdigit() else 0 for part in parts)
