"""A plan that is being carried out: the model, the reviews and the evaluations that its steps ask for."""

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from torch import nn

from bert_mpq.compute import distributed
from bert_mpq.compute.batches import TokenizedReviews, tokenize
from bert_mpq.compute.checkpoints import Checkpoints
from bert_mpq.compute.devices import Machine, pick_machine
from bert_mpq.compute.evaluate import Evaluation, evaluate
from bert_mpq.compute.fingerprint import weights_fingerprint
from bert_mpq.compute.forward import memory_errors
from bert_mpq.compute.reporting import Reporter
from bert_mpq.compute.reviews import Reviews
from bert_mpq.compute.workload import Workload
from bert_mpq.runs import garbage
from bert_mpq.runs.clock import Clock
from bert_mpq.runs.plan import Plan
from bert_mpq.runs.prepared import Prepared
from bert_mpq.runs.session import Draw, Measured, Model, Part, Session
from bert_mpq.settings.choices import Split
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.quantizers import for_probes, needs_calibration, reviews_for
from bert_mpq.sources.classifiers import Classifier, load_classifier
from bert_mpq.sources.heads import fit_head
from bert_mpq.sources.reviews import load_reviews
from bert_mpq.sources.sampling import sample

LOAD = "Load the model"
AnyPlan = TypeVar("AnyPlan", bound=Plan)


@dataclass(frozen=True, kw_only=True)
class Job(Generic[AnyPlan]):
    """A plan, and what every step of it needs.

    Args:
        checkpoints: where evaluations go on from, and write to; None = nowhere.
    """

    plan: AnyPlan
    reporter: Reporter
    session: Session
    checkpoints: Checkpoints | None = None
    clock: Clock = field(default_factory=Clock)

    @property
    def machine(self) -> Machine:
        """The device of the run; raises MpqError E-DEVICE."""
        return pick_machine(self.plan.config.device, self.plan.config.precision)

    def prepare(self, split: Split) -> Prepared:
        """Load the model and draw the reviews of ``split`` that the plan names; each a lap of the clock.

        Raises:
            MpqError: what ``machine``, ``classifier`` and ``draw`` raise.
        """
        _ = self.machine  # a device that is not there is named before anything is loaded
        self.classifier()
        work = self.draw(split, self.plan.reviews[split])
        self.clock.lap("Read and tokenize")
        return work

    def classifier(self) -> Classifier:
        """Return the loaded classifier, its head fitted where the plan says so; to load it is a lap.

        Raises:
            MpqError: what ``load_classifier`` and ``fit_head`` raise.
        """
        model = self._model

        def load() -> Classifier:
            for _ in self.reporter.track([model], LOAD, 1):
                with garbage.left_alone():
                    classifier = load_classifier(model.source, needs_head=model.head is None)
            if model.head is not None:
                tokens, asked = self._tokenized(model.head, classifier), self.plan.config.batch_tokens
                work = Workload(tokens=tokens, machine=self.machine, asked=asked)
                fit_head(classifier.model, work, self.reporter)
            self.clock.lap(LOAD)
            return classifier

        return self.session.classifiers.get(model, load)

    def draw(self, split: Split, size: int, title: str = "Tokenize") -> Prepared:
        """Return ``size`` reviews of a split, tokenized for the classifier; ``title`` names the stage.

        Raises:
            MpqError: E-DATA-SIZE, E-ONE-CLASS, or what ``classifier`` and ``load_reviews`` raise.
        """
        classifier, draw = self.classifier(), self._draw(self._model, split, size)
        return Prepared(
            tokens=self.session.tokens.get(draw, lambda: self._tokenized(draw, classifier, title)),
            machine=self.machine,
            asked=self.plan.config.batch_tokens,
            classifier=classifier,
            draw=draw,
        )

    def available(self, split: Split) -> int:
        """Return how many reviews a split has; raises as ``load_reviews``."""
        return len(self._read(Part(data=self.plan.sources.data, split=split)))

    def calibration(self, widths: Iterable[int], probes: bool = False) -> Prepared | None:
        """Return the calibration reviews that the quantizer looks at for these widths, all where there are
        fewer than asked; a lap of the clock.

        None where it looks at none, and, with a note that says why, where there are none to be had.

        Args:
            probes: whether the quantizer of Phase 1's probes is meant.
        """
        config = self.plan.config
        quantizer = for_probes(config.quantizer) if probes else config.quantizer
        if not needs_calibration(quantizer, widths):
            return None
        try:
            size = min(reviews_for(quantizer, config.gptq_reviews), self.available("calibration"))
            self._sample(self._draw(self._model, "calibration", size))
        except MpqError as error:
            why = f"{error.title} Rounding to nearest instead."
            self.reporter.note(f"No calibration reviews for GPTQ: {why}")
            return None
        work = self.draw("calibration", size, "Tokenize for GPTQ")
        self.clock.lap("Read for GPTQ")
        # One GPU of several does it: it is a small part of a run.
        share = max(1, work.batch_tokens // max(1, work.machine.num_gpus))
        return dataclasses.replace(work, asked=share)

    def baseline(self, work: Prepared, title: str = "Evaluate FP32") -> Evaluation:
        """Return the FP32 evaluation; measured once per model, sample, device and batch size."""
        return self.session.evaluations.get(
            _measured(work), lambda: self.evaluate(work.classifier.model, work, title)
        )

    def quantized(self, model: nn.Module, work: Prepared) -> Evaluation:
        """Return the evaluation of the quantized model; not measured again when it has the same weights.

        A run that trains the model of the run before it has no need to.
        """
        title = "Evaluate quantized"
        if distributed.size() > 1:  # processes must not disagree on whether to measure
            return self.evaluate(model, work, title)
        measured = _measured(work, weights_fingerprint(model.state_dict()))
        return self.session.evaluations.get(measured, lambda: self.evaluate(model, work, title))

    def evaluate(self, model: nn.Module, work: Prepared, title: str) -> Evaluation:
        """Evaluate a model, from its checkpoint where there is one; ``title`` names the stage.

        Raises:
            MpqError: E-MEMORY, E-DISTRIBUTED.
        """
        return evaluate(model, work, self.reporter, title, self.checkpoints)

    @property
    def _model(self) -> Model:
        own, size = Model(source=self.plan.sources.model), self.plan.config.fit_head
        if size is None:
            return own
        head = dataclasses.replace(self._draw(own, "calibration", size), sampling="stratified")
        return dataclasses.replace(own, head=head)

    def _draw(self, model: Model, split: Split, size: int) -> Draw:
        return Draw(
            model=model,
            part=Part(data=self.plan.sources.data, split=split),
            size=size,
            sampling=self.plan.config.sampling,
            seed=self.plan.config.seed,
            max_length=self.plan.max_length,
        )

    def _tokenized(self, draw: Draw, classifier: Classifier, title: str = "Tokenize") -> TokenizedReviews:
        return tokenize(
            self._sample(draw),
            classifier.tokenizer,
            draw.max_length,
            self.reporter,
            title,
            padded=classifier.source.family.padded,
        )

    def _sample(self, draw: Draw) -> Reviews:
        return sample(self._read(draw.part), draw.size, draw.sampling, draw.seed)

    def _read(self, part: Part) -> Reviews:
        return self.session.reviews.get(part, lambda: load_reviews(part.data, part.split))


@contextlib.contextmanager
def started(plan: AnyPlan, reporter: Reporter, session: Session) -> Iterator[Job[AnyPlan]]:
    """Carry out a plan with checkpoints in its folder; say in plain words where memory runs out.

    Raises:
        MpqError: E-MEMORY.
    """
    every = session.checkpoint_every
    with Checkpoints(plan.config.output, plan.folders[-1], every, reporter) as checkpoints, memory_errors():
        yield Job(plan=plan, reporter=reporter, session=session, checkpoints=checkpoints, clock=session.clock)


def _measured(work: Prepared, weights: str = "") -> Measured:
    return Measured(draw=work.draw, machine=work.machine, batch_tokens=work.batch_tokens, weights=weights)
