"""What bits come to before a run: the same by the shape in config.json as by the shape that was measured."""

from dataclasses import replace

import pytest

from bert_mpq.records.width_scores import write_width_scores
from bert_mpq.runs.outcome import extremes, outcome_of
from bert_mpq.settings.config import RunConfig
from bert_mpq.sources.classifiers import ModelSource
from tests.ui.test_plan_command import KL, SCORES

OUTLINE = SCORES.outline
PARAMETERS = OUTLINE.linear_weights + OUTLINE.embedding_weights + OUTLINE.norm_weights + OUTLINE.head_weights
MODEL = ModelSource(
    name="embedded",
    kind="embedded",
    layers=6,
    hidden=384,
    inner=1536,
    max_length=256,
    parameters=PARAMETERS,
)
BITS = (8, 8, 8, 4, 2, 3)


@pytest.fixture
def config(tmp_path):
    (tmp_path / "Sensitivities").mkdir()
    return RunConfig(output=str(tmp_path), quantizer="rtn")


def test_the_sizes_are_alike_and_scores_add_the_damage(config, tmp_path):
    plain = outcome_of(config, BITS, MODEL)
    write_width_scores(tmp_path / "Sensitivities", SCORES, "20250113_142530")
    scored = outcome_of(config, BITS, MODEL)
    assert plain.kl is None
    assert replace(scored, kl=None) == plain
    assert scored.bits_per_weight == (8 + 8 + 8 + 4 + 2 + 3) / 6 + 16 / 64
    widths = SCORES.widths.index
    alone = [KL[layer][widths(bits)] for layer, bits in enumerate(BITS)]
    alone[5] = max(alone[5], KL[5][widths(4)])  # fewer bits never lose less
    assert scored.kl == pytest.approx(sum(alone))
    assert scored.whole_ratio == 32 * PARAMETERS / scored.whole_bits


@pytest.mark.parametrize("bits", [(6,) * 6, (16, 16, 8, 8, 4, 4)])
def test_the_damage_is_known_where_every_width_was_measured(config, tmp_path, bits):
    write_width_scores(tmp_path / "Sensitivities", SCORES, "20250113_142530")
    assert (outcome_of(config, bits, MODEL).kl is None) == (6 in bits)


def test_scores_of_another_model_say_nothing(config, tmp_path):
    other = replace(SCORES, model_name="someone/bert")
    write_width_scores(tmp_path / "Sensitivities", other, "20250113_142530")
    assert outcome_of(config, BITS, MODEL).kl is None


def test_what_a_clustering_can_come_to_lies_between_the_extremes(config):
    least, most = extremes(config.replace(bits=(8, 4, 2)), MODEL)
    inside = outcome_of(config, (8, 8, 4, 4, 2, 2), MODEL)
    assert least.whole_bits < inside.whole_bits < most.whole_bits
    assert least == outcome_of(config, (8, 4, 2, 2, 2, 2), MODEL)
    assert most == outcome_of(config, (8, 4, 2, 8, 8, 8), MODEL)


def test_a_model_whose_parameters_are_unknown_has_the_ratio_of_its_encoder(config):
    outcome = outcome_of(config.replace(quantizer="per-tensor"), (16,) * 6, replace(MODEL, parameters=None))
    assert (outcome.whole_bits, outcome.whole_ratio) == (None, 2.0)
