"""All layers probed in one forward pass, by stacked streams.

Each encoder layer is replaced by a ``ProbedLayer`` that holds the FP32 layer and its quantized twins: one per
probe width (granularity ``layer``), or one per Linear module and width (``linear``). What flows through the
encoder is a stack of streams of B reviews each, stream 0 being the FP32 model. With T twins a layer:

* ``propagated``: at layer i there are 1 + i T streams, the FP32 one and one per earlier twin. The FP32 layer
  runs on all of them, each twin on stream 0, and their outputs are appended: the model with only that layer
  (or Linear) quantized. After the last layer pooler and classifier run on every stream, so one pass yields
  every twin's perturbed last hidden state and logits, for 1 + T (L + 1) / 2 forward passes.
* ``isolated``: one stream; the FP32 layer and the twins run on it, and what each gave is put aside.
* ``cumulative``: as isolated, but every twin runs on the output of its predecessor. That makes 1 + T streams:
  the FP32 model and the whole model quantized, once for each width.

Nothing is kept between calls, so ``torch.nn.DataParallel`` may replicate the module; forward hooks that close
over a twin would not survive that.
"""

import itertools
from typing import Any

import torch
from torch import Tensor, nn

from bert_mpq.compute.encoder import encoder_layers, layer_path, linears
from bert_mpq.sensitivity.probed_layer import ProbedLayer
from bert_mpq.sensitivity.twins import Twins


class _EncoderOfOneBatch(nn.Module):
    """The encoder inside a classifier, given inputs that are repeated for every stream.

    The encoder needs them once: its layers make the streams. What comes after it needs all of them, where it
    reads the attention mask (the mean over tokens of EuroBERT and ModernBERT).

    Args:
        encoder: the module that returns the last hidden states of all streams.
        streams: how often the inputs are repeated.
    """

    def __init__(self, encoder: nn.Module, streams: int) -> None:
        super().__init__()
        self.encoder = encoder
        self._streams = streams

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the encoder on the first B rows of every tensor that has a row for each stream."""
        tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
        rows = tensors[0].shape[0]

        def once(value: Any) -> Any:
            repeated = isinstance(value, Tensor) and value.dim() > 0 and value.shape[0] == rows
            return value[: rows // self._streams] if repeated else value

        return self.encoder(*map(once, args), **{name: once(value) for name, value in kwargs.items()})


class ProbedClassifier(nn.Module):
    """A copy of a classifier whose encoder layers are all probed.

    Args:
        twins: of the classifier's layers; the copy shares their weights.
    """

    def __init__(self, twins: Twins) -> None:
        super().__init__()
        self.model = twins.bare_model()
        self.probe = probe = twins.probe
        layers = list(encoder_layers(self.model))
        counts = [len(made) for made in twins.layers]
        before = itertools.accumulate(counts, initial=0)
        compared = range(len(layers)) if probe.scope != "propagated" else [len(layers) - 1]
        probed = [
            ProbedLayer(layer, made, earlier, probe.scope, probe.pooling if index in compared else None)
            for index, (layer, made, earlier) in enumerate(zip(layers, twins.layers, before, strict=False))
        ]
        # A plain list would be registered nowhere; the encoder iterates over its ModuleList.
        self.model.set_submodule(layer_path(self.model), nn.ModuleList(probed))
        self.probes = sum(counts)  # perturbed models that one pass compares with the FP32 one
        self.twins = max(counts)  # of a layer; most of them where not all units are probed
        # Of a bare model that is no transformers classifier the head reads no mask.
        prefix = getattr(self.model, "base_model_prefix", "")
        self._repeats = self.streams if prefix else 1
        if self._repeats > 1:
            encoder = _EncoderOfOneBatch(self.model.get_submodule(prefix), self._repeats)
            self.model.set_submodule(prefix, encoder)
        self.requires_grad_(False)

    @torch.no_grad()
    def weight_errors(self) -> tuple[float, ...]:
        """Return sum (W_q - W)^2 / sum W^2 over the weights that each probe quantizes."""
        errors = []
        for layer in self._probed():
            own = dict(linears(layer.layer))
            for twin in layer.twins:
                pairs = [(own[name].weight, linear.weight) for name, linear in linears(twin)]
                changed = [(w, q) for w, q in pairs if q is not w]
                error = sum(float((q - w).square().sum()) for w, q in changed)
                errors.append(error / sum(float(w.square().sum()) for w, _ in changed))
        return tuple(errors)

    @property
    def streams(self) -> int:
        """Streams that come out of the encoder."""
        twins = {"propagated": self.probes, "isolated": 0, "cumulative": self.twins}
        return 1 + twins[self.probe.scope]

    @property
    def computed(self) -> int:
        """Streams that the last layer works through."""
        return 1 + (self.probes if self.probe.scope == "propagated" else self.twins)

    def _probed(self) -> list[ProbedLayer]:
        # Looked up, not kept: the layers of a replica are not those of the model it was copied from.
        return [layer for layer in self.model.modules() if isinstance(layer, ProbedLayer)]

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the rows to compare, and the logits.

        Args:
            input_ids: (B, T).
            attention_mask: (B, T).

        Returns:
            reference (B, R, hidden): pooled FP32 outputs, R = 1 for scope propagated (the last layer's), else
            one per layer, or per probe where layers have different numbers of twins; perturbed
            (B, probes, hidden), the twins of the first layer first; logits (B, 1 + K, labels): the FP32
            model's, then K = probes for propagated, K = twins (the whole model quantized) for cumulative, 0
            for isolated.
        """
        layers = self._probed()
        for layer in layers:
            layer.expect(attention_mask)
        ids, mask = (tensor.repeat(self._repeats, 1) for tensor in (input_ids, attention_mask))
        try:
            logits = self.model(input_ids=ids, attention_mask=mask).logits
        finally:  # also when memory runs out
            pooled = [kept for layer in layers if (kept := layer.take_pooled()) is not None]
        logits = logits.reshape(-1, len(input_ids), logits.shape[-1]).transpose(0, 1)
        ragged = len({kept.shape[1] for kept in pooled}) > 1
        copies = [kept.shape[1] - 1 if ragged else 1 for kept in pooled]
        reference = torch.cat(
            [kept[:, :1].repeat_interleave(count, 1) for kept, count in zip(pooled, copies, strict=True)], 1
        )
        return reference, torch.cat([kept[:, 1:] for kept in pooled], 1), logits
