"""ONNX: the format that runs, without torch and transformers, and computes with the codes themselves."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bert_mpq.export.formats.format import Format, check_packages
from bert_mpq.records.evaluation import EvaluationResult
from bert_mpq.records.sizes import SizeReport
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.paths import user_path
from bert_mpq.settings.quantizers import is_symmetric

if TYPE_CHECKING:
    from bert_mpq.export.packed import PackedModel

PACKAGES = (
    *("onnx>=1.18", "onnxscript>=0.5"),
    "onnxruntime>=1.30",  # the first release with kernels for 2 bits
    "torch>=2.8",  # the first release that exports operators of another domain
)


class Onnx(Format):
    """A folder as transformers.js lays it out, for ONNX Runtime in any language."""

    name = "onnx"
    title = "runs on ONNX Runtime, without torch; symmetric codes"
    needs = ("onnxruntime>=1.30", "tokenizers")
    weights_file = "onnx/model.onnx"
    tolerance: ClassVar[float | None] = 1e-4
    rounding = "the same codes and scales"
    reloader = "bert_mpq.export.onnx_classifier"
    loading = (
        "import numpy as np\nimport onnxruntime\nfrom tokenizers import Tokenizer\n\n"
        'session = onnxruntime.InferenceSession("{folder}/onnx/model.onnx")\n'
        'tokenizer = Tokenizer.from_file("{folder}/tokenizer.json")\n'
        'text = tokenizer.encode("A wonderful film.")\n'
        'inputs = {{"input_ids": np.array([text.ids]), "attention_mask": np.array([text.attention_mask])}}\n'
        'logits = session.run(["logits"], inputs)[0]'
    )
    memory = "It runs as codes: less memory than float32. bert-mpq bench measures memory and speed here."
    caveats: ClassVar[tuple[str, ...]] = (
        "ONNX Runtime computes in float32 with exactly the evaluated weights; the logits differ by rounding.",
        "Codes of 3 and 6 bits take 4 and 8 bits each here, and every scale is a float32: more bytes than"
        " `--format mpq`, the same values.",
        "Weights of 16 bits are float16 in the file and become float32 in memory.",
        "The operators MatMulNBits and GatherBlockQuantized are ONNX Runtime's own. The graph was checked on"
        " a CPU only.",
        'transformers.js looks for `onnx/model.onnx` when it is given `dtype: "fp32"`.',
    )

    def check(self, result: EvaluationResult) -> None:
        """Refuse zero points and missing packages."""
        if not is_symmetric(quantizer := result.config.quantizer):
            raise MpqError(
                "E-EXPORT",
                f"ONNX Runtime is many times slower with zero points (quantizer {quantizer}).",
                "Use --format mpq, or another quantizer.",
            )
        check_packages(PACKAGES, "onnx")

    def write_weights(self, path: Path, packed: "PackedModel", model: Any, facts: Mapping[str, Any]) -> None:
        """Write the graph; raises MpqError E-EXPORT when torch cannot export the model."""
        from bert_mpq.export.onnx_file import write_onnx
        from bert_mpq.export.onnx_modules import with_operators

        write_onnx(path, with_operators(model, packed), facts)

    def write(
        self, folder: Path, packed: "PackedModel", model: Any, tokenizer: Any, facts: Mapping[str, Any]
    ) -> Path:
        """Write what every format writes, and the checksums of it."""
        from bert_mpq.export.checksums import write_checksums

        path = super().write(folder, packed, model, tokenizer, facts)
        write_checksums(folder)
        return path

    def config(self, packed: "PackedModel", model: Any) -> Any:
        """Return the config, with what transformers.js must know."""
        config = super().config(packed, model)
        config.update({"transformers.js_config": {"dtype": "fp32"}})
        return config

    def predicted_bytes(self, sizes: SizeReport, packed: "PackedModel") -> int:
        """Return the bytes of codes in their containers, of float32 scales and of plain tensors."""
        from bert_mpq.export.onnx_modules import stored_bytes

        return stored_bytes(packed)

    def header_bytes(self, path: Path) -> int:
        """Return the bytes of the graph."""
        import onnx

        graph = onnx.load(str(path), load_external_data=False).graph
        return path.stat().st_size - sum(len(tensor.raw_data) for tensor in graph.initializer)

    def load(self, folder: Path | str) -> Any:
        """Return the folder at work; raises as ``OnnxClassifier``."""
        from bert_mpq.export.onnx_classifier import OnnxClassifier

        return OnnxClassifier(user_path(folder))


class OnnxInt8(Onnx):
    """The fast form: 8-bit weights per channel and 8-bit activations. It is another model, and measured."""

    title = "8-bit weights and activations: faster, measured anew"
    tolerance = None
    rounding = "rounded to 8 bits per channel"
    measured = True
    memory = "It computes with 8-bit integers. bert-mpq bench measures memory and speed here."
    caveats = (
        "Every encoder weight has 8 bits here, and activations are rounded to 8 bits as they come: another"
        " model than the evaluated one. Its own accuracy stands above.",
        "The graph was checked on a CPU only. Processors without VNNI may cut off sums of 8-bit products: the"
        " accuracy is that of the processor named above.",
        Onnx.caveats[-1],
    )

    def write_weights(self, path: Path, packed: "PackedModel", model: Any, facts: Mapping[str, Any]) -> None:
        """Write the graph; raises as ``Onnx``."""
        from bert_mpq.compute.encoder import linear_names
        from bert_mpq.export.onnx_file import write_onnx
        from bert_mpq.export.onnx_modules import with_int8_activations

        linears = [name for layer in linear_names(model) for name in layer]
        write_onnx(path, with_int8_activations(model, packed, linears), facts)

    def predicted_bytes(self, sizes: SizeReport, packed: "PackedModel") -> int:
        """Return the bytes of 8-bit codes, of tables as the plan counts them and of plain tensors."""
        rest = sizes.embedding_bits + sizes.norm_bits + sizes.head_bits
        return sizes.linear_weights + (rest + packed.buffer_bits) // 8
