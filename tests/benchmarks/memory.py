"""Peak memory of Phase 1 at two sizes: it must not grow with the number of reviews.

Run: python tests/benchmarks/memory.py [--sizes 1000,4000] [--max-length 32]
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile


def child(size: int, max_length: int) -> None:
    """Run Phase 1 and print the peak resident set in MiB."""
    from bert_mpq import RunConfig, analyse

    with tempfile.TemporaryDirectory() as folder:
        config = RunConfig(model="embedded", calibration_size=size, max_length=max_length, output=folder)
        analyse(config)
    unit = 1024**2 if sys.platform == "darwin" else 1024
    print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit))


def main() -> None:
    """Compare the sizes, each in its own process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="1000,4000")
    parser.add_argument("--max-length", type=int, default=32)
    parser.add_argument("--child", type=int)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child, arguments.max_length)
        return
    peaks = []
    print("| reviews | peak memory (MiB) | ratio |\n|---|---|---|")
    for size in map(int, arguments.sizes.split(",")):
        command = [sys.executable, __file__, "--child", str(size), "--max-length", str(arguments.max_length)]
        peaks.append(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
        print(f"| {size:,} | {peaks[-1]:.0f} | {peaks[-1] / peaks[0]:.3f} |", flush=True)


if __name__ == "__main__":
    main()
