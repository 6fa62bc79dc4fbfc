"""An exported ONNX folder at work, with onnxruntime, tokenizers and numpy alone.

``python -m`` this module answers a question of ``bert_mpq.export.reload``.
"""

import contextlib
import functools
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bert_mpq.compute.outputs import Outputs, read_outputs
from bert_mpq.export.checksums import AGAIN, check_checksums
from bert_mpq.records.json_file import read_json, refusals
from bert_mpq.settings.errors import ModelError, MpqError
from bert_mpq.sources.families import family_of

MODEL = "onnx/model.onnx"
LARGEST_CONFIG = 1 << 24  # bytes
BATCH_TOKENS = 4096
LONGEST = 1 << 20  # tokens per text
Logits = npt.NDArray[np.float64]


class OnnxClassifier:
    """A classifier in a folder that ``bert-mpq export --format onnx`` wrote.

    Args:
        folder: with onnx/model.onnx, config.json and tokenizer.json.
        threads: of one forward pass; None = as many as there are cores.

    Raises:
        MpqError: E-NOFILE, E-MODEL with what is wrong; E-EXTRA without onnxruntime.
    """

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        if not (folder / MODEL).is_file():
            raise MpqError("E-NOFILE", f"No ONNX model at {folder / MODEL}.", AGAIN)
        data = [f"{MODEL}.data"] if (folder / f"{MODEL}.data").is_file() else []
        check_checksums(folder, MODEL, *data, "config.json", "tokenizer.json", "tokenizer_config.json")
        self.outputs, self._pad, self._padded = _config(folder / "config.json")
        self.max_length = _max_length(folder / "tokenizer_config.json")
        self._folder, self._session = folder, _session(folder / MODEL, threads)

    @functools.cached_property
    def _tokenizer(self) -> Any:
        """The tokenizer, which takes as much memory as a small model: loaded when a text is to be read."""
        from tokenizers import Tokenizer

        path = self._folder / "tokenizer.json"
        try:
            tokenizer = Tokenizer.from_file(str(path))
            tokenizer.no_padding()
            tokenizer.enable_truncation(self.max_length)
        except Exception as error:  # tokenizers raises Exception itself
            raise _broken(path.name, _reason(error)) from error
        return tokenizer

    def logits(self, texts: Sequence[str], max_length: int | None = None) -> Logits:
        """Return (texts, 2) logits, that of negative first.

        Args:
            max_length: tokens per text at most; None = as many as tokenizer_config.json says.

        Raises:
            MpqError: E-MODEL.
        """
        if max_length is not None:
            self._tokenizer.enable_truncation(max_length)
        rows = self._token_ids(texts)
        logits = np.empty((len(rows), 2))
        for batch in self._batches([len(row) for row in rows]):
            longest = len(rows[batch[0]])
            ids = np.full((len(batch), longest), self._pad, np.int64)
            mask = np.zeros_like(ids)
            for line, index in enumerate(batch):
                ids[line, : len(rows[index])] = rows[index]
                mask[line, : len(rows[index])] = 1
            logits[batch] = self.run(ids, mask)
        return logits

    def _token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        try:
            return [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        except BaseException as error:
            # A panic in Rust is no Exception. Ctrl-C and the like are none of ours.
            if isinstance(error, Exception) or type(error).__name__ == "PanicException":
                raise _broken("tokenizer.json", _reason(error)) from error
            raise

    def run(self, ids: npt.NDArray[np.int64], mask: npt.NDArray[np.int64]) -> Logits:
        """Return (B, 2) logits of (B, T) token ids, that of negative first."""
        try:
            (logits,) = self._session.run(["logits"], {"input_ids": ids, "attention_mask": mask})
        except Exception as error:  # onnxruntime's errors have no common class
            raise _broken(MODEL, _reason(error)) from error
        if logits.shape != (len(ids), 2):
            raise _broken(MODEL, f"its logits have the shape {logits.shape}")
        return np.asarray(logits[:, list(self.outputs.order)], np.float64)

    def _batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Yield the texts of each batch, longest first; of one length where padding changes the logits."""
        batch: list[int] = []
        for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
            if batch:
                longest = lengths[batch[0]]
                full = (len(batch) + 1) * longest > BATCH_TOKENS
                if full or not (self._padded or lengths[index] == longest):
                    yield batch
                    batch = []
            batch.append(index)
        if batch:
            yield batch


def _session(path: Path, threads: int | None) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MpqError(
            "E-EXTRA", "onnxruntime is not installed.", "pip install 'bert-mpq[onnx]' brings it."
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = 4  # what goes wrong is raised
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common class
        raise _broken(MODEL, _reason(error)) from error


def _config(path: Path) -> tuple[Outputs, int, bool]:
    """Return what the outputs mean, the token id of padding, and whether padding leaves the logits alone."""
    with refusals(path, "config.json", AGAIN, "E-MODEL"):
        config = _object(path)
        padding = config.get("pad_token_id") or 0
        if type(padding) is not int or not 0 <= padding < LONGEST:
            raise ValueError(f"its pad_token_id is no number from 0 to {LONGEST - 1:,}")
        outputs = read_outputs(config.get("id2label"), config.get("label2id"))
        return outputs, padding, family_of(config).padded


def _max_length(path: Path) -> int:
    with refusals(path, "tokenizer_config.json", AGAIN, "E-MODEL"):
        longest = _object(path).get("model_max_length")
        if type(longest) is not int or not 2 < longest <= LONGEST:
            raise ValueError(f"its model_max_length is no number from 3 to {LONGEST:,}")
    return longest


def _object(path: Path) -> dict[str, Any]:
    content = read_json(path, LARGEST_CONFIG, path.name, strict=False)
    if not isinstance(content, dict):
        raise ValueError("it is no JSON object")
    return content


def _reason(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:160].rstrip(".")


def _broken(name: str, reason: str) -> MpqError:
    return ModelError(f"{name} is no valid model file: {reason}.", AGAIN)


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        asked = json.load(sys.stdin)
        found = OnnxClassifier(Path(asked["folder"])).logits(asked["texts"], asked["max_length"])
    print(json.dumps({"logits": found.tolist(), "fingerprint": ""}))
