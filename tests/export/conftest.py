import pytest
import torch

from tests.helpers.export_cases import evaluate, onnx_export, packed_pair, record, reloads_here

__all__ = ["evaluate", "onnx_export", "record", "reloads_here"]


@pytest.fixture(params=[(4, 2), (3, 6), (8, 16), (5, 32), "per-tensor", "signed"], ids=str)
def packed_case(request, tiny_model):
    """A quantized tiny model and its packed form, for several plans."""
    if request.param == "per-tensor":
        return packed_pair(tiny_model, (4, 8), "per-tensor")
    if request.param == "signed":
        pair = packed_pair(tiny_model, (3, 2), "rtn-mse", 16)
        assert any((weight.scale < 0).any() for weight in pair[1].weights.values())
        return pair
    return packed_pair(tiny_model, request.param)


@pytest.fixture
def packed_model(tiny_model):
    """One such model: 8 and 2 bits."""
    return packed_pair(tiny_model, (8, 2))


@pytest.fixture
def answers():
    """Logits of a model on fixed token ids."""
    ids = torch.randint(5, 20_000, (3, 24), generator=torch.Generator().manual_seed(0))

    def answer(model):
        with torch.inference_mode():
            return model(input_ids=ids).logits

    return answer
