"""The mistakes people make, one by one: the code, the sentence and the hint, on the screen of a script."""

import errno
import json

import pytest

from tests.helpers.command import call

RUN = ["--calibration-size", "40", "--eval-size", "40", "--yes"]


def refused(done, code, *said, exit_code=1):
    assert done.returncode == exit_code, done.stderr
    assert f"error[{code}]: " in done.stderr
    for each in said:
        assert each in done.stderr
    assert "Traceback" not in done.stderr
    return done


def files(folder):
    return sorted(path.name for name in ("Sensitivities", "Evaluation") for path in folder.glob(f"{name}/*"))


def test_no_sensitivity_file(tmp_path, small):
    done = call("quantize", *small, "--sensitivities", "gone.json", "--yes", cwd=tmp_path)
    refused(done, "E-NOFILE", "No sensitivity file at gone.json.", "Run Phase 1, or pick another file.")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"layer_0": 0.1,', "is not valid JSON (line 1, column"),
        ('{"layer_0": 0.1, "layer_2": 0.2}', "layer_1 is missing"),
        ('{"layer_0": NaN}', "NaN is not a number"),
        ('{"layer_0": -1}', "layer_0 is -1, not a score of 0 or more"),
        ('{"layer_0": true}', "layer_0 is not a number"),
        ('{"layer_0": "0.1"}', "layer_0 is not a number"),
        ('{"layer_0": 0.1, "layer_0": 0.2}', '"layer_0" stands twice'),
        ("[0.1, 0.2]", "it must be an object"),
    ],
)
def test_a_broken_sensitivity_file(tmp_path, small, write_scores, text, said):
    path = write_scores(text)
    refused(call("quantize", *small, "--sensitivities", str(path), "--yes", cwd=tmp_path), "E-JSON", said)


def test_the_file_of_another_model(tmp_path, small, write_scores):
    done = call("quantize", *small, "--sensitivities", str(write_scores(12)), "--yes", cwd=tmp_path)
    refused(done, "E-LAYERS", "The file has 12 layers, the model has 5.", "Pick another file, or run Phase 1")


@pytest.mark.parametrize(
    ("bits", "code", "said"),
    [
        ("4.5,4", "E-BITS-INT", '"4.5" is not a whole number'),
        ("8,5,4", "E-BITS-VALUE", "5 bits is not supported; use 2, 3, 4, 6, 8, 16 or 32"),
        ("2,4,8", "E-BITS-ORDER", "2,4,8 rises; the most sensitive group comes first, so 8,4,2"),
    ],
)
def test_bits_that_no_run_can_have(tmp_path, small, bits, code, said):
    refused(call("run", *small, "--bits", bits, *RUN, cwd=tmp_path), code, said, exit_code=2)


def test_more_groups_than_distinct_scores(tmp_path, small, write_scores):
    path = write_scores({f"layer_{index}": 0.1 * (index % 2) for index in range(5)})
    arguments = ["--sensitivities", str(path), "--bits", "32,16,8,4", "--eval-size", "40", "--yes"]
    done = call("quantize", *small, *arguments, cwd=tmp_path)
    refused(done, "E-GROUPS", "4 groups, but only 2 distinct scores.", "Choose at most 2.")


def test_the_hub_cannot_be_reached(tmp_path):
    done = call("run", "--model", "someone/bert", *RUN, cwd=tmp_path)
    refused(done, "E-NETWORK", "someone/bert is not in the cache.", "--model embedded")


def test_a_gpu_that_is_not_there(tmp_path, small, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    done = call("run", *small, "--device", "cuda", *RUN, cwd=tmp_path)
    refused(done, "E-DEVICE", "--device cuda, but PyTorch sees no GPU (torch ", "Use --device cpu")


def test_memory_that_does_not_suffice_for_one_review(tmp_path, small, monkeypatch):
    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr("bert_mpq.sensitivity.probed_classifier.ProbedClassifier.forward", full)
    done = call("sensitivity", *small, "--calibration-size", "40", "--metrics", "cka", "--yes", cwd=tmp_path)
    refused(done, "E-MEMORY", "Out of memory even with one review per batch.", "--max-length")
    assert files(tmp_path) == []


def test_a_disk_that_is_full(tmp_path, small, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    done = call("sensitivity", *small, "--calibration-size", "40", "--metrics", "cka", "--yes", cwd=tmp_path)
    refused(done, "E-DISK", "The disk with ", "Sensitivities/ is full.")
    assert not [name for name in files(tmp_path) if name.endswith((".part", ".txt"))]


def test_a_folder_that_is_a_file(tmp_path, small):
    (tmp_path / "out").write_text("")
    done = call("run", *small, *RUN, "--output", "out", cwd=tmp_path)
    refused(
        done, "E-READONLY", "Cannot write to out/Sensitivities/", "Run in another folder, or --output PATH."
    )


def test_no_terminal(tmp_path):
    refused(
        call(cwd=tmp_path), "E-TERMINAL", "The menu needs a terminal.", "bert-mpq run --help", exit_code=2
    )


def test_more_reviews_than_the_split_has(tmp_path, small):
    done = call("sensitivity", *small, "--calibration-size", "25000", "--yes", cwd=tmp_path)
    refused(done, "E-DATA-SIZE", "25,000 asked, but the split has 12,450 reviews.", "12,450 or fewer")


def write_reviews(folder, *rows, header="text,label"):
    path = folder / "data.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_reviews_of_one_class(tmp_path, small, imdb):
    reviews = imdb["calibration"].take(list(range(400)))
    negative = [text for text, label in zip(reviews.texts, reviews.labels, strict=True) if label == 0]
    data = tmp_path / "data.json"
    data.write_text("\n".join(json.dumps({"text": text, "label": 0}) for text in negative))
    arguments = ["--sampling", "random", "--calibration-size", "20", "--metrics", "cka", "--yes"]
    done = call("sensitivity", *small, "--data", str(data), *arguments, cwd=tmp_path)
    refused(done, "E-ONE-CLASS", "data.json holds only negative reviews.", "both classes")


@pytest.mark.parametrize(
    ("rows", "header"),
    [
        (["good,1", "bad,0"], "opinion,label"),
        (["good,1", "bad,2"], "text,label"),
        ([], "text,label"),
    ],
)
def test_data_of_another_shape(tmp_path, small, rows, header):
    data = write_reviews(tmp_path, *rows, header=header)
    refused(call("run", *small, "--data", str(data), *RUN, cwd=tmp_path), "E-DATA-FORMAT", "data.csv")


def test_a_model_without_a_head(tmp_path, small_model, tokenizer_files):
    import shutil

    import torch
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "headless"
    shutil.copytree(small_model, folder)
    weights = load_file(folder / "model.safetensors")
    kept: dict[str, torch.Tensor] = {name: each for name, each in weights.items() if "classifier" not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    done = call("run", "--model", str(folder), *RUN, cwd=tmp_path)
    refused(done, "E-MODEL", "has no trained classification head", "--fit-head")


def test_a_mistake_that_hides_another_leaves_its_traceback_in_the_log(tmp_path, small, monkeypatch):
    def broken(*_, **__):
        raise ValueError("something nobody thought of")

    monkeypatch.setattr("bert_mpq.runs.phase_1.score", broken)
    arguments = ["sensitivity", *small, "--calibration-size", "40", "--metrics", "cka", "--yes"]
    done = call(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert "error: unexpected ValueError: something nobody thought of" in done.stderr
    assert "the traceback is in Sensitivities/bert-mpq.log" in done.stderr
    assert "Traceback" not in done.stderr
    log = (tmp_path / "Sensitivities" / "bert-mpq.log").read_text()
    assert 'raise ValueError("something nobody thought of")' in log
    assert "Traceback" in call(*arguments, "-v", cwd=tmp_path).stderr


def test_what_a_library_warns_of_goes_to_the_log_and_not_to_the_screen(tmp_path, small, monkeypatch):
    import logging

    from bert_mpq.sensitivity.scoring import score

    def warning(*arguments):
        logging.getLogger("transformers.models").warning("torch is getting old")
        return score(*arguments)

    monkeypatch.setattr("bert_mpq.runs.phase_1.score", warning)
    arguments = ["sensitivity", *small, "--calibration-size", "40", "--metrics", "cka", "--yes"]
    done = call(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "getting old" not in done.stderr + done.stdout
    assert "torch is getting old" in (tmp_path / "Sensitivities" / "bert-mpq.log").read_text()


def test_a_run_without_a_warning_leaves_no_log(tmp_path, small):
    call("sensitivity", *small, "--calibration-size", "40", "--metrics", "cka", "--yes", cwd=tmp_path)
    assert len(files(tmp_path)) == 3
    assert not [name for name in files(tmp_path) if name.endswith(".log")]
    assert json.loads(next(tmp_path.glob("Sensitivities/layer*.json")).read_text())
