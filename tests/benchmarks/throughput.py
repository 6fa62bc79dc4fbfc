"""What the speed benchmarks share: the phases, the bare model, and the way of the script this tool replaces.

That script's way, from its description: every review padded to 512 tokens, fixed batches in the order of the
sample, hidden states of every layer brought to the host, the weights of a layer fake-quantized anew at every
forward pass. Its Phase 1 is one FP32 and one quantized pass, its Phase 2 one quantized pass per evaluation.
"""

import copy
import subprocess
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import transformers
from torch import nn

from bert_mpq.compute.batches import Batch, TokenizedReviews
from bert_mpq.compute.devices import Machine
from bert_mpq.compute.encoder import encoder_layers, linears
from bert_mpq.compute.evaluate import Logits, evaluate
from bert_mpq.compute.reporting import Silent
from bert_mpq.compute.reviews import Reviews
from bert_mpq.compute.workload import Workload
from bert_mpq.quantization import per_tensor
from bert_mpq.sensitivity.measure import Measurement, measure
from bert_mpq.sensitivity.probe import Probe
from bert_mpq.sensitivity.scoring import score
from bert_mpq.settings.choices import Scope
from bert_mpq.settings.metrics import Metric
from bert_mpq.sources.classifiers import Classifier, ModelSource
from tests.helpers.quantized import quantized_at

PADDED = 512
SCORING = "score three metrics, with intervals"  # costs the same whatever the number of reviews
METRICS: tuple[Metric, ...] = ("pwcca", "cka", "svcca")


@dataclass(frozen=True, kw_only=True)
class Work:
    """Something to time.

    Args:
        what: in words.
        passes: forward passes that its arithmetic amounts to; 0 where that means nothing.
        run: does it over a sample.
        slow: it is timed on a part of the sample.
    """

    what: str
    passes: float
    run: Callable[[TokenizedReviews], None]
    slow: bool = False


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measurement."""

    what: str
    precision: str
    passes: float
    reviews: int
    seconds: float
    teraflops: float

    @property
    def rate(self) -> float:
        """Reviews per second."""
        return self.reviews / self.seconds


def works(classifier: Classifier, machine: Machine, batch: int, scopes: Iterable[Scope]) -> list[Work]:
    """Return everything that is compared; the bare forward pass first.

    Args:
        classifier: the model.
        machine: where it runs.
        batch: reviews per forward pass of the replaced script's way.
        scopes: of Phase 1.
    """
    layers = classifier.source.layers
    passes: dict[Scope, float] = {"isolated": 2.0, "propagated": 1 + (layers + 1) / 2, "cumulative": 2.0}
    bits = [(16, 8, 4)[layer * 3 // layers] for layer in range(layers)]
    last: list[Measurement] = []

    def compare(scope: Scope, tokens: TokenizedReviews) -> None:
        probe = Probe(scope=scope, pooling="mean", bits=(4,), quantizer="rtn", group_size=64)
        last[:] = [measure(classifier, Workload(tokens=tokens, machine=machine), probe, Silent())]

    return [
        Work(what="bare forward pass", passes=1, run=lambda tokens: bare(classifier, tokens, machine)),
        Work(
            what="Phase 2, one evaluation",
            passes=1,
            run=lambda tokens: _evaluate(classifier.model, tokens, machine),
        ),
        *(
            Work(
                what=f"Phase 1, {scope}",
                passes=passes[scope],
                run=lambda tokens, scope=scope: compare(scope, tokens),
            )
            for scope in scopes
        ),
        Work(what=SCORING, passes=0, run=lambda _: _score(last[0])),
        Work(
            what=f"quantize to {'/'.join(map(str, sorted(set(bits), reverse=True)))} bits",
            passes=0,
            run=lambda _: _quantize(classifier, bits),
        ),
        Work(
            what="original, FP32 pass",
            passes=1,
            slow=True,
            run=lambda tokens: original(classifier, tokens, machine, batch, False),
        ),
        Work(
            what="original, quantized pass",
            passes=1,
            slow=True,
            run=lambda tokens: original(classifier, tokens, machine, batch, True),
        ),
    ]


def measured(work: Work, classifier: Classifier, tokens: TokenizedReviews, machine: Machine) -> Row:
    """Time ``work`` over ``tokens``, the GPU's queue included."""
    _wait(machine)
    started = time.perf_counter()
    work.run(tokens)
    _wait(machine)
    took = time.perf_counter() - started
    return Row(
        what=work.what,
        precision=machine.precision,
        passes=work.passes,
        reviews=len(tokens),
        seconds=took,
        teraflops=work.passes * forward_flops(classifier, tokens) / took / 1e12,
    )


def table(rows: list[Row]) -> str:
    """Return Markdown: rates, beside the bare pass and the replaced script in the same precision."""
    lines = [
        "| | precision | reviews | seconds | reviews/s | TFLOP/s | of the bare pass's time x its passes |",
        "|---|---|---|---|---|---|---|",
    ]
    bare_rate = {row.precision: row.rate for row in rows if row.what == "bare forward pass"}
    for row in rows:
        ratio = bare_rate.get(row.precision, 0.0) / row.rate / row.passes if row.passes else 0.0
        lines.append(
            f"| {row.what} | {row.precision} | {row.reviews:,} | {row.seconds:.2f} | {row.rate:.1f} |"
            f" {row.teraflops:.3g} | {f'{ratio:.2f}' if ratio else ''} |"
        )
    return "\n".join(lines)


def speedups(rows: list[Row]) -> str:
    """Return Markdown: how much faster than the replaced script each phase is."""
    seconds = {(row.what, row.precision): 1 / row.rate for row in rows}  # per review
    fp32, quantized = (seconds.get((f"original, {kind} pass", "fp32")) for kind in ("FP32", "quantized"))
    lines = ["| | precision | times the replaced script's rate |", "|---|---|---|"]
    for (what, precision), took in seconds.items():
        if what.startswith("Phase") and fp32 and quantized:
            originally = fp32 + quantized if what.startswith("Phase 1") else quantized
            lines.append(f"| {what} | {precision} | {originally / took:.1f} |")
    return "\n".join(lines)


def random_bert_base(tokenizer: object) -> Classifier:
    """Return a BERT-base with random weights: enough for speed."""
    torch.manual_seed(0)
    model = transformers.BertForSequenceClassification(transformers.BertConfig(num_labels=2)).eval()
    source = ModelSource(
        name="random BERT-base", kind="folder", layers=12, hidden=768, inner=3072, max_length=512
    )
    return Classifier(source=source, model=model, tokenizer=tokenizer, encoder_fingerprint="")


def commit() -> str:
    """Return the commit, or "" in a copy that git does not know."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent)
    except OSError:
        return ""
    return answer.stdout.strip()


def repeated(reviews: Reviews, size: int) -> Reviews:
    """Return ``size`` reviews, from the beginning again when they run out."""
    return reviews.take([index % len(reviews) for index in range(size)])


def forward_flops(classifier: Classifier, tokens: TokenizedReviews) -> float:
    """Return the arithmetic of one forward pass over the sample: Linear modules and attention, no padding."""
    source, lengths = classifier.source, tokens.lengths.astype(np.float64)
    per_token = 2 * source.layer_weights + 4 * source.hidden * lengths
    return float(source.layers * (lengths * per_token).sum())


def bare(classifier: Classifier, tokens: TokenizedReviews, machine: Machine) -> None:
    """The limit: the model over the tool's batches, on as many of them at once as the tool, and no more."""
    module = Logits(classifier.model).to(machine.device).eval()

    def forward(indices: np.ndarray) -> None:
        batch: Batch = tokens.batch(indices)
        with machine.arithmetic():
            module(machine.move(batch.input_ids), machine.move(batch.attention_mask))

    plan = tokens.plan(machine.batch_tokens)
    with machine.working() as workers:
        if workers == 1:
            for indices in plan:
                forward(indices)
            return
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(forward, plan))


class RequantizedLinear(nn.Module):
    """The replaced script's layer: it quantizes its weight at every forward pass."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the layer's output for (..., in) rows."""
        weight = per_tensor.quantize(self.linear.weight, 4, None).dequantize()
        return nn.functional.linear(rows, weight, self.linear.bias)


def original(
    classifier: Classifier, tokens: TokenizedReviews, machine: Machine, size: int, quantize: bool
) -> None:
    """The replaced script's way: padded to 512, batches of ``size``, all hidden states to the host."""
    model = copy.deepcopy(classifier.model).to(machine.device).eval()
    for layer in encoder_layers(model) if quantize else ():
        for name, linear in linears(layer):
            layer.set_submodule(name, RequantizedLinear(linear))
    kept = []
    for start in range(0, len(tokens), size):
        batch = tokens.batch(np.arange(start, min(start + size, len(tokens))))
        pad = PADDED - batch.input_ids.shape[1]
        ids, mask = (nn.functional.pad(t, (0, pad)) for t in (batch.input_ids, batch.attention_mask))
        with torch.inference_mode():
            out = model(
                input_ids=ids.to(machine.device),
                attention_mask=mask.to(machine.device),
                output_hidden_states=True,
            )
            kept.append([state.mean(1).cpu() for state in out.hidden_states[1:]])


def _score(measurement: Measurement) -> None:
    score(measurement, METRICS, Silent())


def _evaluate(model: nn.Module, tokens: TokenizedReviews, machine: Machine) -> None:
    evaluate(model, Workload(tokens=tokens, machine=machine), Silent(), "")


def _quantize(classifier: Classifier, bits: list[int]) -> None:
    quantized_at(classifier.model, bits, "rtn", 64)


def _wait(machine: Machine) -> None:
    if machine.device.type == "cuda":
        torch.cuda.synchronize()
