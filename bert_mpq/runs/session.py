"""What the runs of one session share: the loaded model, tokenized samples, evaluations."""

from bert_mpq.compute.batches import TokenizedReviews
from bert_mpq.compute.checkpoints import EVERY
from bert_mpq.compute.evaluate import Evaluation
from bert_mpq.compute.reviews import Reviews
from bert_mpq.runs.kept import Kept
from bert_mpq.sources.classifiers import Classifier

SAMPLES = 5  # of one run at most: both phases', GPTQ's, the search's, the training's


class Session:
    """Keeps the last of everything that is slow to make and that the next run may need again.

    Args:
        checkpoint_every: seconds between two checkpoints of a stage at least.
    """

    def __init__(self, checkpoint_every: float = EVERY) -> None:
        self.checkpoint_every = checkpoint_every
        self.classifiers = Kept[Classifier]()
        self.reviews = Kept[Reviews]()
        self.tokens = Kept[TokenizedReviews](SAMPLES)
        self.evaluations = Kept[Evaluation](2)  # of the FP32 model and of the quantized one
