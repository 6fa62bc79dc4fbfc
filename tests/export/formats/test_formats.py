import importlib.metadata
import typing

import pytest

from bert_mpq.export.formats import FORMATS, Format, check_format, check_package
from bert_mpq.settings.errors import MpqError

PACKED = "compressed-tensors"


def test_every_format_is_described():
    assert set(FORMATS) == set(typing.get_args(Format))
    assert all("{folder}" in facts.loading for facts in FORMATS.values())


@pytest.mark.parametrize("widths", [(16, 8, 4), (2,), (32, 8), (8, 4, 2, 2)])
def test_plans_of_2_4_8_16_and_32_bits_go_into_every_format(widths):
    for kind in FORMATS:
        check_format(kind, widths, asymmetric=False, embeddings="as-evaluated")


@pytest.mark.parametrize(
    ("widths", "asymmetric", "embeddings", "said"),
    [
        ((8, 3), False, "as-evaluated", "3-bit codes do not fill the 32-bit words of compressed-tensors"),
        ((6, 4), False, "as-evaluated", "6-bit codes do not fill"),
        ((8, 4), True, "as-evaluated", "cannot load packed asymmetric weights"),
        ((16, 32), False, "as-evaluated", "there is nothing to pack"),
        ((8, 4), False, "int8", "cannot load int8 embeddings"),
    ],
)
def test_what_compressed_tensors_cannot_load_back_is_refused(widths, asymmetric, embeddings, said):
    with pytest.raises(MpqError, match=said) as refused:
        check_format(PACKED, widths, asymmetric, embeddings)
    assert refused.value.code == "E-EXPORT"
    assert "--format mpq" in refused.value.hint
    check_format("mpq", widths, asymmetric, embeddings)


def test_dense_files_have_no_int8():
    with pytest.raises(MpqError, match="no int8 embeddings"):
        check_format("dense-fp16", (8, 4), False, "int8")


@pytest.mark.parametrize("version", ["0.15.0", "0.16.0", "0.9.4", "0.15.0.a20250801"])
def test_an_old_package_is_refused_with_the_extra_that_helps(monkeypatch, version):
    monkeypatch.setattr(importlib.metadata, "version", lambda _: version)
    with pytest.raises(MpqError, match=f"compressed-tensors {version} is too old; 0.17") as refused:
        check_format(PACKED, (8, 4), False, "as-evaluated")
    assert refused.value.code == "E-EXTRA"
    assert "bert-mpq[export]" in refused.value.hint


@pytest.mark.parametrize("version", ["0.17.0", "0.20.0", "1.0", "0.17.1.a20260801", "2"])
def test_new_packages_are_taken(monkeypatch, version):
    monkeypatch.setattr(importlib.metadata, "version", lambda _: version)
    check_package()


def test_without_the_package_only_its_own_format_is_refused(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(MpqError, match="compressed-tensors is not installed") as refused:
        check_format(PACKED, (8, 4), False, "as-evaluated")
    assert refused.value.code == "E-EXTRA"
    for kind in ("mpq", "dense-fp16"):
        check_format(kind, (8, 4), False, "as-evaluated")
