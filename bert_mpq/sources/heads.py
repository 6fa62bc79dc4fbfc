"""A classification head for a model that was only pretrained: logistic regression on frozen features."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bert_mpq.compute.batches import Batch
from bert_mpq.compute.forward import run_batches
from bert_mpq.compute.outputs import outputs_of
from bert_mpq.compute.reporting import Reporter
from bert_mpq.compute.workload import Workload
from bert_mpq.settings.errors import ModelError


def fit_head(model: Any, work: Workload, reporter: Reporter) -> None:
    """Fit the last Linear of ``model``, in place, by L2-regularised logistic regression.

    The features are what enters that Linear; everything before it stays as it is, a head layer that the
    checkpoint did not hold (RoBERTa's dense layer) included: it is a fixed random projection. Features are
    standardised for the fit, and the scaling is folded into the weights, so that the model gives the fitted
    log-odds as the difference of its two logits.

    Args:
        model: a transformers classifier with two outputs, in FP32; its config says which means what.
        work: labelled reviews, both classes among them, and where the features are computed.

    Raises:
        MpqError: E-MODEL when the model has no such Linear, or gives NaN or infinity; E-MEMORY.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    head = last_linear(model)
    features = _features(model, head, work, reporter)
    if not np.isfinite(features).all():
        raise ModelError("The model gives NaN or infinite features.", "Check the checkpoint.")
    fitted = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2_000))
    fitted.fit(features, work.tokens.labels)
    scaler, regression = fitted[0], fitted[1]
    slope = regression.coef_[0] / scaler.scale_
    intercept = float(regression.intercept_[0] - slope @ scaler.mean_)
    with torch.no_grad():
        # Half of the log-odds on either side: softmax looks at the difference only.
        for index, sign in zip(outputs_of(model).order, (-0.5, 0.5), strict=True):
            head.weight[index] = torch.from_numpy(sign * slope)
            head.bias[index] = sign * intercept


def last_linear(model: Any) -> nn.Linear:
    """Return the Linear that gives the logits: the only one outside the encoder with two outputs.

    Raises:
        MpqError: E-MODEL when there is none, or more than one.
    """
    inside = f"{model.base_model_prefix}."
    found = [
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and module.out_features == 2
        and module.bias is not None
        and not name.startswith(inside)
    ]
    if len(found) != 1:
        raise ModelError(
            f"{type(model).__name__} has no single classification layer to fit.",
            "Use a BERT-like encoder classifier with two labels.",
        )
    return found[0]


def _features(
    model: Any, head: nn.Linear, work: Workload, reporter: Reporter
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return (n, d) what enters ``head``, one row per review in the sample's order."""
    # The Linear is swapped for the identity, so that the logits are the features themselves; a hook would
    # have to tell concurrent batches apart.
    machine = work.machine
    name = next(name for name, module in model.named_modules() if module is head)
    model.set_submodule(name, nn.Identity())
    try:
        module = model.to(machine.device).eval()

        def forward(batch: Batch) -> Tensor:
            with machine.arithmetic():
                return module(**batch.inputs(machine)).logits.float().cpu()  # type: ignore[no-any-return]

        rows = np.empty((len(work.tokens), head.in_features))
        for done in run_batches(work, forward, reporter, "Fit the head"):
            rows[done.batch.indices] = done.result.numpy()
    finally:
        model.set_submodule(name, head)
        model.to("cpu")
    return rows
