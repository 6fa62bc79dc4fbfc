"""Codes of 2 to 8 bits as a stream of bytes, row by row.

Value i of a row takes bits i * b to (i + 1) * b - 1 of its stream, low bits first, and every row begins with
a new byte. Read as little-endian int32 words, it is the layout of compressed-tensors' ``pack_to_int32``.
"""

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]


def row_bytes(columns: int, bits: int) -> int:
    """Return the bytes that a row of ``columns`` codes takes."""
    return (columns * bits + 7) // 8


def pack(codes: Bytes, bits: int) -> Bytes:
    """Return the streams of a matrix of codes.

    Args:
        codes: (rows, columns), each 0 .. 2^bits - 1.
        bits: 1 to 8.

    Returns:
        (rows, row_bytes(columns, bits)); unused bits at the end of a row are 0.

    Raises:
        ValueError: a code needs more bits.
    """
    if codes.size and int(codes.max()) >> bits:
        raise ValueError(f"a code of {int(codes.max())} needs more than {bits} bits")
    if bits == 8:
        return codes
    rows, columns = codes.shape
    single = np.unpackbits(codes[:, :, None], axis=2, count=bits, bitorder="little")
    return np.packbits(single.reshape(rows, columns * bits), axis=1, bitorder="little")


def unpack(stream: Bytes, bits: int, columns: int) -> Bytes:
    """Return the (rows, columns) codes of streams that ``pack`` made.

    Args:
        stream: (rows, row_bytes(columns, bits)).
        bits: 1 to 8.
        columns: codes per row.

    Raises:
        ValueError: the streams are too short or too long for that many codes.
    """
    rows, length = stream.shape
    needed = row_bytes(columns, bits)
    if length != needed:
        raise ValueError(f"{length} bytes a row, {columns} codes of {bits} bits take {needed}")
    if bits == 8:
        return stream
    single = np.unpackbits(stream, axis=1, count=columns * bits, bitorder="little")
    return np.packbits(single.reshape(rows, columns, bits), axis=2, bitorder="little").reshape(rows, columns)
