"""The state of a pass: the same blocks however the reviews arrive; it can be saved and restored."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_mpq.compute import distributed
from bert_mpq.compute.devices import Machine
from bert_mpq.sensitivity import accumulation
from bert_mpq.sensitivity.accumulation import Accumulation
from bert_mpq.similarity import cka
from bert_mpq.similarity.moments import Moments

REVIEWS, PROBES, DIM, BLOCKS = 60, 2, 5, 4
generator = torch.Generator().manual_seed(0)
REFERENCE = torch.randn(REVIEWS, 1, DIM, generator=generator)
PERTURBED = REFERENCE + 0.1 * torch.randn(REVIEWS, PROBES, DIM, generator=generator)
KL = torch.rand(REVIEWS, PROBES, generator=generator, dtype=torch.float64)


def empty():
    return Accumulation(DIM, PROBES, REVIEWS, BLOCKS)


def add(sums, *batches):
    for batch in batches:
        sums.add(batch, REFERENCE[batch], PERTURBED[batch], KL[batch])
    return sums


def chopped(parts, size):
    return [part[start : start + size] for part in parts for start in range(0, len(part), size)]


def filled(size=100):
    return add(empty(), *chopped(empty().parts(), size))


def assert_same(first, second):
    first.flush()
    second.flush()
    assert (first.done == second.done).all()
    np.testing.assert_allclose(first.kl, second.kl, rtol=1e-13)
    for mine, theirs in zip(first.blocks, second.blocks, strict=True):
        for a, b in zip(mine, theirs, strict=True):
            assert a.samples == b.samples
            assert cka(a).distance == pytest.approx(cka(b).distance, rel=1e-12)


def test_each_block_holds_its_own_reviews_and_no_other():
    sums = filled(7)
    for block in range(BLOCKS):
        rows = np.arange(block, REVIEWS, BLOCKS)
        for probe in range(PROBES):
            alone = Moments(DIM)
            alone.update(REFERENCE[rows, 0], PERTURBED[rows, probe])
            sums.flush()
            assert sums.blocks[block][probe].samples == len(rows)
            distance = cka(sums.blocks[block][probe]).distance
            assert distance == pytest.approx(cka(alone).distance, rel=1e-12)
        assert sums.kl[block] == pytest.approx(KL[rows].sum(0).numpy(), rel=1e-13)


@given(size=st.integers(1, 20), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_blocks_do_not_depend_on_the_size_and_order_of_the_batches(size, seed):
    batches = chopped(empty().parts(), size)
    order = np.random.default_rng(seed).permutation(len(batches))
    assert_same(add(empty(), *(batches[i] for i in order)), filled())


def test_a_broken_row_of_one_probe_is_left_out_of_that_probe_alone():
    broken = PERTURBED.clone()
    broken[[0, 8], 1] = torch.nan
    sums = empty()
    for part in sums.parts():
        sums.add(part, REFERENCE[part], broken[part], KL[part])
    sums.flush()
    for probe, lost in enumerate((0, 2)):
        alone = Moments(DIM)
        alone.update(REFERENCE[::BLOCKS, 0], broken[::BLOCKS, probe])
        assert sums.blocks[0][probe].samples == alone.samples == REVIEWS // BLOCKS - lost
        for key, mine in sums.blocks[0][probe].sums.state_dict().items():
            torch.testing.assert_close(mine, alone.sums.state_dict()[key], rtol=1e-12, atol=1e-12)


def test_a_batch_of_many_rows_is_added_in_parts(monkeypatch):
    whole = filled()
    monkeypatch.setattr(accumulation, "CHUNK_VALUES", 4 * PROBES * DIM)
    assert_same(filled(), whole)


def test_the_total_is_that_of_all_rows():
    for probe in range(PROBES):
        whole = Moments(DIM)
        whole.update(REFERENCE[:, 0], PERTURBED[:, probe])
        total = filled().so_far().total(probe)
        assert total.samples == REVIEWS
        assert cka(total).distance == pytest.approx(cka(whole).distance, rel=1e-12)


def test_every_second_probe_shares_its_sums_with_all_of_them():
    whole = filled().so_far()
    part = whole.every(1, 2)
    assert [len(block) for block in part.blocks] == [len(range(1, PROBES, 2))] * len(whole.blocks)
    assert all(mine[0] is all_of_them[1] for mine, all_of_them in zip(part.blocks, whole.blocks, strict=True))
    assert (part.kl == whole.kl[:, 1::2]).all()
    assert part.counts.sum() == part.done.sum() == REVIEWS


def test_a_batch_of_several_blocks_is_refused():
    with pytest.raises(ValueError, match="several blocks"):
        add(empty(), np.array([0, 1]))


def test_each_probe_has_its_own_reference_where_there_are_several():
    references = torch.cat([REFERENCE, 2 * PERTURBED[:, 1:]], 1)
    sums = empty()
    for part in sums.parts():
        sums.add(part, references[part], PERTURBED[part], KL[part])
    assert cka(sums.so_far().total(0)).distance > 1e-4
    assert cka(sums.so_far().total(1)).distance < 1e-12


@pytest.mark.parametrize("batches_before", [0, 1, 9])
def test_a_restored_pass_goes_on_where_the_saved_one_stopped(batches_before):
    batches = chopped(empty().parts(), 7)
    saved = {k: v.clone() for k, v in add(empty(), *batches[:batches_before]).state_dict().items()}
    restored = empty()
    restored.load_state_dict(saved)
    left = restored.parts()
    assert sum(map(len, left)) == REVIEWS - sum(map(len, batches[:batches_before]))
    assert_same(add(restored, *chopped(left, 7)), filled())


def test_a_restored_pass_shares_no_memory_with_what_it_was_restored_from():
    state = add(empty(), np.array([0, 4])).state_dict()
    restored = empty()
    restored.load_state_dict(state)
    before = {key: tensor.clone() for key, tensor in state.items()}
    add(restored, np.array([8])).flush()
    assert all(torch.equal(before[key], tensor) for key, tensor in state.items())


@pytest.mark.parametrize(
    "other", [Accumulation(DIM, PROBES, REVIEWS + 1), Accumulation(DIM + 1, PROBES, REVIEWS, BLOCKS)]
)
def test_the_state_of_another_pass_is_refused(other):
    with pytest.raises(ValueError, match=r"expected|not the state"):
        other.load_state_dict(filled().state_dict())


def test_processes_that_share_the_shifts_can_be_added_up():
    parts = empty().parts()
    first = add(empty(), *(part[: len(part) // 2] for part in parts))
    second = empty()
    second.use_shifts(first.shifts)
    add(second, *(part[len(part) // 2 :] for part in parts))
    for mine, theirs in zip(first.so_far().blocks, second.so_far().blocks, strict=True):
        for moments, more in zip(mine, theirs, strict=True):
            moments.merge(more)
    first.kl, first.done = first.kl + second.kl, first.done | second.done
    assert_same(first, filled())


def test_shifts_cannot_change_once_there_are_sums():
    with pytest.raises(ValueError, match="fixed by the first batch"):
        filled().use_shifts(filled().shifts)


def test_parts_leave_out_what_is_done_and_what_was_not_asked_for():
    sums = add(empty(), np.array([0, 4, 8]))
    parts = sums.parts(np.arange(10))
    assert [part.tolist() for part in parts] == [[1, 5, 9], [2, 6], [3, 7]]


def test_tokens_of_whole_reviews_can_be_rows():
    sums = empty()
    tokens = torch.randn(11, 1, DIM, generator=generator)
    sums.add(np.array([1, 5]), tokens, tokens.repeat(1, PROBES, 1), KL[[1, 5]])
    sums.flush()
    assert sums.blocks[1][0].samples == 11
    assert sums.done.sum() == 2


def test_sums_with_different_shifts_are_not_added_up(monkeypatch):
    sums = filled()
    monkeypatch.setattr(distributed, "gather", lambda shifts: [shifts, shifts + 1])
    with pytest.raises(ValueError, match="different shifts"):
        sums.all_reduce()


@pytest.mark.parametrize(("free", "kept"), [(8, "cuda"), (7.99, "cpu")])
def test_the_gpu_keeps_the_blocks_where_they_take_an_eighth_of_what_is_free(monkeypatch, free, kept):
    size = BLOCKS * PROBES * Moments(DIM).nbytes
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free * size, 0))
    machine = Machine(device=torch.device("cuda"), num_gpus=1)
    assert machine.place_for(size).type == kept
    assert Machine(device=torch.device("cpu"), num_gpus=0).place_for(1).type == "cpu"
