import copy
import dataclasses

import pytest
import torch

from bert_mpq.compute.reporting import Silent
from bert_mpq.quantization.training import loop as training
from bert_mpq.settings.errors import MpqError
from tests.helpers.small_task import RECIPE
from tests.helpers.workloads import on_cpu


class Notes(Silent):
    def __init__(self):
        self.lines = []
        self.tracked = []

    def track(self, items, title, total, weight=lambda _: 1):
        for item in items:
            yield item
            self.tracked.append((title, weight(item), total))

    def note(self, text):
        self.lines.append(text)


@pytest.fixture(scope="module")
def trained(task):
    """Six epochs on real reviews, and what was said meanwhile."""
    notes = Notes()
    result = task.train(dataclasses.replace(RECIPE, epochs=6, patience=99), notes)
    return result, notes


def test_loss_and_kl_fall(trained):
    curve = trained[0].report.curve
    assert curve[0].loss is None
    assert curve[-1].loss < 0.8 * curve[1].loss
    assert min(point.kl for point in curve) < 0.7 * curve[0].kl


def test_the_model_is_exactly_its_codes_and_scales(task, trained):
    for name, weight in trained[0].quantized.weights.items():
        assert weight.bits == 2
        assert weight.scale.dtype == torch.float16
        assert int(weight.codes.min()) >= -2
        assert int(weight.codes.max()) <= 1
        assert trained[0].quantized.model.get_parameter(f"{name}.weight").equal(weight.dequantize())
    assert trained[0].quantized.weights.keys() == task.weights.keys()
    assert not any("parametrizations" in name for name, _ in trained[0].quantized.model.named_parameters())


def test_layers_that_are_not_quantized_and_all_else_stay_as_they_are(task, trained):
    before, after = (dict(model.named_parameters()) for model in (task.quantized, trained[0].quantized.model))
    changed = {name for name, value in after.items() if not value.equal(before[name])}
    assert changed
    assert all(name.startswith("bert.encoder.layer.1.") for name in changed)


def test_teacher_and_quantized_model_are_not_touched(task):
    models = (task.teacher, task.quantized)
    before = [copy.deepcopy(model.state_dict()) for model in models]
    task.train()
    for model, state in zip(models, before, strict=True):
        assert all(value.equal(state[name]) for name, value in model.state_dict().items())


def test_the_best_check_is_kept(task, trained):
    from bert_mpq.compute.evaluate import evaluate
    from bert_mpq.quantization.training.recipe import make_order

    report, order = trained[0].report, make_order(task.tokens.lengths, RECIPE)
    best = min(report.curve, key=lambda point: point.kl)
    assert report.best_step == best.step
    work = on_cpu(task.tokens.take(order.validation), 2_048)
    wanted, given = (
        evaluate(model, work, Silent(), "") for model in (task.teacher, trained[0].quantized.model)
    )
    assert given.divergence(wanted) == pytest.approx(best.kl, rel=1e-6)


def test_progress_is_told_in_tokens_and_every_check_in_words(task, trained):
    result, notes = trained
    assert {title for title, _, _ in notes.tracked} == {"Quantization-aware training"}
    assert sum(done for _, done, _ in notes.tracked) == notes.tracked[0][2]
    assert len(notes.lines) == len(result.report.curve) == 13
    assert notes.lines[0].startswith("Validation slice, before training: KL to FP32 ")


def test_the_same_seed_gives_the_same_model(task):
    first, second = (task.train(dataclasses.replace(RECIPE, epochs=1)) for _ in range(2))
    assert all(
        first.quantized.weights[name].codes.equal(second.quantized.weights[name].codes)
        for name in first.quantized.weights
    )
    assert first.report.curve == second.report.curve


def test_without_improvement_it_stops_early_and_returns_what_it_was_given(task):
    still = dataclasses.replace(RECIPE, learning_rate=0.0, epochs=5, patience=3)
    result = task.train(still)
    report = result.report
    assert [point.step for point in report.curve] == [0, 3, 6, 9]
    assert (report.steps, report.planned_steps, report.best_step) == (9, 30, 0)
    assert report.stopped_early
    for name, weight in task.weights.items():
        assert result.quantized.weights[name].codes.equal(weight.codes)
        assert result.quantized.weights[name].scale.equal(weight.scale)


def test_a_training_that_diverges_is_an_error(task):
    with pytest.raises(MpqError, match="diverged before step") as caught:
        task.train(dataclasses.replace(RECIPE, learning_rate=1e30))
    assert caught.value.code == "E-DIVERGED"
    assert "--qat-learning-rate" in caught.value.hint


def test_larger_batches_are_added_up_from_parts(task):
    once = dataclasses.replace(RECIPE, epochs=1, checks=1)
    whole, parts = task.train(once), task.train(once, batch_tokens=50)
    assert parts.report.curve[-1].kl == pytest.approx(whole.report.curve[-1].kl, rel=1e-3)


def test_out_of_memory_goes_on_with_smaller_parts(task, monkeypatch):
    loss, sizes = training.distillation_loss, []

    def limited(teacher, student, batch, machine, weight):
        sizes.append(batch.tokens)
        if batch.tokens > 100:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
        return loss(teacher, student, batch, machine, weight)

    once = dataclasses.replace(RECIPE, epochs=1, checks=1)
    whole = task.train(once)
    monkeypatch.setattr(training, "distillation_loss", limited)
    notes = Notes()
    parts = task.train(once, notes)
    assert any(line.startswith("Out of memory: going on with") for line in notes.lines)
    assert max(sizes[20:]) <= 100
    assert parts.report.curve[-1].kl == pytest.approx(whole.report.curve[-1].kl, rel=1e-3)


def test_a_single_review_that_does_not_fit_is_an_error(task, monkeypatch):
    def never(*_):
        raise MemoryError

    monkeypatch.setattr(training, "distillation_loss", never)
    with pytest.raises(MpqError) as caught:
        task.train()
    assert caught.value.code == "E-MEMORY"


def test_other_failures_are_not_taken_for_a_lack_of_memory(task, monkeypatch):
    def broken(*_):
        raise RuntimeError("something else")

    monkeypatch.setattr(training, "distillation_loss", broken)
    with pytest.raises(RuntimeError, match="something else"):
        task.train()


def test_wider_weights_start_from_the_fp32_model(task):
    from bert_mpq.quantization import rtn
    from bert_mpq.quantization.training.student import LATENT, Student

    name = "bert.encoder.layer.1.output.dense"
    original = task.teacher.get_parameter(f"{name}.weight").detach()
    for bits, same in ((2, False), (3, False), (4, True)):
        weight = rtn.quantize(original, bits, None)
        student = Student(task.teacher, dataclasses.replace(task.compressed, weights={name: weight}))
        latent = student.model.get_parameter(name + LATENT)
        assert latent.equal(original if same else weight.dequantize())
