"""The whole command on one GPU, on several in one process (DataParallel), and in a process for each.

Run: python tests/benchmarks/several_gpus.py --json several.json [--models bert-base] [--ways one,torchrun:2]

Both phases with three similarity metrics and the predicted damage, each command in fresh processes: BERT-base
(random weights) on 8,000 reviews cut to 512 tokens in TF32, and the embedded classifier on all 12,450 cut to
256 in FP32. ``bert-base-25k`` is the first one on 24,904 reviews in each phase: all distinct ones of the
training split, and in Phase 2 the same ones with a full stop more.

Seconds come from the run records. Prints one Markdown table; the JSON is written after every command, and
commands that it holds already are not run again. With ``--device cpu`` processes stand in for GPUs.
"""

import argparse
import csv
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

import torch
from throughput import commit, random_bert_base

from bert_mpq.compute.hardware import cores, processor
from bert_mpq.sources.classifiers import find_classifier, load_classifier
from bert_mpq.sources.reviews import find_reviews, load_reviews

ROOT = Path(__file__).parents[2]
TITLES = {"one": "one GPU", "dataparallel": "DataParallel", "torchrun": "torchrun"}
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
    "bert-base-25k": Model(name="BERT-base, 24,904 reviews", reviews=None, max_length=512, precision="tf32"),
}


@dataclass(frozen=True, kw_only=True)
class Way:
    """How the command is started, and on how many GPUs."""

    name: str
    count: int

    @classmethod
    def of(cls, text: str) -> "Way":
        """Return ``one``, ``dataparallel:2`` or ``torchrun:4``."""
        name, _, count = text.partition(":")
        return cls(name=name, count=int(count or 1))

    @property
    def title(self) -> str:
        """The head of its column."""
        return TITLES[self.name] if self.count == 1 else f"{TITLES[self.name]}, {self.count}"

    def start(self, device: str) -> tuple[list[str], dict[str, str]]:
        """Return what starts ``python -m bert_mpq`` that way, and its environment."""
        environment = dict(os.environ)
        if device == "cuda":
            visible = environment.get("CUDA_VISIBLE_DEVICES", "0,1,2,3,4,5,6,7").split(",")
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(visible[: self.count])
        several = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={self.count}"]
        return [sys.executable, *(several if self.name == "torchrun" else []), "-m", "bert_mpq"], environment


@dataclass(frozen=True, kw_only=True)
class Run:
    """One command.

    Args:
        command: seconds of the whole command.
        stages: seconds by stage; those of both phases are added up.
        scores: by metric, a value for each layer.
        arguments: without those that name the model, the data and the output folder.
        error: begin and end of what it said where it failed.
    """

    model: str
    way: str
    arguments: list[str]
    commit: str
    device: str
    cores: int
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


def measured(model: Model, sources: list[str], way: Way, options: argparse.Namespace) -> Run:
    """Run both phases in fresh processes and read their records."""
    reviews = str(options.reviews or model.reviews or "all")
    start, environment = way.start(options.device)
    precision = model.precision if options.device == "cuda" else "fp32"
    arguments = ["--device", options.device, "--precision", precision]
    arguments += ["--calibration-size", reviews, "--eval-size", reviews]
    arguments += ["--max-length", str(options.max_length or model.max_length), "--metrics", options.metrics]
    arguments += ["--quantizer", options.quantizer, "--yes", "--quiet"]
    with tempfile.TemporaryDirectory() as output:
        started = time.perf_counter()
        try:
            done = subprocess.run(
                [*start, "run", *sources, *arguments, "--output", output],
                capture_output=True,
                text=True,
                cwd=ROOT,
                env=environment,
                timeout=options.limit,
            )
            said = done.stderr or done.stdout  # ours first, then what torchrun makes of it
            error = "" if done.returncode == 0 else f"{said[:2000]} ... {said[-2000:]}"
        except subprocess.TimeoutExpired:
            error = f"not done in {options.limit:.0f} s"
        seconds = time.perf_counter() - started
        run = Run(
            model=model.name,
            way=way.title,
            arguments=arguments,
            commit=options.commit,
            device=torch.cuda.get_device_name() if options.device == "cuda" else processor(),
            cores=len(cores()),
            command=seconds,
            error=error,
        )
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


def table(runs: list[Run]) -> str:
    """Return Markdown: seconds, and in parentheses how many times as fast as one GPU."""
    good = [run for run in runs if not run.error]
    ways = list(dict.fromkeys(run.way for run in good))
    lines = ["| seconds | " + " | ".join(ways) + " |", "|---" * (len(ways) + 1) + "|"]
    for name in dict.fromkeys(run.model for run in good):
        by_way = {run.way: run for run in good if run.model == name}
        found = [by_way.get(way) for way in ways]
        one = by_way.get(TITLES["one"])
        rows = {title: [run and run.stages.get(stage) for run in found] for stage, title in STAGES.items()}
        rows["**whole command**"] = [run and run.command for run in found]
        rows["of it in no stage"] = [run and run.elsewhere for run in found]
        for title, seconds in rows.items():
            if any(seconds):
                lines.append(f"| {name}: {title} | " + " | ".join(_cells(seconds, ways)) + " |")
        if one is not None:
            worst = [f"{difference(run, one):.1e}" if run else "" for run in found]
            lines.append(f"| {name}: largest relative difference of a score | " + " | ".join(worst) + " |")
    return "\n".join(lines)


def _cells(seconds: list[float | None], ways: list[str]) -> list[str]:
    one = seconds[ways.index(TITLES["one"])] if TITLES["one"] in ways else None
    cells = []
    for way, taken in zip(ways, seconds, strict=True):
        ratio = f" ({one / taken:.2f}x)" if one and taken and way != TITLES["one"] else ""
        cells.append("" if taken is None else f"{taken:.2f}{ratio}")
    return cells


def prepared(model: str, folder: Path) -> list[str]:
    """Return the arguments that name model and data: random weights and reviews are saved in ``folder``."""
    if model == "embedded":
        return ["--model", model]
    if not (folder / "config.json").exists():
        classifier = random_bert_base(load_classifier(find_classifier("embedded")).tokenizer)
        # One label for all reviews: random ones can look swapped, and a run refuses those.
        torch.nn.init.constant_(classifier.model.classifier.bias[1:], 5.0)
        for part in (classifier.model, classifier.tokenizer):
            part.save_pretrained(folder)
    if model != "bert-base-25k":
        return ["--model", str(folder)]
    halves = [load_reviews(find_reviews("imdb"), split) for split in ("calibration", "evaluation")]
    texts = [*halves[0].texts, *halves[1].texts]
    data = folder / "data"
    data.mkdir(exist_ok=True)
    for split, more in (("train", ""), ("test", " .")):
        with (data / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(("text", "label"))
            labels = (*halves[0].labels, *halves[1].labels)
            rows.writerows(zip((text + more for text in texts), labels, strict=True))
    return ["--model", str(folder), "--data", str(data)]


def main() -> None:
    """Run every command, one after the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", default="embedded,bert-base", help="comma-separated")
    parser.add_argument("--ways", default="one,dataparallel:2,torchrun:2", help="comma-separated")
    parser.add_argument("--reviews", type=int, help="of each phase, instead of the model's")
    parser.add_argument("--max-length", type=int, help="tokens, instead of the model's")
    parser.add_argument("--metrics", default=METRICS, help="comma-separated; PWCCA needs 1,537 reviews")
    parser.add_argument("--quantizer", default="auto")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--limit", type=float, default=240.0, help="seconds for one command")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--commit", default=commit(), help="for a copy without its history")
    options = parser.parse_args()
    ways = [Way.of(text) for text in options.ways.split(",")]
    if options.device == "cpu":
        print("DataParallel is left out: it needs GPUs. tests/compute/test_replicas.py has CPU replicas.")
        ways = [way for way in ways if way.name != "dataparallel"]
    runs = list[Run]()
    if options.json and options.json.exists():
        runs = [Run(**run) for run in json.loads(options.json.read_text())["runs"]]
    with tempfile.TemporaryDirectory() as folder:
        for name in options.models.split(","):
            for way in ways:
                if any(
                    (run.model, run.way) == (MODELS[name].name, way.title) for run in runs if not run.error
                ):
                    continue
                runs.append(measured(MODELS[name], prepared(name, Path(folder)), way, options))
                print(f"{name}, {way.title}: {runs[-1].command:.1f} s {runs[-1].error}", flush=True)
                content = {"versions": versions(), "runs": [asdict(run) for run in runs]}
                if options.json:
                    options.json.write_text(json.dumps(content, indent=2) + "\n")
    print(f"\n{table(runs)}")


def versions() -> dict[str, str | None]:
    """Return the versions that the figures depend on."""
    names = ("torch", "transformers", "numpy", "scipy")
    own = {name: importlib.metadata.version(name) for name in names}
    return {**own, "cuda": torch.version.cuda, "platform": platform.platform()}


if __name__ == "__main__":
    main()
