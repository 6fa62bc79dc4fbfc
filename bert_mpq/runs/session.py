"""What the runs of one session share: the loaded model, tokenized samples, evaluations."""

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator

from torch import nn

from bert_mpq.compute import distributed
from bert_mpq.compute.batches import TokenizedReviews, tokenize
from bert_mpq.compute.checkpoints import EVERY, Checkpoints
from bert_mpq.compute.devices import Machine, pick_machine
from bert_mpq.compute.evaluate import Evaluation, evaluate
from bert_mpq.compute.fingerprint import weights_fingerprint
from bert_mpq.compute.forward import memory_errors
from bert_mpq.compute.reporting import Reporter
from bert_mpq.compute.reviews import Reviews
from bert_mpq.compute.workload import Workload
from bert_mpq.runs.clock import Clock
from bert_mpq.runs.kept import Draw, Kept, Measured, Model, Part
from bert_mpq.runs.plan import Plan
from bert_mpq.runs.prepared import Prepared
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.quantizers import needs_calibration
from bert_mpq.sources.classifiers import Classifier, load_classifier
from bert_mpq.sources.halves import Split
from bert_mpq.sources.heads import fit_head
from bert_mpq.sources.reviews import load_reviews
from bert_mpq.sources.sampling import sample

SAMPLES = 5  # of one run at most: both phases', GPTQ's, the search's, the training's


class Session:
    """Keeps the last of everything that is slow to make and that the next run may need again.

    Args:
        checkpoint_every: seconds between two checkpoints of a stage at least.
    """

    def __init__(self, checkpoint_every: float = EVERY) -> None:
        self._checkpoint_every = checkpoint_every
        self._classifiers = Kept[Classifier]()
        self._reviews = Kept[Reviews]()
        self._tokens = Kept[TokenizedReviews](SAMPLES)
        self._evaluations = Kept[Evaluation](2)  # of the FP32 model and of the quantized one

    @contextlib.contextmanager
    def checkpoints(self, plan: Plan, folder: str, reporter: Reporter) -> Iterator[Checkpoints]:
        """Give a phase the checkpoints of ``folder``, and say in plain words where memory runs out.

        Raises:
            MpqError: E-MEMORY.
        """
        every = self._checkpoint_every
        with Checkpoints(plan.config.output, folder, every, reporter) as checkpoints, memory_errors():
            yield checkpoints

    def machine(self, plan: Plan) -> Machine:
        """Return the device of a run; raises MpqError E-DEVICE."""
        return pick_machine(plan.config.device, plan.config.precision)

    def prepare(self, plan: Plan, split: Split, clock: Clock, reporter: Reporter) -> Prepared:
        """Load the model and draw the reviews of ``split`` that the plan names; two laps of ``clock``.

        Raises:
            MpqError: what ``machine``, ``classifier`` and ``draw`` raise.
        """
        self.machine(plan)  # a device that is not there is named before anything is loaded
        self.classifier(plan, reporter)
        clock.lap("Load the model")
        work = self.draw(plan, split, plan.reviews[split], reporter)
        clock.lap("Read and tokenize")
        return work

    def classifier(self, plan: Plan, reporter: Reporter) -> Classifier:
        """Return the loaded classifier, its head fitted where the plan says so.

        Raises:
            MpqError: what ``load_classifier`` and ``fit_head`` raise.
        """
        model = _model(plan)

        def load() -> Classifier:
            for _ in reporter.track([model], "Load the model", 1):
                classifier = load_classifier(model.source, needs_head=model.head is None)
            if model.head is not None:
                tokens = self._tokenized(model.head, classifier, reporter)
                work = Workload(tokens=tokens, machine=self.machine(plan), asked=plan.config.batch_tokens)
                fit_head(classifier.model, work, reporter)
            return classifier

        return self._classifiers.get(model, load)

    def draw(
        self, plan: Plan, split: Split, size: int, reporter: Reporter, title: str = "Tokenize"
    ) -> Prepared:
        """Return ``size`` reviews of a split, tokenized for the classifier of the plan.

        Args:
            plan: the run.
            split: where to draw from.
            size: reviews.
            reporter: shows the progress.
            title: name of the stage.

        Raises:
            MpqError: E-DATA-SIZE, E-ONE-CLASS, or what ``classifier`` and ``load_reviews`` raise.
        """
        classifier = self.classifier(plan, reporter)
        draw = _draw(plan, _model(plan), split, size)
        tokens = self._tokens.get(draw, lambda: self._tokenized(draw, classifier, reporter, title))
        return Prepared(
            tokens=tokens,
            machine=self.machine(plan),
            asked=plan.config.batch_tokens,
            classifier=classifier,
            draw=draw,
        )

    def available(self, plan: Plan, split: Split) -> int:
        """Return how many reviews a split has; raises as ``load_reviews``."""
        return len(self._read(_part(plan, split)))

    def calibration(self, plan: Plan, widths: Iterable[int], reporter: Reporter) -> Prepared | None:
        """Return the calibration reviews that the quantizer looks at for these widths; all where there are
        fewer than asked.

        None where it looks at none, and, with a note that says why, where there are none to be had.
        """
        if not needs_calibration(plan.config.quantizer, widths):
            return None
        try:
            size = min(plan.config.gptq_reviews, self.available(plan, "calibration"))
            self._sample(_draw(plan, _model(plan), "calibration", size))
        except MpqError as error:
            reporter.note(f"No calibration reviews for GPTQ: {error.title} Rounding to nearest instead.")
            return None
        work = self.draw(plan, "calibration", size, reporter, "Tokenize for GPTQ")
        # One GPU of several does it: it is a small part of a run.
        share = max(1, work.batch_tokens // max(1, work.machine.num_gpus))
        return dataclasses.replace(work, asked=share)

    def _tokenized(
        self, draw: Draw, classifier: Classifier, reporter: Reporter, title: str = "Tokenize"
    ) -> TokenizedReviews:
        return tokenize(self._sample(draw), classifier.tokenizer, draw.max_length, reporter, title)

    def _sample(self, draw: Draw) -> Reviews:
        return sample(self._read(draw.part), draw.size, draw.sampling, draw.seed)

    def _read(self, part: Part) -> Reviews:
        return self._reviews.get(part, lambda: load_reviews(part.data, part.split))

    def baseline(
        self, work: Prepared, reporter: Reporter, checkpoints: Checkpoints | None = None
    ) -> Evaluation:
        """Return the FP32 evaluation; measured once per model, sample, device and batch size."""
        model = work.classifier.model
        return self._evaluations.get(
            _measured(work), lambda: evaluate(model, work, reporter, "Evaluate FP32", checkpoints)
        )

    def quantized(
        self, model: nn.Module, work: Prepared, reporter: Reporter, checkpoints: Checkpoints | None = None
    ) -> Evaluation:
        """Return the evaluation of the quantized model; not measured again when it has the same weights.

        A run that trains the model of the run before it has no need to.
        """

        def measure() -> Evaluation:
            return evaluate(model, work, reporter, "Evaluate quantized", checkpoints)

        if distributed.size() > 1:  # processes must not disagree on whether to measure
            return measure()
        return self._evaluations.get(_measured(work, weights_fingerprint(model.state_dict())), measure)


def _measured(work: Prepared, weights: str = "") -> Measured:
    return Measured(draw=work.draw, machine=work.machine, batch_tokens=work.batch_tokens, weights=weights)


def _model(plan: Plan) -> Model:
    own, size = Model(source=plan.sources.model), plan.config.fit_head
    if size is None:
        return own
    head = dataclasses.replace(_draw(plan, own, "calibration", size), sampling="stratified")
    return dataclasses.replace(own, head=head)


def _part(plan: Plan, split: Split) -> Part:
    return Part(data=plan.sources.data, split=split)


def _draw(plan: Plan, model: Model, split: Split, size: int) -> Draw:
    return Draw(
        model=model,
        part=_part(plan, split),
        size=size,
        sampling=plan.config.sampling,
        seed=plan.config.seed,
        max_length=plan.max_length,
    )
