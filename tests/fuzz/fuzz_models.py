"""The reader of a model's folder, and folders to start from, of which one file at a time is broken."""

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from unittest.mock import patch

import torch
import transformers

from bert_mpq.sources.classifiers import find_classifier, load_classifier
from tests.fuzz.fuzz_mutations import Source, broken_bytes, broken_json, broken_safetensors
from tests.helpers.checkpoint_variants import VARIANTS

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "good", "bad", "film", "##s")
Broken = Callable[[bytes, Source], bytes]


def _json(content: bytes, source: Source) -> bytes:
    return broken_json(json.loads(content), source) if source.integer(0, 3) else broken_bytes(content, source)


FILES: Mapping[str, tuple[str, str, Broken]] = {  # the form of the weights, the file, what breaks it
    "configuration of a model": ("safetensors", "config.json", _json),
    "tokenizer of a model": ("safetensors", "tokenizer.json", _json),
    "settings of a tokenizer": ("safetensors", "tokenizer_config.json", _json),
    "weights in safetensors": ("safetensors", "model.safetensors", broken_safetensors),
    "index of shards": ("safetensors_in_shards", "model.safetensors.index.json", _json),
    "weights in a zip archive": ("pickle", "pytorch_model.bin", broken_bytes),
    "weights in an old pickle": ("old_pickle", "pytorch_model.bin", broken_bytes),
}


@cache
def folder_of(form: str) -> Mapping[str, bytes]:
    """Return the files of a small classifier, its weights in one of their forms."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torch.manual_seed(0)
        shape = {"hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
        config = transformers.BertConfig(vocab_size=len(WORDS), max_position_embeddings=8, **shape)
        config.architectures = ["BertForSequenceClassification"]
        model = transformers.BertForSequenceClassification(config)
        config.save_pretrained(folder)
        (folder / "vocab.txt").write_text("\n".join(WORDS))
        transformers.BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
        (folder / "vocab.txt").unlink()
        VARIANTS[form](folder, model.state_dict())
        return {path.name: path.read_bytes() for path in folder.iterdir()}


def valid(form: str, file: str) -> bytes:
    """Return the content of a file of that folder."""
    return folder_of(form)[file]


def read(form: str, path: Path) -> object:
    """Load the classifier whose other files are valid; what is converted is gone afterwards."""
    with tempfile.TemporaryDirectory(dir=path.parent) as name:
        folder, converted = Path(name) / "model", Path(name) / "cache"
        folder.mkdir()
        for file, content in {**folder_of(form), path.name: path.read_bytes()}.items():
            (folder / file).write_bytes(content)
        with patch.dict(os.environ, BERT_MPQ_CACHE=str(converted)):
            return load_classifier(find_classifier(str(folder)))
