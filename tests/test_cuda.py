"""What only a GPU can show; skipped, and named in the log, where there is none."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

from bert_mpq.compute.batches import tokenize
from bert_mpq.compute.cuda_graphs import launched_as_one
from bert_mpq.compute.devices import pick_machine
from bert_mpq.compute.evaluate import evaluate
from bert_mpq.compute.reporting import Silent
from bert_mpq.quantization import gptq
from bert_mpq.quantization.hessian import Hessian
from bert_mpq.quantization.training.loop import Training
from bert_mpq.quantization.training.recipe import Recipe
from bert_mpq.sensitivity.accumulation import Accumulation
from bert_mpq.sensitivity.estimates import estimate
from bert_mpq.sensitivity.measure import measure
from bert_mpq.sensitivity.scoring import score
from bert_mpq.similarity import cka
from bert_mpq.similarity.cca import pwcca
from bert_mpq.similarity.moments import Moments
from tests.helpers.agreement import PROBE, assert_machines_agree
from tests.helpers.quantized import quantized_at
from tests.helpers.workloads import on

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


class Notes(Silent):
    def __init__(self):
        self.texts = []

    def note(self, text):
        self.texts.append(text)


@pytest.fixture(scope="module")
def own(classifier):
    """A copy, because evaluation moves the model to the device and other tests want it on the CPU."""
    return dataclasses.replace(classifier, model=copy.deepcopy(classifier.model))


@pytest.fixture(scope="module")
def tokens(own, reviews):
    return tokenize(reviews, own.tokenizer, 64, Silent())


def test_moments_on_the_gpu_equal_those_on_the_cpu():
    x = torch.randn(500, 24, dtype=torch.float64)
    y = x + 0.01 * torch.randn_like(x)
    here, there = Moments(24), Moments(24)
    here.update(x, y)
    there.update(x.cuda(), y.cuda())
    for metric in (cka, pwcca):
        assert metric(there).distance == pytest.approx(metric(here).distance, rel=1e-11)


def test_scores_on_the_gpu_equal_those_on_the_cpu(own, tokens):
    machines = pick_machine("cpu"), pick_machine("cuda")
    measured = (measure(own, on(m, tokens, 4096), PROBE, Silent()) for m in machines)
    cpu, gpu = (score(m, ("cka",), Silent()).scores for m in measured)
    assert gpu[0].values == pytest.approx(cpu[0].values, rel=1e-3)


def test_layers_are_scored_on_the_gpu_as_on_the_host():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(900, 1, 48, generator=generator) @ torch.randn(48, 48, generator=generator)
    y = x + 0.05 * torch.randn(900, 3, 48, generator=generator)
    kl = torch.rand(900, 3, dtype=torch.float64, generator=generator)
    found = []
    for machine in (pick_machine("cpu"), pick_machine("cuda")):
        sums = Accumulation(48, 3, 900, place=machine.device)
        for part in sums.parts():
            sums.add(part, *(rows[part].to(machine.device) for rows in (x, y, kl)))
        assert sums.so_far().device.type == machine.device.type
        found.append(estimate(sums.so_far(), ("pwcca", "svcca", "cka", "debiased_cka"), Silent()))
    for here, there in zip(*found, strict=True):
        assert there.scores.values == pytest.approx(here.scores.values, rel=1e-9)
        assert there.jackknife.replicates == pytest.approx(here.jackknife.replicates, rel=1e-9)


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_predictions_on_the_gpu_equal_those_on_the_cpu(own, tokens, precision):
    here = evaluate(own.model, on(pick_machine("cpu"), tokens, 4096), Silent(), "")
    there = evaluate(own.model, on(pick_machine("cuda", precision), tokens, 65536), Silent(), "")
    same = (here.predictions == there.predictions).mean()
    assert same == 1.0 if precision == "fp32" else same >= 0.98


def test_running_out_of_gpu_memory_halves_the_batch_and_changes_no_prediction(own, tokens):
    machine = dataclasses.replace(pick_machine("cuda"), num_gpus=1)  # the one whose memory is cut
    roomy = evaluate(own.model, on(machine, tokens, 65536), Silent(), "")
    torch.cuda.empty_cache()
    used = torch.cuda.memory_allocated() + 150 * 2**20
    torch.cuda.set_per_process_memory_fraction(used / torch.cuda.get_device_properties(0).total_memory)
    notes = Notes()
    try:
        tight = evaluate(own.model, on(machine, tokens, 65536), notes, "")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert any("Out of memory" in text for text in notes.texts)
    assert (tight.predictions == roomy.predictions).all()


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_several_gpus_in_one_process_find_what_one_finds(own, tokens):
    one = dataclasses.replace(pick_machine("cuda"), num_gpus=1)
    several = pick_machine("cuda")
    assert several.num_gpus == torch.cuda.device_count()
    assert_machines_agree(own, tokens, one, several)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_a_process_for_each_gpu_finds_what_one_finds(model_folder, tmp_path):
    from bert_mpq import RunConfig, run
    from tests.compute.test_distributed import assert_same, runs_of

    sizes = {"calibration_size": 90, "eval_size": 70, "max_length": 24, "batch_tokens": 240}
    # GPTQ would see other batches, and a weight in the middle between two codes can go either way.
    rest = {"metrics": ("cka", "predicted"), "bits": (8, 4), "device": "cuda", "quantizer": "rtn"}
    config = RunConfig(**sizes, **rest, model=str(model_folder))
    one = run(config.replace(output=str(tmp_path / "one")))
    for result in runs_of(2, config, tmp_path):
        assert result.analysis.result.setting.num_gpus == 2
        assert_same(result, one, rel=1e-3)  # other batches, other kernels


def test_adding_a_batch_does_not_wait_for_the_gpu():
    sums = Accumulation(24, 3, 40)
    x, y = torch.randn(8, 1, 24).cuda(), torch.randn(8, 3, 24).cuda()
    kl = torch.rand(8, 3, dtype=torch.float64).cuda()
    first, second = np.array([0, 10]), np.array([20, 30])
    sums.add(first, x[:2], y[:2], kl[:2])
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        sums.add(second, x[2:4], y[2:4], kl[2:4])
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert sums.so_far().total(1).samples == 4
    assert sums.kl == pytest.approx(np.vstack([kl[:4].sum(0).cpu(), np.zeros((9, 3))]))


def test_gptq_on_the_gpu_is_as_good_as_on_the_cpu(own, tokens):
    codes, errors = [], []
    before = evaluate(own.model, on(pick_machine("cpu"), tokens, 4096), Silent(), "").logits
    for machine in (pick_machine("cpu"), pick_machine("cuda")):
        calibration = on(machine, tokens, 4096)
        quantized = quantized_at(own.model, (3,) * 6, "auto", 64, calibration)
        codes.append([weight.codes for weight in quantized.weights.values()])
        assert all(entry.device.type == "cpu" for entry in codes[-1])
        after = evaluate(quantized.model, on(pick_machine("cuda"), tokens, 65536), Silent(), "").logits
        errors.append(float(((after - before) ** 2).mean()))
    same = [float((here == there).float().mean()) for here, there in zip(*codes, strict=True)]
    assert min(same[:4]) > 0.99  # the first layer sees the same inputs but for rounding
    assert errors[1] == pytest.approx(errors[0], rel=0.25)


def test_learned_rounding_on_the_gpu_is_the_same_every_time_and_better_than_gptq(own, tokens):
    calibration = on(pick_machine("cuda"), tokens, 8_192)
    work = on(pick_machine("cuda"), tokens, 65_536)
    before = evaluate(own.model, work, Silent(), "").logits
    first, second, gptq = (
        quantized_at(own.model, (2,) * 6, name, 64, calibration) for name in ("learned", "learned", "gptq")
    )
    for name, weight in first.weights.items():
        assert weight.codes.equal(second.weights[name].codes)
        assert weight.scale.equal(second.weights[name].scale)
    errors = [
        float(((evaluate(each.model, work, Silent(), "").logits - before) ** 2).mean())
        for each in (first, gptq)
    ]
    assert errors[0] < errors[1]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_quantized_model_is_trained_on_the_gpu(own, tokens, precision):
    machine = pick_machine("cuda", precision)
    quantized = quantized_at(own.model, (2,) * 6, "rtn", 64)
    # As in a run: it is on the GPU by now.
    evaluate(quantized.model, on(machine, tokens, 8_192), Silent(), "")
    recipe = Recipe(learning_rate=2e-4, checks=2)
    trained = Training(own.model, quantized, on(machine, tokens, 8_192), recipe).run(Silent())
    curve = trained.report.curve
    assert min(point.kl for point in curve) < curve[0].kl
    for name, weight in trained.quantized.weights.items():
        assert weight.codes.device.type == "cpu"
        held = trained.quantized.model.get_parameter(f"{name}.weight")
        assert held.cpu().equal(weight.dequantize())


def test_a_captured_loop_computes_what_its_operations_do_one_by_one():
    generator, shapes = torch.Generator("cuda").manual_seed(0), ((64, 80), (64, 80), (64, 64))
    given = [[0.1 + torch.rand(s, generator=generator, device="cuda") for s in shapes] for _ in range(3)]
    one_by_one = [gptq._walk_block(*inputs, bits=3) for inputs in given]
    captured = [launched_as_one(gptq._walk_block, *inputs, bits=3) for inputs in given]
    # Compared after all calls: none may overwrite what another returned.
    for expected, found in zip(one_by_one, captured, strict=True):
        assert all(map(torch.equal, expected, found))


@pytest.mark.parametrize("bits", [2, 4])
def test_gptq_on_the_gpu_is_as_exact_as_on_the_cpu(bits):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(900, 192, generator=generator) @ torch.randn(192, 192, generator=generator)
    weight, matrix = torch.randn(96, 192, generator=generator), (inputs.T @ inputs).double()
    here = gptq.quantize(weight, bits, 64, Hessian(matrix=matrix))
    there = gptq.quantize(weight.cuda(), bits, 64, Hessian(matrix=matrix.cuda())).cpu()
    assert (here.codes == there.codes).float().mean() > 0.99
    errors = [Hessian(matrix=matrix).error(found.dequantize() - weight) for found in (here, there)]
    assert errors[1].sum() == pytest.approx(errors[0].sum().item(), rel=1e-3)
