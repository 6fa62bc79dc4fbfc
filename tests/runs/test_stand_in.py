"""Where the embedded classifier stands in for the default model, the commands that repeat a run name it."""

import shlex

from bert_mpq.ui.main import main


def test_a_plan_measured_on_the_stand_in_is_carried_out_on_it(tmp_path, capsys):
    words = "--target 6bits --score cka --quantizer rtn --probe-bits 4,8 --calibration-size 8 --max-length 8"
    assert main(["plan", *words.split(), "--yes", "--quiet", "--output", str(tmp_path)]) == 0
    (scores,) = tmp_path.glob("Sensitivities/widths_*.json")
    for again in ([], ["plan", "--sensitivities", str(scores), "--score", "cka", "--target", "6bits"]):
        assert not again or main(again) == 0
        plan, quantize = (shlex.split(line) for line in capsys.readouterr().out.splitlines()[-2:])
        assert plan[:4] == ["bert-mpq", "plan", "--model", "embedded"]
        assert quantize[:4] == ["bert-mpq", "quantize", "--model", "embedded"]
