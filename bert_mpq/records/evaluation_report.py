"""Evaluation reports: the original tool's TXT, section by section; more keys follow its own in each."""

from pathlib import Path

from bert_mpq.records.context import file_words
from bert_mpq.records.evaluation import EvaluationResult
from bert_mpq.records.numbers import megabytes
from bert_mpq.records.training_report import accuracy_lines, drop_line, training_sections


def evaluation_stem(result: EvaluationResult, timestamp: str) -> str:
    """Return the file name without suffix; the defaults give the original tool's names."""
    words = file_words(result.setting)
    groups = len(result.allocation.group_bits)
    return f"eval_{words}_{result.allocation.method}_{groups}groups_{timestamp}"


def evaluation_text(result: EvaluationResult, timestamp: str) -> str:
    """Return the TXT report."""
    sections = [
        _heading(result, timestamp),
        _inputs(result),
        _allocation(result),
        ["# FP32 Baseline (Before Quantization)", *accuracy_lines(result.before)],
        ["# After Mixed-Precision Quantization", *accuracy_lines(result.after)],
        _drops(result),
        _compression(result),
        *_refinement(result),
        *training_sections(result),
    ]
    return "\n\n".join("\n".join(section) for section in sections) + "\n"


def _heading(result: EvaluationResult, timestamp: str) -> list[str]:
    setting = result.setting
    return [
        f"# Mixed-Precision PTQ Results | {setting.data_word} | {setting.model_title}",
        f"timestamp: {timestamp}",
        f"model_name: {setting.model_name}",
        f"device: {setting.device}",
        f"num_gpus: {setting.num_gpus}",
        f"precision: {setting.precision}",
        f"max_length: {setting.max_length}",
        f"seed: {result.config.seed}",
        *([f"head: {result.config.head_text}"] if result.config.head_text else []),
        *setting.origin_lines,
    ]


def _inputs(result: EvaluationResult) -> list[str]:
    sample, sensitivities = result.sample, result.sensitivities
    return [
        "# Sensitivity Computation",
        f"sensitivity_file: {sensitivities.file_name}",
        f"num_layers: {len(sensitivities.values)}",
        f"sensitivity_metric: {sensitivities.metric or 'unknown'}",
        *([f"sensitivity_model: {result.scores_of}"] if result.scores_of else []),
        "",
        "# Evaluation Set",
        f"eval_set_size: {sample.size}",
        f"batch_size: {sample.largest_batch}",
        f"eval_split: {sample.split}",
        f"sampling: {sample.sampling}",
        "",
        "# Clustering",
        f"clustering_method: {result.allocation.method}",
        f"num_clusters: {len(result.allocation.group_bits)}",
        *_goal(result),
    ]


def _goal(result: EvaluationResult) -> list[str]:
    config = result.config
    if config.clustering != "budget":
        return []
    finer = []
    if config.granularity == "linear":
        finer = [f"granularity: linear, {'q, k, v tied' if config.tie else 'every Linear alone'}"]
    pins = [f"pinned: {','.join(config.pin)}"] if config.pin else []
    limit = [f"max_widths: {config.max_widths}"] if config.max_widths else []
    return [f"target: {config.target}", f"loss: {config.score}", *finer, *pins, *limit]


def _allocation(result: EvaluationResult) -> list[str]:
    rows = zip(result.allocation.texts, result.sensitivities.values, strict=True)
    return [
        "# Bit Allocation",
        *(f"layer_{i}: {bits}-bit (sensitivity: {score:.6f})" for i, (bits, score) in enumerate(rows)),
        f"quantizer: {result.config.quantizer}",
        *(f"quantizer_{entry.bits}bit: {entry.text}" for entry in result.quantizers),
        f"embeddings: {result.config.embeddings}",
        *(
            [f"gptq_reviews: {gptq.size}", f"gptq_split: {gptq.split}"]
            if (gptq := result.gptq_sample)
            else []
        ),
    ]


def _drops(result: EvaluationResult) -> list[str]:
    before, after = result.before, result.after
    return [
        "# Accuracy Drops",
        drop_line(result, after),
        f"precision_drop: {before.precision - after.precision:.6f}",
        f"recall_drop: {before.recall - after.recall:.6f}",
        f"f1_drop: {before.f1 - after.f1:.6f}",
        f"prediction_agreement: {result.agreement:.6f}",
    ]


def _compression(result: EvaluationResult) -> list[str]:
    sizes = result.sizes
    return [
        "# Compression Metrics",
        f"orig_bits: {sizes.original_bits}",
        f"quant_bits: {sizes.quantized_bits}",
        f"orig_size_mb: {megabytes(sizes.original_bits):.2f}",
        f"quant_size_mb: {megabytes(sizes.quantized_bits):.2f}",
        f"compression_ratio: {sizes.ratio:.3f}x",
        f"size_reduction_pct: {1 - 1 / sizes.ratio:.2%}",
        f"quantization_time_s: {result.quantization_seconds:.3f}",
        f"nominal_compression_ratio: {sizes.nominal_ratio:.3f}x (as in the paper: without scales)",
        f"bits_per_weight: {sizes.bits_per_weight:.3f}",
        f"encoder_codes_mb: {megabytes(sizes.nominal_bits):.2f}",
        f"encoder_scales_mb: {megabytes(sizes.scale_bits):.2f}",
        f"embeddings_mb: {megabytes(sizes.embedding_bits):.2f}",
        f"norms_and_biases_mb: {megabytes(sizes.norm_bits):.2f}",
        f"pooler_and_classifier_mb: {megabytes(sizes.head_bits):.2f}",
        f"whole_model_orig_size_mb: {megabytes(sizes.whole_original_bits):.2f}",
        f"whole_model_quant_size_mb: {megabytes(sizes.whole_bits):.2f}",
        f"whole_model_compression_ratio: {sizes.whole_ratio:.3f}x",
        f"whole_model_compression_ratio_over_fp16: {sizes.whole_ratio_fp16:.3f}x",
    ]


def _refinement(result: EvaluationResult) -> list[list[str]]:
    refinement = result.refinement
    if refinement is None:
        return []
    return [
        [
            "# Plan Refinement",
            f"refine_reviews: {refinement.reviews}",
            f"refine_plans: {len(refinement.plans)}",
            f"refine_optimum_predicted_kl: {refinement.predicted.predicted:.6f}",
            f"refine_optimum_kl: {refinement.predicted.kl:.6f}",
            f"refine_best_kl: {refinement.best.kl:.6f}",
            f"refine_gain: {refinement.gain:.6f} (standard error {refinement.gain_error:.6f})",
        ]
    ]


def report_path(record: Path) -> Path:
    """Return the TXT path beside a run record."""
    return record.with_suffix(".txt")
