"""What narrower embedding tables do to the logits, measured on calibration reviews."""

import copy
import dataclasses

from bert_mpq.quantization.embeddings import round_tables
from bert_mpq.records.width_scores import TableLosses
from bert_mpq.runs.job import AnyPlan, Job
from bert_mpq.runs.prepared import Prepared
from bert_mpq.settings.embeddings import EmbeddingPrecision

REVIEWS = 128  # enough for a loss that is compared with those of layers, and few beside a prediction


def table_losses(job: Job[AnyPlan], work: Prepared) -> TableLosses:
    """Return the KL of the logits when nothing but the embedding tables is kept in codes.

    Three passes over the first calibration reviews.

    Raises:
        MpqError: E-MODEL when a table cannot be kept in codes; E-MEMORY, E-DISTRIBUTED.
    """
    model, few = work.classifier.model, dataclasses.replace(work, tokens=work.tokens.head(REVIEWS))
    before = job.evaluate(model, few, "Embeddings: FP32")

    def loss(precision: EmbeddingPrecision) -> float:
        narrower = copy.deepcopy(model)
        round_tables(narrower, precision)
        return max(0.0, job.evaluate(narrower, few, f"Embeddings: {precision}").divergence(before))

    return TableLosses(reviews=len(few.tokens), int8=loss("int8"), int4=loss("int4"))
