import copy

import pytest
import torch

from bert_mpq.encoder import encoder_layers, layer_path, linears
from bert_mpq.export.packed import pack_model
from bert_mpq.quantization import per_tensor, rtn


def quantized(model, widths, group_size=None, quantize=rtn.quantize):
    """Return a fake-quantized copy, its codes by module name, and the parameters that hold float16 values."""
    model, weights, halves = copy.deepcopy(model), {}, set()
    for index, (layer, bits) in enumerate(zip(encoder_layers(model), widths, strict=True)):
        for short, linear in linears(layer):
            name = f"{layer_path(model)}.{index}.{short}"
            if bits < 16:
                weights[name] = quantize(linear.weight, bits, group_size)
                linear.weight.data = weights[name].dequantize()
            elif bits == 16:
                halves.add(f"{name}.weight")
                linear.weight.data = linear.weight.data.half().float()
    return model, weights, halves


@pytest.fixture(params=[(4, 2), (3, 6), (8, 16), (5, 32), "per-tensor"], ids=str)
def packed_case(request, tiny_model):
    """A quantized tiny model and its packed form, for several plans."""
    if request.param == "per-tensor":
        model, weights, halves = quantized(tiny_model, (4, 8), quantize=per_tensor.quantize)
    else:
        model, weights, halves = quantized(tiny_model, request.param)
    return model, pack_model(model, weights, halves)


@pytest.fixture
def packed_model(tiny_model):
    """One such model: 8 and 2 bits."""
    model, weights, halves = quantized(tiny_model, (8, 2))
    return model, pack_model(model, weights, halves)


@pytest.fixture
def answers():
    """Logits of a model on fixed token ids."""
    ids = torch.randint(5, 20_000, (3, 24), generator=torch.Generator().manual_seed(0))

    def answer(model):
        with torch.inference_mode():
            return model(input_ids=ids).logits

    return answer
