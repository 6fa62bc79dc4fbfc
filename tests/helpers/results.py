"""Parts of results that several tests of records and screens need."""

from bert_mpq.records.context import Sample, Setting
from bert_mpq.records.evaluation import Accuracy

SETTING = Setting(
    model_name="textattack/bert-base-uncased-imdb",
    model_title="BERT-base-uncased",
    model_word="BERT",
    data_name="stanfordnlp/imdb",
    data_word="IMDB",
    device="cuda",
    num_gpus=2,
    precision="fp32",
    max_length=512,
    batch_tokens=131_072,
    layers=12,
    revision="c70b9f391af2067f7eff69a03940218bba9b8d39",
    weights="pytorch_model.bin, converted to safetensors",
    outputs="output 0 (LABEL_0) = negative, output 1 (LABEL_1) = positive",
    encoder_fingerprint="e5" * 32,
)


def sample(split, size, largest_batch, fingerprint="", sampling="stratified"):
    """Return a sample with as many positive as negative reviews."""
    return Sample(
        split=split,
        size=size,
        positive=size // 2,
        sampling=sampling,
        fingerprint=fingerprint,
        largest_batch=largest_batch,
    )


def figures(accuracy, precision, recall, f1, loss, seconds, size):
    """Return the figures of one model."""
    return Accuracy(
        accuracy=accuracy,
        precision=precision,
        recall=recall,
        f1=f1,
        loss=loss,
        correct=round(accuracy * size),
        size=size,
        seconds=seconds,
    )
