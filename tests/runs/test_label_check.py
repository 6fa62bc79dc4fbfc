"""Labels that look swapped stop a run; a model that does not work gets no advice."""

import json
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_mpq import RunConfig, quantize_and_evaluate, run
from bert_mpq.compute.reporting import Silent
from bert_mpq.records.reading import read_evaluation
from bert_mpq.runs import sweep, validate
from bert_mpq.runs.label_check import FEW, look_swapped
from bert_mpq.runs.make_plan import plan_sweep, plan_validation
from bert_mpq.runs.session import Session
from bert_mpq.settings.errors import MpqError


@pytest.mark.parametrize(
    ("correct", "size", "positive", "swapped"),
    [
        (6, 80, 40, True),  # the embedded classifier with its labels swapped
        (22, 80, 40, True),
        (30, 80, 40, False),  # such a small sample may be so by chance
        (40, 80, 40, False),
        (74, 80, 40, False),
        (0, 8, 4, False),  # guessing does that once in 256
        (0, 10, 5, True),
        (15, 100, 90, False),  # saying positive always is better than saying the opposite of the model
        (5, 100, 90, True),
        (0, 50, 50, False),
        (0, 50, 0, False),
    ],
)
def test_labels_look_swapped_when_chance_is_out_of_the_question(correct, size, positive, swapped):
    assert look_swapped(correct, size, positive) == swapped


@given(st.integers(1, 400), st.data())
def test_a_model_and_its_opposite_never_both_look_swapped(size, data):
    correct, positive = data.draw(st.integers(0, size)), data.draw(st.integers(0, size))
    assert not (look_swapped(correct, size, positive) and look_swapped(size - correct, size, positive))


@pytest.fixture(scope="module")
def folder(tmp_path_factory, classifier, tokenizer_files):
    """The embedded classifier as a folder: its second output means positive."""
    path = tmp_path_factory.mktemp("models") / "sentiment"
    classifier.model.save_pretrained(path)
    for file in tokenizer_files:
        shutil.copy(file, path)
    return path


@pytest.fixture
def config(tmp_path, folder):
    scores = tmp_path / "scores.json"
    scores.write_text(json.dumps({f"layer_{index}": 0.1 * index for index in range(6)}))
    return RunConfig(
        model=str(folder),
        output=str(tmp_path),
        sensitivities=str(scores),
        eval_size=40,
        max_length=64,
        quantizer="rtn",
        device="cpu",
    )


def name_outputs(config, tmp_path, names):
    """Return ``config`` with the model's outputs named otherwise."""
    path = tmp_path / "renamed"
    shutil.copytree(config.model, path)
    content = json.loads((path / "config.json").read_text())
    label2id = {name: int(index) for index, name in names.items()}
    (path / "config.json").write_text(json.dumps(content | {"id2label": names, "label2id": label2id}))
    return config.replace(model=str(path))


def test_names_decide_what_an_output_means(config, tmp_path):
    plain = quantize_and_evaluate(config).result
    wrong = name_outputs(config, tmp_path, {"0": "POSITIVE", "1": "NEGATIVE"})
    with pytest.raises(MpqError) as refused:
        quantize_and_evaluate(wrong)
    assert refused.value.code == "E-LABELS"
    assert "output 0 (POSITIVE) = positive" in refused.value.title
    assert "--swap-labels" in refused.value.hint
    done = quantize_and_evaluate(wrong.replace(swap_labels=True))
    assert done.result.before.correct == plain.before.correct > 25
    record = read_evaluation(done.files[1])
    assert record.result.setting.outputs == "output 0 (negative) = negative, output 1 (positive) = positive"
    assert "swap-labels" in record.command


def test_a_run_stops_before_it_quantizes_or_writes_anything(config, tmp_path):
    swapped = config.replace(swap_labels=True)
    with pytest.raises(MpqError) as refused:
        quantize_and_evaluate(swapped)
    assert refused.value.code == "E-LABELS"
    assert refused.value.hint == "If the opposite is meant, leave --swap-labels out."
    assert list(tmp_path.glob("Evaluation/*")) == []


@pytest.mark.parametrize(("asked", "seen"), [(FEW + 1, FEW), (40, 40)])
def test_a_run_that_measures_layers_finds_out_first(config, tmp_path, monkeypatch, asked, seen):
    """A full run, a sweep and a validation find out on a few reviews, or on all where they are few."""
    monkeypatch.setattr("bert_mpq.runs.phase_1.measure", lambda *_, **__: pytest.fail("too late"))
    monkeypatch.setattr("bert_mpq.runs.validate.measure", lambda *_, **__: pytest.fail("too late"))
    long = config.replace(
        swap_labels=True, eval_size=asked, calibration_size=900, metrics=("cka",), sensitivities=None
    )
    session = Session()
    for start in (
        lambda: run(long, session=session),
        lambda: sweep.run(plan_sweep(long), Silent(), session),
        lambda: validate.run(plan_validation(long), Silent(), session),
    ):
        with pytest.raises(MpqError) as refused:
            start()
        assert refused.value.code == "E-LABELS"
        assert f"of {seen} reviews" in refused.value.title
    assert list(tmp_path.glob("*/*")) == []
