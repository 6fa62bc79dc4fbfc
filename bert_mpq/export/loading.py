"""``bert_mpq.load``: a model in the tool's own layout, as a transformers classifier."""

from pathlib import Path
from typing import Any

import torch

from bert_mpq.export.formats.mpq import WEIGHTS_FILE, broken_file, read_weights
from bert_mpq.settings.paths import user_path


def load(folder: Path | str) -> Any:
    """Return the classifier of a folder that ``bert-mpq export --format mpq`` wrote.

    The weights are dequantized to float32: the file is small, the model in memory is not. Its tokenizer is
    ``AutoTokenizer.from_pretrained(folder)``. No code of the folder is run.

    Args:
        folder: the exported folder.

    Returns:
        A transformers model for sequence classification, in evaluation mode.

    Raises:
        MpqError: E-NOFILE when there is no such folder or file, E-MODEL when it is broken.
    """
    from transformers import AutoConfig, AutoModelForSequenceClassification

    path = user_path(folder) / WEIGHTS_FILE
    state = read_weights(path).state()
    try:
        config = AutoConfig.from_pretrained(path.parent, trust_remote_code=False, local_files_only=True)
        if not 0 < config.num_hidden_layers <= len(state):
            raise ValueError("config.json is of another model")
        # First without memory, so that a wrong config.json cannot ask for any amount of it.
        with torch.device("meta"):
            shapes = AutoModelForSequenceClassification.from_config(config).state_dict()
        if mismatch := _mismatch(shapes, state):
            raise ValueError(f"{mismatch} does not fit config.json")
        model = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
        model.load_state_dict(state)
    except Exception as error:  # every version of transformers refuses a wrong config.json in its own way
        reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
        raise broken_file(path, reason.rstrip(".")) from error
    return model.eval()


def _mismatch(shapes: dict[str, torch.Tensor], state: dict[str, torch.Tensor]) -> str:
    """Return the first tensor that only one side has, or has in another shape; "" when all agree."""
    for name in sorted({*shapes, *state}):
        if name not in shapes or name not in state or shapes[name].shape != state[name].shape:
            return name
    return ""
