"""What can be seen of the hardware without importing torch, for the wizard's first screens."""

import glob
import os
import platform
import re
import shutil
from pathlib import Path

FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")


def accelerator() -> str:
    """Return ``cuda``, ``mps`` or ``cpu``: a guess for defaults; a run asks PyTorch itself."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "unset").strip() not in ("", "-1"):
        windows = platform.system() == "Windows" and shutil.which("nvidia-smi")
        if glob.glob("/dev/nvidia[0-9]*") or windows:
            return "cuda"
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return "mps"
    return "cpu"


def processor() -> str:
    """Return the processor's name, and what it has for products of integers."""
    try:
        facts = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or platform.machine()
    named = re.search(r"^model name\s*:\s*(.*)$", facts, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", facts, re.MULTILINE)
    present = set(flags[1].split()) if flags else set()
    words = [feature for feature in FEATURES if feature in present]
    return f"{named[1] if named else platform.machine()} ({', '.join(words) or 'no vector features known'})"


def cores() -> list[int]:
    """Return the processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
