"""The tool's own layout, for every plan: the format ``mpq``, and ``bert_mpq.load``."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bert_mpq.export.formats.format import Safetensors
from bert_mpq.settings.paths import user_path

if TYPE_CHECKING:
    from torch import Tensor

    from bert_mpq.export.packed import PackedModel


class Mpq(Safetensors):
    """Codes of every width and scales of every kind, as ``bert_mpq.export.layout`` stores them."""

    name = "mpq"
    title = "every plan, smallest file, bit-exact; loads with bert_mpq.load"
    needs = ("bert-mpq",)
    weights_file = "model_mpq.safetensors"
    loading = (
        "import bert_mpq\nfrom transformers import AutoTokenizer\n\n"
        'model = bert_mpq.load("{folder}")\ntokenizer = AutoTokenizer.from_pretrained("{folder}")'
    )
    caveats = (
        "Saves disk space and download time. In memory the weights are float32 again: no less memory, no more"
        " speed.",
    )

    def content(self, packed: "PackedModel", facts: Mapping[str, Any]) -> bytes:
        """Return a file of our own layout."""
        from bert_mpq.export.layout import encoded

        return encoded(packed, facts)

    def load(self, folder: Path | str) -> Any:
        """Return the classifier of a folder that ``bert-mpq export --format mpq`` wrote.

        The weights are dequantized to float32: the file is small, the model in memory is not. Its tokenizer
        is ``AutoTokenizer.from_pretrained(folder)``. No code of the folder is run.

        Raises:
            MpqError: E-NOFILE when there is no such folder or file, E-MODEL when it is broken.
        """
        import torch
        from transformers import AutoConfig, AutoModelForSequenceClassification

        from bert_mpq.export.layout import broken_file, read_weights

        path = user_path(folder) / self.weights_file
        state = read_weights(path).state()
        try:
            config = AutoConfig.from_pretrained(path.parent, trust_remote_code=False, local_files_only=True)
            if not 0 < config.num_hidden_layers <= len(state):
                raise ValueError("config.json is of another model")
            # First without memory, so that a wrong config.json cannot ask for any amount of it.
            with torch.device("meta"):
                empty = AutoModelForSequenceClassification.from_config(config).state_dict()
            if odd := _shapes(empty) ^ _shapes(state):
                raise ValueError(f"{min(name for name, _ in odd)} does not fit config.json")
            model = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
            model.load_state_dict(state)
        except Exception as error:  # every version of transformers refuses a wrong config.json in its own way
            reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
            raise broken_file(path, reason.rstrip(".")) from error
        return model.eval()


def _shapes(state: "Mapping[str, Tensor]") -> set[tuple[str, tuple[int, ...]]]:
    return {(name, tuple(tensor.shape)) for name, tensor in state.items()}


load = Mpq().load
