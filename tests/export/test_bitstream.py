import numpy as np
import pytest
import torch
from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bert_mpq.export.packed import pack, row_bytes, unpack


@st.composite
def matrices(draw):
    bits = draw(st.integers(2, 8))
    shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 40)))
    return draw(arrays.arrays(np.uint8, shape, elements=st.integers(0, 2**bits - 1))), bits


@given(matrices())
def test_unpack_gives_back_what_pack_was_given(case):
    codes, bits = case
    stream = pack(codes, bits)
    assert stream.shape == (codes.shape[0], row_bytes(codes.shape[1], bits))
    assert np.array_equal(unpack(stream, bits, codes.shape[1]), codes)


@given(matrices())
def test_a_row_is_one_number_with_its_first_code_in_the_lowest_bits(case):
    codes, bits = case
    for row, stream in zip(codes, pack(codes, bits), strict=True):
        number = sum(int(code) << (bits * index) for index, code in enumerate(row))
        assert int.from_bytes(stream.tobytes(), "little") == number


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_the_words_are_those_of_compressed_tensors(bits):
    half = 2 ** (bits - 1)
    signed = torch.randint(-half, half, (7, 96), generator=torch.Generator().manual_seed(0), dtype=torch.int8)
    expected = pack_to_int32(signed, bits)
    stream = pack((signed.to(torch.int16) + half).to(torch.uint8).numpy(), bits)
    assert np.array_equal(stream.view("<i4"), expected.numpy())


def test_codes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="needs more than 2 bits"):
        pack(np.array([[3, 4]], dtype=np.uint8), 2)


def test_streams_of_another_length_are_refused():
    with pytest.raises(ValueError, match="3 bytes a row, 8 codes of 2 bits take 2"):
        unpack(np.zeros((1, 3), dtype=np.uint8), 2, 8)
