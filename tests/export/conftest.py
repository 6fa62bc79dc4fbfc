import pytest
import torch

from bert_mpq.export.packed import pack_model
from bert_mpq.quantization import per_tensor
from tests.helpers.export_cases import quantized


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


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory, tiny_model, tokenizer_files):
    """The tiny classifier as a folder."""
    import shutil

    folder = tmp_path_factory.mktemp("model") / "tiny-bert"
    tiny_model.save_pretrained(folder)
    for file in tokenizer_files:
        shutil.copy(file, folder)
    return folder


@pytest.fixture(scope="session")
def evaluate(tmp_path_factory, tiny_folder):
    """Evaluate the tiny classifier on a few reviews; return the run record."""
    import json

    from bert_mpq import RunConfig, quantize_and_evaluate

    folder = tmp_path_factory.mktemp("evaluations")
    (folder / "scores.json").write_text(json.dumps({"layer_0": 0.2, "layer_1": 0.1}))

    def run(**settings):
        config = RunConfig(
            model=str(tiny_folder),
            output=str(folder),
            sensitivities=str(folder / "scores.json"),
            eval_size=8,
            device="cpu",
            **{"max_length": 16, **settings},
        )
        return quantize_and_evaluate(config).files[1]

    return run


@pytest.fixture(scope="session")
def record(evaluate):
    """The run record of a plan of 8 and 2 bits."""
    return evaluate(bits=(8, 2), quantizer="rtn")
