"""What can be seen of the hardware without importing torch, for the wizard's first screens."""

import glob
import os
import platform
import shutil


def accelerator() -> str:
    """Return ``cuda``, ``mps`` or ``cpu``: a guess for defaults; a run asks PyTorch itself."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "unset").strip() not in ("", "-1"):
        windows = platform.system() == "Windows" and shutil.which("nvidia-smi")
        if glob.glob("/dev/nvidia[0-9]*") or windows:
            return "cuda"
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return "mps"
    return "cpu"
