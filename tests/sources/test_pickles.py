"""Pickles: tensors come out, nothing in them is run, and no more memory is taken than the file is large."""

import collections
import os
import pickle
import zipfile

import pytest
import torch

from bert_mpq.settings.errors import MpqError
from bert_mpq.sources.pickles import read_pickle

OLD = pytest.mark.parametrize("old", [False, True], ids=["zip", "before 1.6"])


class Command:
    """Unpickled the usual way it runs a command."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.system, (f"touch {self.path}",))


def save(content, path, old=False):
    torch.save(content, path, _use_new_zipfile_serialization=not old)
    return path


def refusal(path):
    with pytest.raises(MpqError) as refused:
        read_pickle(path)
    assert refused.value.code == "E-MODEL"
    prefix = f"{path.name} cannot be used: "
    assert refused.value.title.startswith(prefix)
    return refused.value.title.removeprefix(prefix)


@OLD
def test_tensors_come_out_as_they_went_in(tmp_path, old):
    state = collections.OrderedDict(a=torch.randn(3, 4), b=torch.arange(5), c=torch.ones(2, 2).T)
    state["tied"] = state["a"]
    state._metadata = {"": {"version": 1}}
    path = save(state, tmp_path / "pytorch_model.bin", old)
    assert zipfile.is_zipfile(path) != old
    found = read_pickle(path)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], state[name]) for name in state)
    assert found["tied"].data_ptr() != found["a"].data_ptr()


@OLD
@pytest.mark.parametrize("place", ["a value", "a key's neighbour", "all there is"])
def test_a_hostile_pickle_is_not_run(tmp_path, old, place):
    marker = tmp_path / "it ran"
    command = Command(marker)
    content = {"a value": {"a": command}, "a key's neighbour": {"a": torch.ones(2), "b": [command]}}
    path = save(content.get(place, command), tmp_path / "pytorch_model.bin", old)
    assert refusal(path) == "its pickle holds more than tensors, and is not run."
    assert not marker.exists()


def test_a_bare_pickle_is_not_run_either(tmp_path):
    marker = tmp_path / "it ran"
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(pickle.dumps({"a": Command(marker)}))
    refusal(path)
    assert not marker.exists()


@OLD
@pytest.mark.parametrize(
    "content",
    [
        {"a": torch.ones(2), "epoch": 3},
        {"state_dict": {"a": torch.ones(2)}},
        [torch.ones(2)],
        {1: torch.ones(2)},
        {},
        {"a": torch.ones(2, 2).to_sparse()},
        {"a": torch.ones(2, dtype=torch.complex64)},
    ],
    ids=["a number", "nested", "a list", "no names", "empty", "sparse", "complex"],
)
def test_what_is_no_table_of_tensors_is_refused(tmp_path, content, old):
    path = save(content, tmp_path / "pytorch_model.bin", old)
    assert refusal(path) == "it is no table of tensors by name."


@OLD
def test_a_tensor_that_repeats_few_values_without_end_is_refused(tmp_path, old):
    path = save({"a": torch.zeros(1).expand(10**6, 10**6)}, tmp_path / "pytorch_model.bin", old)
    assert refusal(path) == "a is larger than the file."


def test_many_such_tensors_are_refused(tmp_path):
    base = torch.zeros(2**18)
    path = save({f"t{index}": base for index in range(9)}, tmp_path / "pytorch_model.bin")
    assert refusal(path) == "its tensors are larger than the file."


@OLD
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_file_that_was_cut_off_is_refused(tmp_path, old, share):
    path = save({"a": torch.randn(100, 100)}, tmp_path / "pytorch_model.bin", old)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert refusal(path) == "it is damaged, was cut off, or is no file of weights that PyTorch reads."


@pytest.mark.parametrize("content", [b"hello", b"PK\x05\x06" + 18 * b"\0", 100 * b"\x80"])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(content)
    refusal(path)


def test_an_archive_that_says_it_spans_several_disks_is_refused(tmp_path):
    path = save({"a": torch.ones(3)}, tmp_path / "pytorch_model.bin")
    content = bytearray(path.read_bytes())
    locator = content.rindex(b"PK\x06\x07")
    content[locator + 16 : locator + 20] = b"\2\0\0\0"  # how many disks
    path.write_bytes(content)
    assert refusal(path) == "it is damaged, was cut off, or is no file of weights that PyTorch reads."


def test_a_program_is_refused(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(path))
    assert refusal(path) == "it is a TorchScript program."
