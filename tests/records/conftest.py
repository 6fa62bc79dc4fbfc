"""Results with the numbers of the README of the script this tool replaces, to compare the files with it."""

import pytest

from bert_mpq.records.context import Setting, Stage
from bert_mpq.records.evaluation import BitAllocation, EvaluationResult, Sensitivities
from bert_mpq.records.sensitivity import AnalysisResult, LayerScore, MetricAgreement, Scores
from bert_mpq.records.sizes import SizeReport
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.quantizers import quantizers_for
from tests.helpers.results import SETTING, figures, sample

GPTQ_SAMPLE = sample("TRAIN set", 128, 16, "3c" * 32)
VALUES = (0.123456, 0.234567, 0.3, 1 / 3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8, 0.876543)


@pytest.fixture
def setting() -> Setting:
    return SETTING


@pytest.fixture
def scores() -> Scores:
    return Scores(metric="pwcca", layers=tuple(LayerScore(value=value) for value in VALUES))


@pytest.fixture
def sensitivity_result(setting, scores) -> AnalysisResult:
    return AnalysisResult(
        config=RunConfig(),
        setting=setting,
        sample=sample("TRAIN set", 25_000, 64, "5e" * 32),
        scores=(scores,),
        kl=tuple(value / 10 for value in VALUES),
        agreement=(MetricAgreement(first="pwcca", second="kl", spearman=1.0),),
        quantizers=quantizers_for("auto", (4,), 64),
        gptq_sample=GPTQ_SAMPLE,
        stages=(
            Stage(name="Load the model", seconds=1.5),
            Stage(name="Compare activations", seconds=12.34),
            Stage(name="Score layers", seconds=0.25),
        ),
    )


@pytest.fixture
def evaluation_result(setting) -> EvaluationResult:
    weights = 13_750_000  # 440,000,000 bits, as in the README
    return EvaluationResult(
        config=RunConfig(),
        setting=setting,
        sample=sample("TEST set", 25_000, 32, "7a" * 32),
        sensitivities=Sensitivities(
            file_name="layer_sensitivity_BERT_IMDB_pwcca.json",
            values=VALUES,
            metric="pwcca",
            model_name="textattack/bert-base-uncased-imdb",
            samples="25000",
        ),
        allocation=BitAllocation(
            method="kmeans",
            group_bits=(16, 8, 4),
            groups=(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2),
            bits=(16, 16, 16, 16, 8, 8, 8, 8, 4, 4, 4, 4),
        ),
        before=figures(0.92345, 0.920123, 0.926789, 0.923456, loss=0.212345, seconds=41.5, size=25_000),
        after=figures(0.92123, 0.9189, 0.92456, 0.921728, loss=0.223456, seconds=41.25, size=25_000),
        agreement=0.99,
        kl=0.00143,
        quantizers=quantizers_for("auto", (8, 4), 64),
        gptq_sample=GPTQ_SAMPLE,
        sizes=SizeReport(
            linear_weights=weights,
            nominal_bits=11 * weights,
            scale_bits=5 * weights,
            embedding_weights=23_837_184,
            embedding_bits=32 * 23_837_184,
            norm_bits=32 * 120_000,
            head_bits=32 * 580_000,
        ),
        quantization_seconds=2.345,
        weights_fingerprint="ab" * 32,
        stages=(Stage(name="Quantize", seconds=2.345), Stage(name="Evaluate FP32", seconds=41.5)),
    )
