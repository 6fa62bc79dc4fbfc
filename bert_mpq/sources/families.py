"""The model types of transformers: which of them can be measured, how, and why not the others.

``tests/sources/test_families.py`` goes through every type that transformers calls a text classifier: it is
measured there with a small random model, or refused here before anything runs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

HINT = "Use a fine-tuned encoder such as BERT, RoBERTa, DeBERTa or ModernBERT."
DECODER = "it is a decoder, and this tool measures encoders"
ENCODER_DECODER = "it is an encoder with a decoder, and this tool measures encoders alone"
MIXTURE = "it reads images beside the text"
LAYOUT = "it reads the layout of a page beside the text"


@dataclass(frozen=True, kw_only=True)
class Family:
    """How models of one type are run.

    Args:
        padded: whether a review has the same logits alone and padded in a batch; else only reviews of one
            length share a batch.
        reserved: positions that no token can have, because they begin after the padding id.
        longest: tokens that a review may have; None = as many as there are positions.
        runs_as: values of the config that it is run with; up to ``longest`` tokens they make no difference.
    """

    padded: bool = True
    reserved: int = 0
    longest: int | None = None
    runs_as: Mapping[str, str] = field(default_factory=dict, hash=False)


_PLAIN = Family()
_AFTER_PADDING = Family(reserved=2)
_UNPADDED = Family(padded=False)


def family_of(config: Mapping[str, Any]) -> Family:
    """Return how a model is run, by its config.json.

    Raises:
        ValueError: why it cannot be, as the end of a sentence that begins with "it cannot be measured:".
    """
    kind = config.get("model_type")
    if not isinstance(kind, str) or not kind:
        raise ValueError("its config.json names no model_type")
    if kind in REFUSED:
        raise ValueError(REFUSED[kind])
    if kind not in FAMILIES:
        raise ValueError(f"{kind[:40]!r} is no type of text encoder that this version knows")
    if config.get("is_decoder"):
        raise ValueError(DECODER)
    family = FAMILIES[kind]
    return family if isinstance(family, Family) else family(config)


def _big_bird(config: Mapping[str, Any]) -> Family:
    """Block-sparse attention is full attention for short texts; for longer ones it depends on the batch."""
    if config.get("attention_type", "block_sparse") == "original_full":
        return _PLAIN
    blocks = 5 + 2 * _integer(config, "num_random_blocks", 3)
    longest = blocks * _integer(config, "block_size", 64)
    return Family(longest=longest, runs_as={"attention_type": "original_full"})


def _deberta_v2(config: Mapping[str, Any]) -> Family:
    if _integer(config, "conv_kernel_size", 0):
        raise ValueError("a convolution between its layers mixes what two of them give")
    return _PLAIN


def _nystromformer(config: Mapping[str, Any]) -> Family:
    if _integer(config, "num_landmarks", 64) != _integer(config, "segment_means_seq_len", 64):
        raise ValueError("its attention needs texts of one fixed length")
    return _UNPADDED


def _xmod(config: Mapping[str, Any]) -> Family:
    if not isinstance(config.get("default_language"), str):
        raise ValueError("its config.json names no default_language")
    return _AFTER_PADDING


def _yoso(config: Mapping[str, Any]) -> Family:
    if config.get("use_expectation") is False:
        raise ValueError("its attention hashes tokens by chance")
    return _UNPADDED


def _integer(config: Mapping[str, Any], key: str, default: int) -> int:
    value = config.get(key, default)
    return value if type(value) is int else default


FAMILIES: Mapping[str, Family | Callable[[Mapping[str, Any]], Family]] = {
    **dict.fromkeys(
        (
            *("bert", "deberta", "distilbert", "electra", "ernie", "esmc", "eurobert", "gte"),
            *("jina_embeddings_v3", "megatron-bert", "modernbert", "nomic_bert", "rembert"),
            *("roformer", "ultrabert"),
        ),
        _PLAIN,
    ),
    **dict.fromkeys(
        (
            *("camembert", "data2vec-text", "esm", "longformer", "luke", "mpnet", "roberta"),
            *("roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl"),
        ),
        _AFTER_PADDING,
    ),
    **dict.fromkeys(("convbert", "fnet", "mobilebert"), _UNPADDED),
    "big_bird": _big_bird,
    "deberta-v2": _deberta_v2,
    "nystromformer": _nystromformer,
    "xmod": _xmod,
    "yoso": _yoso,
}
REFUSED: Mapping[str, str] = {
    **dict.fromkeys(
        (
            *("arcee", "axk1", "axk2", "biogpt", "bloom", "cohere_compass_text", "ctrl", "deepseek_v2"),
            *("deepseek_v3", "diffllama", "doge", "exaone4", "falcon", "gemma", "gemma2", "gemma3_text"),
            *("glm", "glm4", "gpt-sw3", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox", "gpt_oss", "gptj"),
            *("helium", "hunyuan_v1_dense", "hunyuan_v1_moe", "jamba", "jetmoe", "llama", "minicpm3"),
            *("minimax", "ministral", "ministral3", "mistral", "mistral4", "mixtral", "modernbert-decoder"),
            *("mpt", "nemotron", "olmo", "olmo2", "olmo3", "openai-gpt", "opt", "persimmon", "phi", "phi3"),
            *("phimoe", "qwen2", "qwen2_moe", "qwen3", "qwen3_5_text", "qwen3_moe", "qwen3_next", "seed_oss"),
            *("smollm3", "stablelm", "starcoder2", "zamba", "zamba2"),
        ),
        DECODER,
    ),
    **dict.fromkeys(
        (
            *("bart", "bigbird_pegasus", "led", "mbart", "mt5", "mvp", "plbart", "t5", "t5gemma", "t5gemma2"),
            "umt5",
        ),
        ENCODER_DECODER,
    ),
    **dict.fromkeys(("gemma3", "modernvbert", "qwen3_5", "ultravbert"), MIXTURE),
    **dict.fromkeys(("layoutlm", "layoutlmv2", "layoutlmv3", "lilt", "markuplm"), LAYOUT),
    "albert": "its layers share one set of weights, so that none of them can have bits of its own",
    "canine": "it reads characters, and shortens the text before most of its layers",
    "flaubert": "its layers are spread over several lists",
    "funnel": "it shortens the text from layer to layer",
    "ibert": "its layers are quantized by themselves",
    "mra": "its attention needs a CUDA kernel of its own",
    "perceiver": "it reads bytes, and its layers share weights",
    "reformer": "its attention sorts tokens by chance",
    "roc_bert": "it reads shapes and sounds of Chinese characters beside the text",
    "squeezebert": "it has convolutions instead of Linear modules",
    "tapas": "it reads a table beside the text",
    "transfo-xl": DECODER,
    "xlm": "its layers are spread over several lists",
    "xlnet": "it predicts tokens in any order with two streams of its own, and is no plain encoder",
}
