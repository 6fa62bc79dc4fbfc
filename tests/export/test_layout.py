import contextlib
import json
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save, save_file

from bert_mpq.export.layout import KEY, encoded, read_weights
from bert_mpq.settings.errors import MpqError

FILE = "model.safetensors"


def written(folder, packed, facts):
    path = folder / FILE
    path.write_bytes(encoded(packed, facts))
    return path


def test_a_file_gives_back_codes_scales_and_tensors(packed_case, tmp_path):
    _, packed = packed_case
    path = written(tmp_path, packed, {"model": "tiny"})
    read = read_weights(path)
    assert list(read.weights) == list(packed.weights)
    for name, weight in packed.weights.items():
        other = read.weights[name]
        assert (other.bits, other.scale.dtype) == (weight.bits, weight.scale.dtype)
        assert torch.equal(other.codes, weight.codes)
        assert torch.equal(other.scale, weight.scale)
        assert (other.zero_point is None) == (weight.zero_point is None)
        assert torch.equal(other.dequantize(), weight.dequantize())
    assert set(read.tensors) == set(packed.tensors)
    assert all(torch.equal(read.tensors[name], tensor) for name, tensor in packed.tensors.items())


def test_the_file_is_as_large_as_its_codes_scales_and_tensors(packed_case, tmp_path):
    _, packed = packed_case
    path = written(tmp_path, packed, {})
    content = path.read_bytes()
    codes = sum(weight.codes.numel() * weight.bits for weight in packed.weights.values()) / 8
    scales = sum(weight.scale.nbytes + (weight.zero_point is not None) for weight in packed.weights.values())
    plain = sum(tensor.nbytes for tensor in packed.tensors.values())
    assert len(content) == 8 + int.from_bytes(content[:8], "little") + codes + scales + plain


def test_the_header_says_what_the_writer_wanted_to_say(packed_case, tmp_path):
    path = written(tmp_path, packed_case[1], {"bits": [4, 2]})
    with safe_open(path, framework="pt") as opened:
        assert json.loads(opened.metadata()[KEY])["facts"] == {"bits": [4, 2]}


def tensors():
    return {"m.q": torch.zeros(4, 8, dtype=torch.uint8), "m.s": torch.ones(4, 2, dtype=torch.float16)}


def header(**changes):
    return {"version": 1, "weights": {"m": {"bits": 4, "columns": 16}}, "facts": {}, **changes}


@pytest.mark.parametrize(
    ("stored", "said", "reason"),
    [
        (tensors(), None, "it has no bert_mpq header"),
        (tensors(), "[1", "Expecting"),
        (tensors(), "[" * 100_000, "recursion"),
        (tensors(), "[]", "header has no version"),
        (tensors(), header(version=2), "its layout is version 2, this program reads 1"),
        (tensors(), header(version=True), "header has no version"),
        (tensors(), header(weights=["m"]), "names no weights"),
        (tensors(), header(weights={"m": 4}), "m has no usable bits and columns"),
        (tensors(), header(weights={"m": {"bits": 9, "columns": 16}}), "m has no usable bits and columns"),
        (tensors(), header(weights={"m": {"bits": 4, "columns": 10**15}}), "codes and scales do not fit"),
        (tensors(), header(weights={"m": {"bits": 4, "columns": -16}}), "m has no usable bits and columns"),
        (tensors(), header(weights={"n": {"bits": 4, "columns": 16}}), "n.q is missing"),
        ({**tensors(), "m.q": torch.zeros(4, 8)}, header(), "m.q has the wrong type or shape"),
        ({**tensors(), "m.s": torch.ones(4, 3).half()}, header(), "m: 3 scales for 16 columns"),
        ({**tensors(), "m.s": torch.ones(1, 2).half()}, header(), "m: 2 scales for 16 columns"),
        ({**tensors(), "m.s": torch.ones(4, 0).half()}, header(), "codes and scales do not fit"),
        ({**tensors(), "m.s": torch.full((4, 2), torch.inf).half()}, header(), "scales that are no numbers"),
        ({**tensors(), "m.z": torch.zeros(1, 1, dtype=torch.uint8)}, header(), "zero points and scales"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(tmp_path, stored, said, reason):
    path = tmp_path / FILE
    metadata = {} if said is None else {KEY: said if isinstance(said, str) else json.dumps(said)}
    save_file(stored, path, metadata=metadata)
    with pytest.raises(MpqError, match=reason) as refused:
        read_weights(path)
    assert refused.value.code == "E-MODEL"


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff" * 8, b"\x10\x00\x00\x00\x00\x00\x00\x00{", (1 << 40).to_bytes(8, "little") + b"{}"],
)
def test_what_is_no_safetensors_file_is_refused(tmp_path, content):
    path = tmp_path / FILE
    path.write_bytes(content)
    with pytest.raises(MpqError, match="is no valid model file") as refused:
        read_weights(path)
    assert refused.value.code == "E-MODEL"


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(MpqError, match="No model file at") as refused:
        read_weights(tmp_path / FILE)
    assert refused.value.code == "E-NOFILE"


def test_no_damage_to_the_header_gives_more_than_one_clear_error(tmp_path):
    path = tmp_path / FILE
    whole = save(tensors(), metadata={KEY: json.dumps(header())})
    end = 8 + int.from_bytes(whole[:8], "little")

    @settings(max_examples=300)
    @given(seed=st.integers(0, 2**32), count=st.integers(1, 6))
    def damage(seed, count):
        chance, content = random.Random(seed), bytearray(whole)
        for _ in range(count):
            place = chance.randrange(end)
            if chance.random() < 0.5:
                content[place] = chance.choice(b'0123456789{}[]":,\x00\xff')
            else:
                content[place : place + chance.randrange(4)] = chance.randbytes(chance.randrange(4))
        path.write_bytes(content)
        with contextlib.suppress(MpqError):  # anything else is a traceback for the user
            packed = read_weights(path)
            # The damage hit nothing that matters: memory stays in proportion.
            assert sum(weight.codes.nbytes for weight in packed.weights.values()) <= 64 * len(content)

    damage()
