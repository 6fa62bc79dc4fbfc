"""The whole command on one GPU, on all of them in one process (DataParallel), and in a process for each.

Run: python tests/benchmarks/several_gpus.py --json several.json [--models bert-base] [--ways one,torchrun]

Both phases with three similarity metrics and the predicted damage, each command in fresh processes: BERT-base
(random weights) on 8,000 reviews cut to 512 tokens in TF32, and the embedded classifier on all 12,450 cut to
256 in FP32. Seconds come from the run records. Prints one Markdown table; the JSON is written after every
command. Without a GPU (``--device cpu``) two processes stand in for two GPUs.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from throughput import commit, random_bert_base

from bert_mpq.compute.hardware import cores, processor
from bert_mpq.sources.classifiers import find_classifier, load_classifier

ROOT = Path(__file__).parents[2]
WAYS = {"one": "one GPU", "dataparallel": "DataParallel", "torchrun": "torchrun"}
METRICS = "pwcca,cka,svcca,predicted"
STAGES = {
    "Compare activations": "Phase 1, the pass",
    "Score layers": "scoring",
    "Predict the damage": "predicted damage",
    "Evaluate FP32": "one evaluation, FP32",
    "Evaluate quantized": "one evaluation, quantized",
    "Quantize the twins": "quantizing the twins",
    "Quantize": "quantizing the mix",
    "Start PyTorch": "starting, imports",
    "Load the model": "loading the model",
    "Read and tokenize": "reading and tokenizing",
    "Check the labels": "checking the labels",
    "Read for GPTQ": "reading for GPTQ",
}


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model, and the sample it is measured on; None = all reviews."""

    name: str
    reviews: int | None
    max_length: int
    precision: str


MODELS = {
    "embedded": Model(name="embedded classifier", reviews=None, max_length=256, precision="fp32"),
    "bert-base": Model(name="BERT-base, random weights", reviews=8_000, max_length=512, precision="tf32"),
}


@dataclass(frozen=True, kw_only=True)
class Run:
    """One command.

    Args:
        command: seconds of the whole command.
        stages: seconds by stage; those of both phases are added up.
        scores: by metric, a value for each layer.
        error: the end of what it said where it failed.
    """

    model: str
    way: str
    arguments: list[str]
    command: float
    num_gpus: int = 0
    processes: int = 0
    stages: dict[str, float] = field(default_factory=dict)
    scores: dict[str, list[float]] = field(default_factory=dict)
    error: str = ""

    @property
    def elsewhere(self) -> float:
        """Seconds in no stage."""
        return self.command - sum(self.stages.values())


def launched(way: str, count: int, device: str) -> tuple[list[str], dict[str, str]]:
    """Return what starts ``python -m bert_mpq`` that way on ``count`` GPUs, and its environment."""
    environment = dict(os.environ)
    if way == "one" and device == "cuda":
        environment["CUDA_VISIBLE_DEVICES"] = "0"
    several = ["-m", "torch.distributed.run", f"--nproc-per-node={count}"] if way == "torchrun" else []
    return [sys.executable, *several, "-m", "bert_mpq"], environment


def measured(model: Model, folder: str, way: str, options: argparse.Namespace) -> Run:
    """Run both phases in fresh processes and read their records."""
    reviews = str(options.reviews or model.reviews or "all")
    start, environment = launched(way, options.count, options.device)
    precision = model.precision if options.device == "cuda" else "fp32"
    arguments = ["run", "--model", folder, "--device", options.device, "--precision", precision]
    arguments += ["--calibration-size", reviews, "--eval-size", reviews]
    arguments += ["--max-length", str(options.max_length or model.max_length), "--metrics", options.metrics]
    arguments += ["--quantizer", options.quantizer, "--yes", "--quiet"]
    with tempfile.TemporaryDirectory() as output:
        started = time.perf_counter()
        try:
            done = subprocess.run(
                [*start, *arguments, "--output", output],
                capture_output=True,
                text=True,
                cwd=ROOT,
                env=environment,
                timeout=options.limit,
            )
            error = "" if done.returncode == 0 else (done.stderr or done.stdout)[-2000:]
        except subprocess.TimeoutExpired:
            error = f"not done in {options.limit:.0f} s"
        seconds = time.perf_counter() - started
        run = Run(model=model.name, way=way, arguments=arguments, command=seconds, error=error)
        return run if error else with_records(run, Path(output))


def with_records(run: Run, output: Path) -> Run:
    """Return the run with what its records say."""
    paths = (*output.glob("Sensitivities/run_*.json"), *output.glob("Evaluation/eval_*.json"))
    first, second = (json.loads(path.read_text()) for path in paths)
    stages: dict[str, float] = {}
    for stage in (*first["stages"], *second["stages"]):
        stages[stage["name"]] = stages.get(stage["name"], 0.0) + stage["seconds"]
    scores = {s["metric"]: [layer["value"] for layer in s["layers"]] for s in first["scores"]}
    setting = first["setting"]
    return replace(
        run,
        stages=stages,
        scores={**scores, "kl": first["kl"]},
        num_gpus=setting["num_gpus"],
        processes=setting["processes"],
    )


def difference(run: Run, one: Run) -> float:
    """Return the largest relative difference of a score from that of one GPU."""
    pairs = (
        (a, b) for metric, own in run.scores.items() for a, b in zip(own, one.scores[metric], strict=True)
    )
    return max(abs(a - b) / abs(b) if b else abs(a - b) for a, b in pairs)


def table(runs: list[Run], ways: list[str], count: int) -> str:
    """Return Markdown: seconds, and in parentheses how many times as fast as one GPU."""
    titles = [WAYS[way] if way == "one" else f"{WAYS[way]}, {count}" for way in ways]
    lines = ["| seconds | " + " | ".join(titles) + " |", "|---" * (len(ways) + 1) + "|"]
    for name in dict.fromkeys(run.model for run in runs):
        good = {run.way: run for run in runs if run.model == name and not run.error}
        found = [good.get(way) for way in ways]
        rows = {title: [run and run.stages.get(stage) for run in found] for stage, title in STAGES.items()}
        rows["**whole command**"] = [run and run.command for run in found]
        rows["of it in no stage"] = [run and run.elsewhere for run in found]
        for title, seconds in rows.items():
            lines.append(f"| {name}: {title} | " + " | ".join(_cells(seconds, ways)) + " |")
        if "one" in good:
            worst = [f"{difference(run, good['one']):.1e}" if run else "" for run in found]
            lines.append(f"| {name}: largest relative difference of a score | " + " | ".join(worst) + " |")
    return "\n".join(lines)


def _cells(seconds: list[float | None], ways: list[str]) -> list[str]:
    one = seconds[ways.index("one")] if "one" in ways else None
    cells = []
    for way, taken in zip(ways, seconds, strict=True):
        ratio = f" ({one / taken:.2f}x)" if one and taken and way != "one" else ""
        cells.append("" if taken is None else f"{taken:.2f}{ratio}")
    return cells


def prepared(model: str, folder: Path) -> str:
    """Return what --model takes: the name, or the folder that random weights were saved in."""
    if model != "bert-base":
        return model
    classifier = random_bert_base(load_classifier(find_classifier("embedded")).tokenizer)
    # One label for all reviews: random ones can look swapped, and a run refuses those.
    torch.nn.init.constant_(classifier.model.classifier.bias[1:], 5.0)
    for part in (classifier.model, classifier.tokenizer):
        part.save_pretrained(folder)
    return str(folder)


def facts(options: argparse.Namespace) -> dict[str, Any]:
    """Return what the figures depend on."""
    cuda = options.device == "cuda"
    return {
        "commit": options.commit,
        "device": torch.cuda.get_device_name() if cuda else processor(),
        "count": options.count,
        "cores": len(cores()),
        "cuda": torch.version.cuda if cuda else None,
        "platform": platform.platform(),
        "versions": {
            name: importlib.metadata.version(name) for name in ("torch", "transformers", "numpy", "scipy")
        },
    }


def main() -> None:
    """Run every command, one after the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", default=",".join(MODELS), help="comma-separated")
    parser.add_argument("--ways", default=",".join(WAYS), help="comma-separated")
    parser.add_argument("--reviews", type=int, help="of each phase, instead of the model's")
    parser.add_argument("--max-length", type=int, help="tokens, instead of the model's")
    parser.add_argument("--metrics", default=METRICS, help="comma-separated; PWCCA needs 1,537 reviews")
    parser.add_argument("--quantizer", default="auto")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--limit", type=float, default=240.0, help="seconds for one command")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--commit", default=commit(), help="for a copy without its history")
    options = parser.parse_args()
    options.count = torch.cuda.device_count() if options.device == "cuda" else 2
    ways, runs = options.ways.split(","), list[Run]()
    if options.device == "cpu" and "dataparallel" in ways:
        print("DataParallel is left out: it needs GPUs. tests/compute/test_replicas.py has CPU replicas.")
        ways.remove("dataparallel")
    with tempfile.TemporaryDirectory() as folder:
        for name in options.models.split(","):
            model = prepared(name, Path(folder))
            for way in ways:
                runs.append(measured(MODELS[name], model, way, options))
                print(f"{name}, {way}: {runs[-1].command:.1f} s {runs[-1].error}", flush=True)
                content = {**facts(options), "runs": [asdict(run) for run in runs]}
                if options.json:
                    options.json.write_text(json.dumps(content, indent=2) + "\n")
    print(f"\n{table(runs, ways, options.count)}")


if __name__ == "__main__":
    main()
