import pytest
import torch

from bert_mpq.compute.batches import Batch
from bert_mpq.sources.embedded.training.objectives import (
    MaskedLanguageModel,
    choose_tokens,
    hide_tokens,
    inner_tokens,
)

MASK = 103
ATTENTION = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]])


def test_inner_tokens_are_neither_special_nor_padding():
    assert inner_tokens(ATTENTION).int().tolist() == [[0, 1, 1, 1, 1, 0], [0, 1, 0, 0, 0, 0]]


def test_the_chosen_tokens_are_inner_ones_and_as_many_as_asked():
    torch.manual_seed(0)
    seen = set()
    for _ in range(100):
        chosen = choose_tokens(ATTENTION, 0.25)
        assert len(chosen) == len(set(chosen.tolist())) == 3
        seen |= set(chosen.tolist())
    assert seen == {1, 2, 3, 4, 7}


def test_hidden_tokens_are_inner_ones_at_the_rate_asked():
    torch.manual_seed(0)
    mask = ATTENTION.repeat(2000, 1)
    ids = torch.full_like(mask, 2000)
    hidden = hide_tokens(ids, mask, MASK, 0.3) == MASK
    assert not (hidden & ~inner_tokens(mask)).any()
    assert hidden[inner_tokens(mask)].float().mean().item() == pytest.approx(0.3, abs=0.02)


def test_the_loss_is_the_cross_entropy_of_the_right_token(tiny_model, monkeypatch):
    """By an independent route: the model's own forward pass on the corrupted ids, position by position."""
    torch.manual_seed(0)
    model = MaskedLanguageModel(tiny_model.bert, MASK, 0.25).eval()
    ids = torch.tensor([[101, 2001, 2002, 2003, 2004, 102], [101, 3001, 102, 0, 0, 0]])
    chosen = torch.tensor([2, 7])
    monkeypatch.setattr(
        "bert_mpq.sources.embedded.training.objectives.choose_tokens", lambda mask, share: chosen
    )
    monkeypatch.setattr(model, "_replace", lambda targets: torch.full_like(targets, MASK))
    corrupted = ids.clone()
    corrupted[0, 2] = corrupted[1, 1] = MASK
    with torch.no_grad():
        loss = model(Batch(indices=None, input_ids=ids, attention_mask=ATTENTION))
        states = tiny_model.bert(input_ids=corrupted, attention_mask=ATTENTION).last_hidden_state
        table = tiny_model.bert.embeddings.word_embeddings.weight
        expected = 0.0
        for row, column in ((0, 2), (1, 1)):
            logits = table @ model.transform(states[row, column]) + model.bias
            expected -= torch.log_softmax(logits, 0)[ids[row, column]].item() / 2
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_most_of_the_chosen_are_masked_and_some_are_kept(tiny_model):
    torch.manual_seed(0)
    targets = torch.full((20_000,), 2000)
    replaced = MaskedLanguageModel(tiny_model.bert, MASK, 0.2)._replace(targets)
    assert (replaced == MASK).float().mean().item() == pytest.approx(0.8, abs=0.01)
    assert (replaced == 2000).float().mean().item() == pytest.approx(0.1, abs=0.01)
