"""Phase 1 and Phase 2 on a GPU, against the bare model and against the original tool's way of doing it.

Run: python tests/benchmarks/gpu.py --model bert-base --reviews 25000 --precision fp32 --json out.json

The original's way, from its description: every review padded to 512 tokens, batches of 64, FP32, hidden
states of every layer kept on the host, the weights of a layer fake-quantized anew at every forward pass.
It is measured on a part of the reviews and given as a rate.
"""

import argparse
import copy
import json
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import transformers
from torch import nn

from bert_mpq import __version__
from bert_mpq.encoder import encoder_layers, linears
from bert_mpq.evaluation import Logits, evaluate
from bert_mpq.probing import Probe
from bert_mpq.quantization import per_tensor
from bert_mpq.quantization.modules import quantized_copy
from bert_mpq.reporting import Silent
from bert_mpq.sensitivity import measure, score
from bert_mpq.sources.batches import TokenizedReviews, tokenize
from bert_mpq.sources.classifiers import Classifier, ModelSource, find_classifier, load_classifier
from bert_mpq.sources.devices import Machine, pick_machine
from bert_mpq.sources.reviews import Reviews, find_reviews, load_reviews


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measurement."""

    what: str
    precision: str
    reviews: int
    seconds: float
    teraflops: float

    @property
    def rate(self) -> float:
        """Reviews per second."""
        return self.reviews / self.seconds


def seconds(work, machine: Machine) -> float:
    """Time ``work()``, the GPU's queue included."""
    if machine.device.type == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    work()
    if machine.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def ceiling(machine: Machine, size: int = 8192) -> float:
    """Return the card's measured matmul rate in TFLOP/s, in the machine's precision."""
    kind = torch.bfloat16 if machine.precision == "bf16" else torch.float32
    a, b = (torch.randn(size, size, device=machine.device, dtype=kind) for _ in range(2))
    with machine.working(), machine.arithmetic():
        a @ b
        took = seconds(lambda: [a @ b for _ in range(5)], machine)
    return 5 * 2 * size**3 / took / 1e12


def base_classifier(tokenizer) -> Classifier:
    """Return a BERT-base with random weights: enough for speed."""
    torch.manual_seed(0)
    model = transformers.BertForSequenceClassification(transformers.BertConfig(num_labels=2)).eval()
    source = ModelSource(
        name="random BERT-base", kind="folder", layers=12, hidden=768, layer_weights=7077888, max_length=512
    )
    return Classifier(source=source, model=model, tokenizer=tokenizer)


def repeated(reviews: Reviews, size: int) -> Reviews:
    """Return ``size`` reviews, from the beginning again when they run out."""
    return reviews.take([index % len(reviews) for index in range(size)])


def forward_flops(classifier: Classifier, tokens: TokenizedReviews) -> float:
    """Return the arithmetic of one forward pass over the sample: Linear modules and attention, no padding."""
    source, lengths = classifier.source, tokens.lengths.astype(np.float64)
    per_token = 2 * source.layer_weights + 4 * source.hidden * lengths
    return float(source.layers * (lengths * per_token).sum())


def bare(classifier: Classifier, tokens: TokenizedReviews, machine: Machine, budget: int) -> None:
    """The limit: the model over the same batches, ready on the host, and nothing else."""
    module = Logits(classifier.model).to(machine.device).eval()
    for indices in tokens.plan(budget):
        batch = tokens.batch(indices)
        with machine.working(), machine.arithmetic():
            module(machine.move(batch.input_ids), machine.move(batch.attention_mask))


class RequantizedLinear(nn.Module):
    """The original's layer: it quantizes its weight at every forward pass."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        weight = per_tensor.quantize(self.linear.weight, 4, None).dequantize()
        return nn.functional.linear(rows, weight, self.linear.bias)


def original(classifier: Classifier, tokens: TokenizedReviews, machine: Machine, quantize: bool) -> None:
    """The original's way: padded to 512, batches of 64, hidden states of every layer to the host."""
    model = copy.deepcopy(classifier.model).to(machine.device).eval()
    for layer in encoder_layers(model) if quantize else ():
        for name, linear in linears(layer):
            layer.set_submodule(name, RequantizedLinear(linear))
    kept = []
    for start in range(0, len(tokens), 64):
        batch = tokens.batch(np.arange(start, min(start + 64, len(tokens))))
        pad = 512 - batch.input_ids.shape[1]
        ids, mask = (nn.functional.pad(t, (0, pad)) for t in (batch.input_ids, batch.attention_mask))
        with machine.working(), machine.arithmetic():
            out = model(
                input_ids=ids.to(machine.device),
                attention_mask=mask.to(machine.device),
                output_hidden_states=True,
            )
            kept.append([state.mean(1).cpu() for state in out.hidden_states[1:]])


def run(classifier: Classifier, tokens: TokenizedReviews, machine: Machine, part: int) -> list[Row]:
    """Measure everything once, after a warm-up."""
    flops = forward_flops(classifier, tokens) / 1e12
    budget, precision = machine.batch_tokens, machine.precision
    few = TokenizedReviews(
        ids=tokens.ids, offsets=tokens.offsets[: part + 1], labels=tokens.labels[:part], pad_id=tokens.pad_id
    )
    bare(classifier, few, machine, budget)
    rows = []

    def add(what: str, work, passes: float, sample: TokenizedReviews = tokens) -> None:
        took = seconds(work, machine)
        share = len(sample) / len(tokens)
        row = Row(
            what=what,
            precision=precision,
            reviews=len(sample),
            seconds=took,
            teraflops=passes * flops * share / took,
        )
        rows.append(row)
        print(
            f"{what}, {precision}: {took:.2f} s, {row.rate:.0f} reviews/s, {row.teraflops:.1f} TFLOP/s",
            flush=True,
        )

    layers = classifier.source.layers
    add("bare forward pass", lambda: bare(classifier, tokens, machine, budget), 1)
    add(
        "Phase 2, one evaluation",
        lambda: evaluate(classifier.model, tokens, machine, budget, Silent(), ""),
        1,
    )
    for scope, passes in (("isolated", 2.0), ("propagated", 1 + (layers + 1) / 2)):
        probe = Probe(scope=scope, pooling="mean", bits=(4,), quantizer="rtn", group_size=64)
        metrics = ("pwcca", "cka", "svcca")

        def phase_1(probe=probe, metrics=metrics) -> None:
            score(measure(classifier, tokens, probe, machine, budget, Silent()), metrics, Silent())

        add(f"Phase 1, {scope}, three metrics", phase_1, passes)
    if precision == "fp32":
        add("the original's extraction", lambda: original(classifier, few, machine, True), 1, few)
        add(
            "the original's forward pass, FP32 weights",
            lambda: original(classifier, few, machine, False),
            1,
            few,
        )
        bits = [16, 8, 4] * layers
        add("quantize once", lambda: quantized_copy(classifier.model, bits[:layers], "rtn", 64), 0)
    return rows


def noise_floor(classifier: Classifier, tokens: TokenizedReviews, machine: Machine) -> dict[str, list[float]]:
    """Return the scores of FP32 against FP32 in batches of another shape: below them all is noise."""
    probe = Probe(scope="propagated", pooling="mean", bits=(32,), quantizer="rtn", group_size=64)
    result = measure(classifier, tokens, probe, machine, machine.batch_tokens, Silent())
    return {entry.metric: list(entry.values) for entry in score(result, ("pwcca", "cka"), Silent()).scores}


def main() -> None:
    """Print a line a measurement, and write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=["bert-base", "embedded"], default="bert-base")
    parser.add_argument("--reviews", type=int, default=25_000)
    parser.add_argument("--part", type=int, default=1_024, help="reviews for the original's way")
    parser.add_argument("--max-length", type=int, default=512)
    parser.add_argument("--precision", default="fp32", help="comma-separated")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    embedded = load_classifier(find_classifier("embedded"))
    classifier = embedded if arguments.model == "embedded" else base_classifier(embedded.tokenizer)
    reviews = repeated(load_reviews(find_reviews("imdb"), "calibration"), arguments.reviews)
    started = time.perf_counter()
    tokens = tokenize(reviews, embedded.tokenizer, arguments.max_length, Silent())
    report = {
        "version": __version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "platform": platform.platform(),
        "model": arguments.model,
        "reviews": len(tokens),
        "tokens": int(tokens.lengths.sum()),
        "max_length": arguments.max_length,
        "tokenize_seconds": time.perf_counter() - started,
        "forward_teraflop": forward_flops(classifier, tokens) / 1e12,
        "runs": [],
    }
    for precision in arguments.precision.split(","):
        machine = pick_machine(arguments.device, precision)
        cuda = machine.device.type == "cuda"
        report["device"] = torch.cuda.get_device_name() if cuda else platform.processor()
        rows = run(classifier, tokens, machine, min(arguments.part, len(tokens)))
        entry = {
            "precision": precision,
            "matmul_teraflops": ceiling(machine) if cuda else None,
            "peak_gpu_bytes": torch.cuda.max_memory_allocated() if cuda else None,
            "rows": [{**asdict(row), "reviews_per_second": row.rate} for row in rows],
        }
        if arguments.model == "embedded":
            entry["noise_floor"] = noise_floor(classifier, tokens, machine)
        print(json.dumps({key: value for key, value in entry.items() if key != "rows"}), flush=True)
        report["runs"].append(entry)
        if arguments.json:
            arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
