"""Reviews and the classifier that they were tokenized for: what the functions of a run work on."""

from dataclasses import dataclass

from bert_mpq.compute import distributed
from bert_mpq.compute.workload import Workload
from bert_mpq.records.context import Sample, Setting
from bert_mpq.runs.plan import Plan
from bert_mpq.runs.session import Draw
from bert_mpq.sources.classifiers import Classifier


@dataclass(frozen=True, kw_only=True)
class Prepared(Workload):
    """A workload of drawn reviews.

    Args:
        classifier: the FP32 model.
    """

    classifier: Classifier
    draw: Draw

    def sample(self, largest_batch: int) -> Sample:
        """Return what the artifacts say of the reviews; ``largest_batch`` is in reviews."""
        return Sample(
            split=self.draw.part.data.split_name(self.draw.part.split),
            size=len(self.tokens),
            positive=int(self.tokens.labels.sum()),
            sampling=self.draw.sampling,
            fingerprint=self.tokens.fingerprint,
            largest_batch=largest_batch,
        )

    @property
    def planned_sample(self) -> Sample:
        """What the artifacts say of reviews that run in the batches that are planned for them."""
        return self.sample(max(map(len, self.tokens.plan(self.batch_tokens))))

    def setting(self, plan: Plan, batch_tokens: int) -> Setting:
        """Return model, data and machine as the artifacts name them.

        Args:
            batch_tokens: tokens per forward pass that were used.
        """
        model = plan.sources.model
        return Setting(
            model_name=model.name,
            model_title=model.title,
            model_word=model.word,
            data_name=plan.sources.data.name,
            data_word=plan.sources.data.word,
            device=self.machine.device.type,
            precision=self.machine.precision,
            num_gpus=sum(distributed.gather(self.machine.num_gpus)),
            max_length=plan.max_length,
            batch_tokens=batch_tokens,
            layers=model.layers,
            processes=distributed.size(),
            data_reading=plan.sources.data.understood,
            revision=self.classifier.revision,
            weights=self.classifier.weights,
            outputs=model.outputs.text,
            encoder_fingerprint=self.classifier.encoder_fingerprint,
        )
