import dataclasses
import importlib.metadata
import subprocess
import sys

import pytest

from bert_mpq.export.formats import DEFAULT, FORMATS
from bert_mpq.records.reading import read_evaluation
from bert_mpq.settings.errors import MpqError
from tests.helpers.golden import RUNS

PACKED = FORMATS["compressed-tensors"]


def evaluation(widths, quantizer="rtn", embeddings="fp32"):
    """Return a real evaluation as if it had these widths."""
    result = read_evaluation(min(RUNS.glob("eval_*.json"))).result
    allocation = dataclasses.replace(result.allocation, bits=widths)
    config = result.config.replace(quantizer=quantizer, embeddings=embeddings)
    return dataclasses.replace(result, allocation=allocation, config=config)


def test_every_format_is_described():
    assert DEFAULT in FORMATS
    for name, each in FORMATS.items():
        assert each.name == name
        assert "{folder}" in each.loading
        assert each.caveats
        assert all(caveat.endswith(".") for caveat in (*each.caveats, each.memory))


def test_formats_are_listed_without_heavy_libraries():
    code = (
        "import sys; from bert_mpq.export.formats import FORMATS\n"
        "print({'torch', 'numpy', 'transformers', 'safetensors', 'compressed_tensors'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


@pytest.mark.parametrize("widths", [(16, 8, 4), (2,), (32, 8), (8, 4, 2, 2)])
def test_plans_of_2_4_8_16_and_32_bits_go_into_every_format(widths):
    for each in FORMATS.values():
        each.check(evaluation(widths))


@pytest.mark.parametrize(
    ("widths", "quantizer", "embeddings", "said"),
    [
        ((8, 3), "rtn", "fp32", "3-bit codes do not fill the 32-bit words of compressed-tensors"),
        ((6, 4), "rtn", "fp32", "6-bit codes do not fill"),
        ((8, 4), "per-tensor", "fp32", "cannot load packed asymmetric weights"),
        ((16, 32), "rtn", "fp32", "there is nothing to pack"),
        ((8, 4), "rtn", "int8", "cannot load int8 embeddings back"),
        ((8, 4), "rtn", "int4", "cannot load int4 embeddings back"),
    ],
)
def test_what_compressed_tensors_cannot_load_back_is_refused(widths, quantizer, embeddings, said):
    result = evaluation(widths, quantizer, embeddings)
    with pytest.raises(MpqError, match=said) as refused:
        PACKED.check(result)
    assert refused.value.code == "E-EXPORT"
    assert "--format mpq" in refused.value.hint
    for name in ("mpq", "dense-fp16"):
        FORMATS[name].check(result)


@pytest.mark.parametrize("version", ["0.15.0", "0.16.0", "0.9.4", "0.15.0.a20250801"])
def test_an_old_package_is_refused_with_the_extra_that_helps(monkeypatch, version):
    monkeypatch.setattr(importlib.metadata, "version", lambda _: version)
    with pytest.raises(MpqError, match=f"compressed-tensors {version} is too old; 0.17") as refused:
        PACKED.check(evaluation((8, 4)))
    assert refused.value.code == "E-EXTRA"
    assert "bert-mpq[export]" in refused.value.hint


@pytest.mark.parametrize("version", ["0.17.0", "0.20.0", "1.0", "0.17.1.a20260801", "2"])
def test_new_packages_are_taken(monkeypatch, version):
    monkeypatch.setattr(importlib.metadata, "version", lambda _: version)
    PACKED.check(evaluation((8, 4)))


def test_without_the_package_only_its_own_format_is_refused(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(MpqError, match="compressed-tensors is not installed") as refused:
        PACKED.check(evaluation((8, 4)))
    assert refused.value.code == "E-EXTRA"
    with pytest.raises(MpqError, match="onnx is not installed") as refused:
        FORMATS["onnx"].check(evaluation((8, 4)))
    assert refused.value.code == "E-EXTRA"
    assert "bert-mpq[onnx]" in refused.value.hint
    for name in ("mpq", "dense-fp16"):
        FORMATS[name].check(evaluation((8, 4)))


def test_zero_points_are_refused_for_onnx_with_the_reason():
    with pytest.raises(MpqError, match="many times slower with zero points") as refused:
        FORMATS["onnx"].check(evaluation((8, 4), "per-tensor"))
    assert refused.value.code == "E-EXPORT"
