"""Every parser that reads a file which somebody else may have written, and valid files to start from."""

import dataclasses
import json
import tempfile
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save
from torch import nn

from bert_mpq.compute.checkpoints import Checkpoint, State
from bert_mpq.compute.reporting import Silent
from bert_mpq.export.layout import encoded, read_weights
from bert_mpq.export.packed import PackedModel
from bert_mpq.quantization import rtn
from bert_mpq.quantization.embeddings import quantized_tables
from bert_mpq.quantization.training import checkpoint as training
from bert_mpq.records.evaluation import BitAllocation, EvaluationResult
from bert_mpq.records.outline import LinearShape, Outline
from bert_mpq.records.reading import read_evaluation
from bert_mpq.records.refinement import Refinement
from bert_mpq.records.run_record import record_text
from bert_mpq.records.sensitivity_file import read_sensitivities
from bert_mpq.records.width_scores import (
    MetricTable,
    TableLosses,
    WidthScores,
    read_width_scores,
    write_width_scores,
)
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.config_json import to_json
from bert_mpq.settings.errors import MpqError
from bert_mpq.sources.embedded.lora import ADAPTER_CONFIG_FILE, ADAPTER_WEIGHTS_FILE, adapted
from bert_mpq.ui.commands.runs import read_config
from tests.fuzz import fuzz_data, fuzz_models, fuzz_onnx
from tests.fuzz.fuzz_mutations import Source, broken_bytes, broken_json, broken_safetensors


@dataclass(frozen=True, kw_only=True)
class Target:
    """A parser.

    Args:
        name: as the report calls it.
        file: name of the file it reads.
        valid: contents of a file that it accepts.
        broken: makes a broken content of a valid one.
        parse: reads a file; every refusal must be an MpqError.
    """

    name: str
    file: str
    valid: Callable[[], bytes]
    broken: Callable[[bytes, Source], bytes]
    parse: Callable[[Path], object]

    def attempt(self, folder: Path, content: bytes) -> bool:
        """Parse ``content``; return whether it was accepted.

        Anything but a result or an MpqError that can be shown is raised: a finding.
        """
        path = folder / self.file
        path.write_bytes(content)
        refusal = None
        try:
            self.parse(path)
        except MpqError as error:
            refusal = error
        if refusal is not None:
            assert refusal.title.strip(), "a refusal without a sentence"
            assert "\n" not in refusal.title, "more than one line"
            assert len(refusal.title) < 400, "nobody reads a sentence this long"
            f"{refusal.title} {refusal.hint}".encode("utf-8", "replace")
        return refusal is None


def _json(content: bytes, source: Source) -> bytes:
    return broken_json(json.loads(content), source) if source.integer(0, 3) else broken_bytes(content, source)


def _sensitivities() -> bytes:
    return json.dumps({f"layer_{index}": 0.1 / (index + 1) for index in range(6)}).encode()


FITTING: dict[type, dict[str, Any]] = {  # fields that have to fit the others
    BitAllocation: {"linears": (1, 1, 1)},
    Refinement: {"optimum": 2},
}


def any_value(kind: Any) -> Any:
    """Return some value of a type: the fields of ``bert_mpq.records`` filled in, whatever they are today."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is RunConfig:
        return RunConfig()
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        values = {field.name: any_value(hints[field.name]) for field in dataclasses.fields(kind)}
        return kind(**{**values, **FITTING.get(kind, {})})
    if origin in (types.UnionType, typing.Union):
        return any_value(arguments[0])
    if origin is tuple:
        kinds = [arguments[0]] * 3 if arguments[-1] is Ellipsis else arguments
        return tuple(any_value(each) for each in kinds)
    if origin is Literal:
        return arguments[0]
    return {int: 3, float: 0.5, str: "word", bool: True}[kind]


def _packed() -> bytes:
    torch.manual_seed(0)
    widths = (("a", 4), ("b.c", 3))
    weights = {name: rtn.quantize_clipped(torch.randn(8, 16), bits, 8) for name, bits in widths}
    weights["e"] = quantized_tables(nn.Embedding.from_pretrained(torch.randn(6, 128)), "int4")[""]
    model = PackedModel(weights=weights, tensors={"d": torch.ones(3), "a.bias": torch.zeros(8)})
    return encoded(model, {"plan": [4, 3]})


def _widths() -> bytes:
    return _written(
        lambda folder: write_width_scores(
            folder,
            WidthScores(
                config=RunConfig(),
                model_name="embedded",
                split="TRAIN set",
                reviews=8,
                outline=Outline(
                    linears=(LinearShape(name="a", layer=0, outputs=4, inputs=8),),
                    embedding_weights=10,
                    embedding_scales=0,
                    norm_weights=4,
                    head_weights=2,
                ),
                widths=(4, 2),
                tables=(MetricTable(metric="cka", values=((0.1, 0.2),)),),
                embeddings=TableLosses(reviews=8, int8=0.0, int4=0.1),
            ),
            "20250113_142530",
        )
    )


def _stage(folder: Path) -> Checkpoint:
    return Checkpoint(folder / "stage.npz", lambda: {"model": "tiny"}, 0.0, Silent())


def _stage_file() -> bytes:
    def write(folder: Path) -> Path:
        _stage(folder).write(
            State(
                tensors={"sums": torch.arange(12.0).reshape(3, 4), "done": torch.arange(5)},
                facts={"seconds": 3.5},
            )
        )
        return folder / "stage.npz"

    return _written(write)


def _training(folder: Path) -> training.TrainingCheckpoint:
    return training.TrainingCheckpoint(folder, lambda: {"model": "tiny"}, "bert-mpq quantize", 0.0, Silent())


def _training_file() -> bytes:
    def write(folder: Path) -> Path:
        checkpoint = _training(folder / "Evaluation")
        checkpoint.write(State(tensors={"w": torch.ones(2, 3)}, facts={"step": 3}))
        return checkpoint.path

    return _written(write)


def _resume(path: Path) -> object:
    checkpoint = _training(path.parent)
    return checkpoint.check() and checkpoint.restore(lambda state: state)


STATE = {"q.weight": torch.zeros(4, 6), "head.bias": torch.zeros(2)}
ADAPTER = {
    "base_model.model.q.lora_A.weight": torch.ones(2, 6),
    "base_model.model.q.lora_B.weight": torch.ones(4, 2),
    "base_model.model.head.bias": torch.ones(2),
}
ADAPTER_SETTINGS = json.dumps({"lora_alpha": 4, "r": 2}).encode()


def _adapt(path: Path) -> object:
    other = path.parent / (ADAPTER_CONFIG_FILE if path.name == ADAPTER_WEIGHTS_FILE else ADAPTER_WEIGHTS_FILE)
    other.write_bytes(save(ADAPTER) if other.name == ADAPTER_WEIGHTS_FILE else ADAPTER_SETTINGS)
    return adapted(STATE, path.parent)


def _written(write: Callable[[Path], Path]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return write(Path(folder)).read_bytes()


TARGETS = {
    target.name: target
    for target in (
        Target(
            name="sensitivity file",
            file="layer_sensitivity_BERT_IMDB_pwcca.json",
            valid=_sensitivities,
            broken=_json,
            parse=read_sensitivities,
        ),
        Target(
            name="configuration",
            file="config.json",
            valid=lambda: json.dumps(to_json(RunConfig())).encode(),
            broken=_json,
            parse=lambda path: read_config(str(path)),
        ),
        Target(
            name="run record",
            file="eval.json",
            valid=lambda: record_text(any_value(EvaluationResult), "20250113_142530").encode(),
            broken=_json,
            parse=read_evaluation,
        ),
        Target(
            name="mpq file",
            file="model_mpq.safetensors",
            valid=_packed,
            broken=broken_safetensors,
            parse=read_weights,
        ),
        Target(
            name="adapter",
            file=ADAPTER_WEIGHTS_FILE,
            valid=lambda: save(ADAPTER),
            broken=broken_safetensors,
            parse=_adapt,
        ),
        Target(
            name="settings of an adapter",
            file=ADAPTER_CONFIG_FILE,
            valid=lambda: ADAPTER_SETTINGS,
            broken=_json,
            parse=_adapt,
        ),
        Target(
            name="scores at several widths",
            file="widths.json",
            valid=_widths,
            broken=_json,
            parse=read_width_scores,
        ),
        Target(
            name="checkpoint of a stage",
            file="stage.npz",
            valid=_stage_file,
            broken=broken_bytes,
            parse=lambda path: _stage(path.parent).restore(lambda state: state),
        ),
        Target(
            name="checkpoint of a training",
            file=training.NAME,
            valid=_training_file,
            broken=broken_bytes,
            parse=_resume,
        ),
        *(
            Target(
                name=name,
                file=f"reviews.{form.container}",
                valid=partial(fuzz_data.valid, form),
                broken=partial(fuzz_data.broken, form),
                parse=fuzz_data.read,
            )
            for name, form in fuzz_data.FORMS.items()
        ),
        *(
            Target(
                name=name,
                file=file,
                valid=partial(fuzz_models.valid, form, file),
                broken=broken,
                parse=partial(fuzz_models.read, form),
            )
            for name, (form, file, broken) in fuzz_models.FILES.items()
        ),
        *(
            Target(
                name=name,
                file=Path(file).name,
                valid=partial(lambda file: fuzz_onnx.folder()[file], file),
                broken=broken,
                parse=partial(fuzz_onnx.read, file, summed),
            )
            for name, (file, broken, summed) in fuzz_onnx.FILES.items()
        ),
    )
}
