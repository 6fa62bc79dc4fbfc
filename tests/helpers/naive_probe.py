"""The naive way to probe: quantize one layer in a copy of the model, run it, compare."""

import copy

import torch

from bert_mpq.compute.encoder import encoder_layers
from bert_mpq.sensitivity.probe import Probe
from bert_mpq.sensitivity.probed_classifier import ProbedClassifier
from bert_mpq.sensitivity.twins import Twins
from tests.helpers.quantized import quantize_whole


def probe(scope="propagated", pooling="mean", bits=(4,), granularity="layer"):
    return Probe(
        scope=scope,
        pooling=pooling,
        bits=bits,
        quantizer="rtn",
        group_size=32,
        granularity=granularity,
    )


def layer_outputs(model, ids, mask, pooling="mean"):
    """Pooled output (B, hidden) of every layer and the logits, by hooks on an unprobed model."""
    outputs = []
    handles = [
        layer.register_forward_hook(
            lambda _m, _a, out: outputs.append(out if torch.is_tensor(out) else out[0])
        )
        for layer in encoder_layers(model)
    ]
    logits = model(input_ids=ids, attention_mask=mask).logits
    for handle in handles:
        handle.remove()
    outputs = [out[:, : ids.shape[1]] for out in outputs]  # Longformer pads to whole windows
    if pooling == "cls":
        return [out[:, 0] for out in outputs], logits
    weights = mask[:, :, None].double()
    return [(out * weights).sum(1) / weights.sum(1) for out in outputs], logits


def quantized(model, layers, bits=4):
    changed = copy.deepcopy(model)
    for index in layers:
        quantize_whole(encoder_layers(changed)[index], bits, "rtn", 32)
    return changed


def random_batch(vocabulary=500):
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, vocabulary, (5, 12), generator=generator)
    mask = torch.ones_like(ids)
    mask[1, 7:] = 0
    mask[4, 3:] = 0
    return ids, mask


def assert_close(got, wanted):
    torch.testing.assert_close(
        got.double(), wanted.double(), rtol=0, atol=1e-6 * max(1.0, float(wanted.abs().max()))
    )


def check_propagated(model, ids, mask, pooling="mean"):
    with torch.inference_mode():
        reference, perturbed, logits = ProbedClassifier(Twins.of(model, probe(pooling=pooling)))(ids, mask)
        plain, plain_logits = layer_outputs(model, ids, mask, pooling)
        assert_close(reference[:, 0], plain[-1])
        assert_close(logits[:, 0], plain_logits)
        for index in range(len(plain)):
            outputs, naive_logits = layer_outputs(quantized(model, [index]), ids, mask, pooling)
            assert_close(perturbed[:, index], outputs[-1])
            assert_close(logits[:, index + 1], naive_logits)
            assert not torch.allclose(outputs[-1], plain[-1], atol=1e-5), "the probe changes nothing"
