"""Time from starting ``bert-mpq`` to its first prompt, in a pseudo-terminal.

Run: python tests/benchmarks/first_prompt.py [--repeat 5]
"""

import argparse
import os
import sys
import tempfile
import time

import pexpect


def first_prompt() -> float:
    """Return the seconds until the question is on the screen."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        environment = {**os.environ, "TERM": "xterm-256color"}
        child = pexpect.spawn(sys.executable, ["-m", "bert_mpq"], cwd=folder, env=environment, timeout=30)
        child.expect("What would you like to do")
        seconds = time.perf_counter() - started
        child.close(force=True)
    return seconds


def main() -> None:
    """Print every run and the best one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=5)
    runs = [first_prompt() for _ in range(parser.parse_args().repeat)]
    print(f"seconds to the first prompt: {', '.join(f'{run:.2f}' for run in runs)}; best {min(runs):.2f}")


if __name__ == "__main__":
    main()
