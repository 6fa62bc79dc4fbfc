"""Fuzz every parser for as long as you like, guided by coverage where atheris is installed (extra ``fuzz``).

Run: python -m tests.fuzz.soak --inputs 20000

Each parser runs in a process of its own. It fails on anything but a result or an ``MpqError`` of one
sentence, and when the process has grown by more than ``LARGEST_GROWTH`` bytes.
"""

import argparse
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LARGEST_GROWTH = 256 * 2**20


class Seeded:
    """Decisions from a seed."""

    def __init__(self, seed: int) -> None:
        self._generator = random.Random(seed)

    def integer(self, low: int, high: int) -> int:
        return self._generator.randint(low, high)


def peak() -> int:
    """Return the largest memory of this process so far, in bytes."""
    scale = 1 if sys.platform == "darwin" else 1024
    return scale * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def soak(name: str, inputs: int) -> None:
    """Fuzz one parser in this process; atheris ends the process itself."""
    try:
        import atheris
    except ImportError:
        atheris = None
    if atheris is None:
        from tests.fuzz.fuzz_targets import TARGETS
    else:
        with atheris.instrument_imports(include=["bert_mpq"]):
            from tests.fuzz.fuzz_targets import TARGETS
    target, folder = TARGETS[name], Path(tempfile.mkdtemp(prefix="bert-mpq-fuzz-"))
    valid, counts, started = target.valid(), [0, 0], time.monotonic()
    assert target.attempt(folder, valid)
    before = peak()

    def attempt(content: bytes) -> None:
        counts[target.attempt(folder, content)] += 1
        assert peak() - before < LARGEST_GROWTH, f"{peak() - before:,} bytes more after {content[:200]!r}"
        if sum(counts) == inputs:
            print(
                f"| {name} | {inputs:,} | {counts[1]:,} | {(peak() - before) / 2**20:.0f} MiB"
                f" | {time.monotonic() - started:.0f} s |",
                flush=True,
            )

    if atheris is None:
        for seed in range(inputs):
            attempt(target.broken(valid, Seeded(seed)))
        return

    class Provided:
        def __init__(self, data: bytes) -> None:
            self._provider = atheris.FuzzedDataProvider(data)

        def integer(self, low: int, high: int) -> int:
            return self._provider.ConsumeIntInRange(low, high)

    def one(data: bytes) -> None:
        # Half of the inputs are decisions about a valid file, half are the file itself.
        guided = bool(data[:1] and data[0] & 1)
        attempt(target.broken(valid, Provided(data[1:])) if guided else data[1:])

    corpus = Path(tempfile.mkdtemp(prefix="bert-mpq-corpus-"))
    (corpus / "valid").write_bytes(b"\x00" + valid)
    for seed in range(32):
        (corpus / f"seed{seed}").write_bytes(b"\x01" + random.Random(seed).randbytes(64))
    flags = [sys.argv[0], f"-runs={inputs}", "-max_len=8192", "-verbosity=0", "-print_final_stats=0"]
    flags.append(f"-artifact_prefix={folder}/")  # a finding's input lies there, not in the working folder
    atheris.Setup([*flags, str(corpus)], one)
    atheris.Fuzz()


def main() -> int:
    """Fuzz every parser, one process each; return the number of those with a finding."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--target")
    arguments = parser.parse_args()
    if arguments.target:
        soak(arguments.target, arguments.inputs)
        return 0
    from tests.fuzz.fuzz_targets import TARGETS

    print("| parser | inputs | accepted | memory | time |\n|---|---|---|---|---|", flush=True)
    failed = 0
    for name in TARGETS:
        command = [sys.executable, "-m", "tests.fuzz.soak", "--inputs", str(arguments.inputs), "--target"]
        done = subprocess.run([*command, name], capture_output=True, text=True)
        print(done.stdout.strip() or done.stderr[-2_000:], flush=True)
        failed += done.returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
