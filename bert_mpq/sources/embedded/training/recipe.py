"""What the embedded classifier is trained with: every number of it."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class StageRecipe:
    """One run of the optimizer: AdamW, linear warm-up, then linear decay to zero.

    Args:
        epochs: times every review gives one window.
        batch: windows per step.
        window: tokens per window at most.
        head_share: share of long reviews that give their head rather than a window from anywhere.
        dropout: of the base model's modules and of LoRA's input.
        warmup: share of the steps.
        clip: largest norm of the gradient.
    """

    epochs: int
    batch: int
    learning_rate: float
    window: int = 256
    head_share: float = 0.5
    dropout: float = 0.1
    warmup: float = 0.06
    weight_decay: float = 0.01
    clip: float = 1.0


@dataclass(frozen=True, kw_only=True)
class ClassifierRecipe:
    """The whole training.

    Args:
        adapted: names of the encoder's Linear modules, each of which gets a LoRA update.
        rank: of every LoRA update (Hu et al. 2022).
        alpha: LoRA's scale times the rank.
        seed: of weights, windows, masks and dropout.
        predicted_share: share of the tokens that masked-language modelling predicts.
        label_smoothing: probability taken from the label and shared by both.
        agreement: weight of R-Drop's term.
        hidden_share: share of the tokens replaced by [MASK] while the labels are learned.
        short_view: tokens of the first of R-Drop's two views; 0: both see the whole window.
        pretraining: first stage, masked-language modelling without labels; None leaves it out.
        finetuning: second stage, on the labels.
    """

    adapted: tuple[str, ...] = ("query", "key", "value", "dense")
    trained_whole: tuple[str, ...] = ("pooler", "classifier")
    rank: int = 32
    alpha: int = 64
    seed: int = 42
    predicted_share: float = 0.2
    label_smoothing: float = 0.05
    agreement: float = 1.0
    hidden_share: float = 0.15
    short_view: int = 0
    pretraining: StageRecipe | None = StageRecipe(
        epochs=30, batch=256, learning_rate=1.5e-3, head_share=0.0, dropout=0.0
    )
    finetuning: StageRecipe = StageRecipe(epochs=8, batch=128, learning_rate=5e-4)


RECIPES = {
    "minilm": ClassifierRecipe(),
    "mpnet": ClassifierRecipe(
        adapted=("q", "k", "v", "o", "dense"),
        trained_whole=("classifier",),
        rank=16,
        alpha=32,
        pretraining=None,
        finetuning=StageRecipe(epochs=4, batch=32, learning_rate=2e-4, window=512),
    ),
}
