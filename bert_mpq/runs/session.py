"""What the runs of one session share: the loaded model, tokenized samples, evaluations."""

import dataclasses
import time
from dataclasses import dataclass

from torch import nn

from bert_mpq.compute import distributed
from bert_mpq.compute.batches import TokenizedReviews, tokenize
from bert_mpq.compute.checkpoints import EVERY, Checkpoints
from bert_mpq.compute.devices import Machine, pick_machine
from bert_mpq.compute.evaluate import Evaluation, evaluate
from bert_mpq.compute.fingerprint import weights_fingerprint
from bert_mpq.compute.reporting import Reporter
from bert_mpq.compute.reviews import Reviews
from bert_mpq.compute.workload import Workload
from bert_mpq.records.context import Sample, Setting, Stage
from bert_mpq.runs.plan import Plan
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import MpqError
from bert_mpq.sources.classifiers import Classifier, load_classifier
from bert_mpq.sources.halves import Split
from bert_mpq.sources.heads import fit_head
from bert_mpq.sources.reviews import DataSource, load_reviews
from bert_mpq.sources.sampling import sample

NO_REVIEWS = ("E-DATA-FORMAT", "E-DATA-SIZE", "E-ONE-CLASS", "E-NETWORK", "E-OFFLINE", "E-NOFILE")


TITLES = {"gptq": "Tokenize for GPTQ", "training": "Tokenize for training"}


@dataclass(frozen=True, kw_only=True)
class Prepared(Workload):
    """What a phase works on.

    Args:
        classifier: the FP32 model.
        fingerprint: of the reviews.
    """

    classifier: Classifier
    fingerprint: str


class Clock:
    """Seconds per stage of a run."""

    def __init__(self) -> None:
        self.stages: tuple[Stage, ...] = ()
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """End a stage."""
        now = time.perf_counter()
        self.stages += (Stage(name=name, seconds=now - self._last),)
        self._last = now

    def skip(self) -> None:
        """Leave out the time since the last stage: it was measured elsewhere."""
        self._last = time.perf_counter()

    def seconds(self, name: str) -> float:
        """Return the seconds of a stage."""
        return sum(stage.seconds for stage in self.stages if stage.name == name)


class Session:
    """Keeps the last of everything that is slow to make and that the next run may need again.

    Args:
        checkpoint_every: seconds between two checkpoints of a stage at least.
    """

    def __init__(self, checkpoint_every: float = EVERY) -> None:
        self._checkpoint_every = checkpoint_every
        self._classifier: tuple[object, Classifier] | None = None
        self._reviews: tuple[object, Reviews] | None = None
        self._tokens: dict[str, tuple[object, TokenizedReviews, str]] = {}
        self._baseline: tuple[object, Evaluation] | None = None
        self._quantized: tuple[object, Evaluation] | None = None

    def checkpoints(self, config: RunConfig, folder: str, reporter: Reporter) -> Checkpoints:
        """Return the checkpoints of a phase that writes to ``folder``."""
        return Checkpoints(config.output, folder, self._checkpoint_every, reporter)

    def machine(self, config: RunConfig) -> Machine:
        """Return the device of a run; raises MpqError E-DEVICE."""
        return pick_machine(config.device, config.precision)

    def prepare(self, plan: Plan, split: Split, clock: Clock, reporter: Reporter) -> Prepared:
        """Load the model, read and tokenize the sample of ``split``; two laps of ``clock``.

        Raises:
            MpqError: what ``machine``, ``classifier`` and ``tokens`` raise.
        """
        machine = self.machine(plan.config)
        classifier = self.classifier(plan, reporter)
        clock.lap("Load the model")
        tokens, fingerprint = self.tokens(plan, split, reporter)
        clock.lap("Read and tokenize")
        return Prepared(
            classifier=classifier,
            tokens=tokens,
            fingerprint=fingerprint,
            machine=machine,
            asked=plan.config.batch_tokens,
        )

    def classifier(self, plan: Plan, reporter: Reporter) -> Classifier:
        """Return the loaded classifier, its head fitted where the plan says so.

        Raises:
            MpqError: what ``load_classifier`` and ``fit_head`` raise.
        """
        config, source = plan.config, plan.sources
        fitting = (source.data, config.seed, config.max_length) if config.fit_head else None
        key = (source.model, config.fit_head, fitting)
        if self._classifier is None or self._classifier[0] != key:
            for _ in reporter.track([source], "Load the model", 1):
                classifier = load_classifier(source.model, needs_head=config.fit_head is None)
            if config.fit_head is not None:
                self._fit_head(plan, classifier, config.fit_head, reporter)
            self._classifier = (key, classifier)
        return self._classifier[1]

    def _fit_head(self, plan: Plan, classifier: Classifier, size: int, reporter: Reporter) -> None:
        reviews = sample(self._split(plan.sources.data, "calibration"), size, "stratified", plan.config.seed)
        length = plan.config.max_length or plan.sources.model.max_length
        tokens = tokenize(reviews, classifier.tokenizer, length, reporter)
        work = Workload(tokens=tokens, machine=self.machine(plan.config), asked=plan.config.batch_tokens)
        fit_head(classifier.model, work, reporter)

    def tokens(self, plan: Plan, split: Split, reporter: Reporter) -> tuple[TokenizedReviews, str]:
        """Return the tokenized sample of a split and its fingerprint.

        Raises:
            MpqError: E-DATA-SIZE, E-ONE-CLASS, or what ``load_reviews`` raises.
        """
        size = plan.calibration if split == "calibration" else plan.evaluation
        return self._sampled(split, plan, split, size, reporter)

    def training_tokens(self, plan: Plan, reporter: Reporter) -> tuple[TokenizedReviews, str]:
        """Return the calibration reviews of the training and their fingerprint; raises as ``tokens``."""
        return self._sampled("training", plan, "calibration", plan.training, reporter)

    def gptq_calibration(
        self, plan: Plan, machine: Machine, reporter: Reporter
    ) -> tuple[Workload, Sample] | None:
        """Return the reviews of the calibration split that GPTQ may look at; all where there are fewer.

        None, and a note that says why, where there are none to be had.
        """
        config, data = plan.config, plan.sources.data
        try:
            size = min(config.gptq_reviews, len(self._split(data, "calibration")))
            tokens, fingerprint = self._sampled("gptq", plan, "calibration", size, reporter)
        except MpqError as error:
            if error.code not in NO_REVIEWS:
                raise
            reporter.note(f"No calibration reviews for GPTQ: {error.title} Rounding to nearest instead.")
            return None
        work = Workload(tokens=tokens, machine=machine, asked=config.batch_tokens)
        # One GPU of several does it: it is a small part of a run.
        work = dataclasses.replace(work, asked=max(1, work.batch_tokens // max(1, machine.num_gpus)))
        largest = max(map(len, tokens.plan(work.batch_tokens)))
        return work, self.sample(plan, "calibration", tokens, fingerprint, largest)

    def search_sample(self, plan: Plan, reporter: Reporter) -> tuple[TokenizedReviews, str]:
        """Return calibration reviews to choose a plan on: as many as will be evaluated, or all there are.

        Raises:
            MpqError: what ``tokens`` raises.
        """
        size = min(plan.evaluation, len(self._split(plan.sources.data, "calibration")))
        return self._sampled("search", plan, "calibration", size, reporter)

    def _sampled(
        self, purpose: str, plan: Plan, split: Split, size: int, reporter: Reporter
    ) -> tuple[TokenizedReviews, str]:
        config, source = plan.config, plan.sources
        key = (
            source.model,
            config.fit_head,
            source.data,
            size,
            config.sampling,
            config.seed,
            config.max_length,
        )
        if purpose not in self._tokens or self._tokens[purpose][0] != key:
            assert self._classifier is not None
            reviews = sample(self._split(source.data, split), size, config.sampling, config.seed)
            distributed.agree("reviews", reviews.fingerprint)
            length = config.max_length or source.model.max_length
            title = TITLES.get(purpose, "Tokenize")
            tokens = tokenize(reviews, self._classifier[1].tokenizer, length, reporter, title)
            self._tokens[purpose] = (key, tokens, reviews.fingerprint)
        return self._tokens[purpose][1:]

    def _split(self, data: DataSource, split: Split) -> Reviews:
        if self._reviews is None or self._reviews[0] != (data, split):
            self._reviews = ((data, split), load_reviews(data, split))
        return self._reviews[1]

    def baseline(
        self, work: Prepared, reporter: Reporter, checkpoints: Checkpoints | None = None
    ) -> Evaluation:
        """Return the FP32 evaluation; measured once per model, sample, device and batch size."""
        key = (self._tokens["evaluation"][0], work.machine, work.batch_tokens)
        if self._baseline is None or self._baseline[0] != key:
            result = evaluate(work.classifier.model, work, reporter, "Evaluate FP32", checkpoints)
            self._baseline = (key, result)
        return self._baseline[1]

    def quantized(
        self, model: nn.Module, work: Prepared, reporter: Reporter, checkpoints: Checkpoints | None = None
    ) -> Evaluation:
        """Return the evaluation of the quantized model; not measured again when it has the same weights.

        A run that trains the model of the run before it has no need to.
        """
        weights = weights_fingerprint(model.state_dict())
        key = (self._tokens["evaluation"][0], work.machine, work.batch_tokens, weights)
        several = distributed.size() > 1  # processes must not disagree on whether to measure
        if several or self._quantized is None or self._quantized[0] != key:
            result = evaluate(model, work, reporter, "Evaluate quantized", checkpoints)
            self._quantized = (key, result)
        return self._quantized[1]

    def setting(self, plan: Plan, machine: Machine, batch_tokens: int) -> Setting:
        """Return model, data and machine as the artifacts name them."""
        source = plan.sources
        return Setting(
            model_name=source.model.name,
            model_title=source.model.title,
            model_word=source.model.word,
            data_name=source.data.name,
            data_word=source.data_word,
            device=machine.device.type,
            precision=machine.precision,
            num_gpus=sum(distributed.gather(machine.num_gpus)),
            max_length=plan.config.max_length or source.model.max_length,
            batch_tokens=batch_tokens,
            layers=source.model.layers,
            processes=distributed.size(),
        )

    def sample(
        self, plan: Plan, split: Split, tokens: TokenizedReviews, fingerprint: str, largest_batch: int
    ) -> Sample:
        """Return what the artifacts say of a sample."""
        return Sample(
            split=plan.sources.data.split_name(split),
            size=len(tokens),
            positive=int(tokens.labels.sum()),
            sampling=plan.config.sampling,
            fingerprint=fingerprint,
            largest_batch=largest_batch,
        )
