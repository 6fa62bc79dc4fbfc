import pytest
import torch
from torch import nn

from bert_mpq.compute.devices import Machine, pick_machine
from bert_mpq.settings.errors import MpqError

CUDA, MPS = torch.cuda.is_available(), torch.backends.mps.is_available()


def test_the_cpu_is_always_there():
    machine = pick_machine("cpu")
    assert (machine.device.type, machine.num_gpus) == ("cpu", 0)


@pytest.mark.skipif(CUDA, reason="there is a GPU")
def test_cuda_is_refused_where_there_is_none():
    with pytest.raises(MpqError) as refused:
        pick_machine("cuda")
    assert refused.value.code == "E-DEVICE"
    assert refused.value.title == f"--device cuda, but PyTorch sees no GPU (torch {torch.__version__})."


@pytest.mark.skipif(MPS, reason="there is an Apple GPU")
def test_mps_is_refused_where_there_is_none():
    with pytest.raises(MpqError, match="--device mps, but PyTorch sees no Apple GPU") as refused:
        pick_machine("mps")
    assert refused.value.code == "E-DEVICE"


@pytest.mark.skipif(CUDA or MPS, reason="there is a GPU")
def test_auto_is_the_cpu_where_there_is_no_gpu():
    assert pick_machine("auto") == pick_machine("cpu")


@pytest.mark.cuda
@pytest.mark.skipif(not CUDA, reason="there is no GPU")
def test_auto_takes_every_gpu():
    machine = pick_machine("auto")
    assert (machine.device.type, machine.num_gpus) == ("cuda", torch.cuda.device_count())


def test_every_gpu_gets_tokens_of_its_own():
    one, four = (Machine(device=torch.device("cuda"), num_gpus=gpus).batch_tokens for gpus in (1, 4))
    assert four == 4 * one > pick_machine("cpu").batch_tokens


def test_stacked_streams_are_longer_on_a_gpu_but_never_longer_than_half_a_batch():
    gpu, cpu = Machine(device=torch.device("cuda"), num_gpus=1), pick_machine("cpu")
    assert [gpu.stacked_tokens(streams) // streams for streams in (2, 4, 16)] == [32_768, 32_768, 8_192]
    assert cpu.stacked_tokens(7) == cpu.batch_tokens


def test_a_module_on_one_device_is_not_wrapped():
    module = nn.Linear(2, 2)
    assert pick_machine("cpu").place(module) is module


def test_a_training_has_all_cores_for_one_batch():
    machine, cores = pick_machine("cpu"), torch.get_num_threads()
    with machine.working(concurrent=False) as workers:
        assert (workers, torch.get_num_threads()) == (1, cores)


def test_forward_passes_have_gradients_only_where_they_are_asked_for():
    machine, weight = pick_machine("cpu"), torch.ones(2, requires_grad=True)
    for gradients in (False, True):
        with machine.arithmetic(gradients):
            assert (weight * 2).requires_grad is gradients
