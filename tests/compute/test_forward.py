import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bert_mpq.compute.forward import BatchUse, run_batches
from bert_mpq.compute.reporting import Lines, Silent
from bert_mpq.settings.errors import MpqError
from tests.helpers.synthetic import sample_of
from tests.helpers.workloads import on_cpu

OUT_OF_MEMORY = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
    RuntimeError("std::bad_alloc"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
]


class Memory:
    """A forward pass that fails with ``error`` when a batch has more than ``limit`` tokens."""

    def __init__(self, limit, error):
        self.limit, self.error, self.tried = limit, error, []

    def __call__(self, batch):
        self.tried.append(batch.tokens)
        if batch.tokens > self.limit:
            raise self.error
        return int(batch.attention_mask.sum())


@pytest.fixture(autouse=True)
def threads(request):
    """One thread, so that batches are tried one after another, unless a test asks for more."""
    before = torch.get_num_threads()
    torch.set_num_threads(getattr(request, "param", 1))
    yield
    torch.set_num_threads(before)


def seen(results):
    return np.concatenate([done.batch.indices for done in results]).tolist()


def test_each_batch_comes_with_its_result():
    sample = sample_of([3, 1, 2])
    results = list(run_batches(on_cpu(sample, 3), lambda batch: int(batch.input_ids.sum()), Silent(), "Add"))
    assert [(done.batch.indices.tolist(), done.result) for done in results] == [([0], 6), ([2], 11), ([1], 4)]


def test_a_result_of_none_is_a_result():
    results = list(run_batches(on_cpu(sample_of([1, 1]), 1), lambda batch: None, Silent(), "Nothing"))
    assert [done.result for done in results] == [None, None]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: type(error).__name__)
def test_the_budget_is_halved_until_a_batch_fits(error):
    forward = Memory(limit=20, error=error)
    results = list(run_batches(on_cpu(sample_of([5] * 32), 160), forward, Silent(), "Evaluate"))
    assert forward.tried == [160, 80, 40] + [20] * 8
    assert {done.budget for done in results} == {20}
    assert sorted(seen(results)) == list(range(32))


@given(
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=40),
    budget=st.integers(1, 400),
    limit=st.integers(20, 100),
)
def test_every_review_comes_out_once_however_often_memory_runs_out(lengths, budget, limit):
    results = list(
        run_batches(on_cpu(sample_of(lengths), budget), Memory(limit, MemoryError()), Silent(), "")
    )
    assert sorted(seen(results)) == list(range(len(lengths)))
    assert sum(done.result for done in results) == sum(lengths)


def test_results_from_before_memory_ran_out_are_kept():
    calls = []

    def forward(batch):
        calls.append(batch.indices.tolist())
        if len(calls) == 3:
            raise MemoryError

    results = list(run_batches(on_cpu(sample_of([4] * 8), 8), forward, Silent(), "Evaluate"))
    assert calls[:3] == [[0, 1], [2, 3], [4, 5]]
    assert sorted(seen(results)) == list(range(8))


def test_the_user_is_told_that_batches_get_smaller():
    stream = io.StringIO()
    list(run_batches(on_cpu(sample_of([5] * 4), 20), Memory(10, MemoryError()), Lines(stream), "Evaluate"))
    assert "Out of memory: going on with 10 tokens per batch.\n" in stream.getvalue()


def test_a_single_review_that_does_not_fit_ends_the_run():
    forward = Memory(limit=10, error=MemoryError())
    with pytest.raises(MpqError, match="Out of memory even with one review per batch") as refused:
        list(run_batches(on_cpu(sample_of([11, 5]), 100), forward, Silent(), "Evaluate"))
    assert refused.value.code == "E-MEMORY"
    assert forward.tried == [22, 11]


@pytest.mark.parametrize(
    "error", [RuntimeError("The size of tensor a must match"), ValueError("out of memory")], ids=repr
)
def test_any_other_error_is_not_hidden(error):
    with pytest.raises(type(error), match=str(error)):
        list(run_batches(on_cpu(sample_of([5]), 5), Memory(0, error), Silent(), "Evaluate"))


def test_progress_is_counted_in_tokens_without_padding():
    stream = io.StringIO()
    sample = sample_of([6, 3, 1])
    list(run_batches(on_cpu(sample, 6), lambda batch: None, Lines(stream, every=0), "Evaluate"))
    assert [line.split(",")[0] for line in stream.getvalue().splitlines()[1:-1]] == ["Evaluate: 60%"]


@pytest.mark.parametrize("threads", [1, 2, 5], indirect=True)
@pytest.mark.parametrize("limit", [10**6, 12])
def test_concurrent_batches_come_in_order_and_every_review_once(threads, limit):
    def forward(batch):
        if batch.tokens > limit:
            raise MemoryError
        return torch.get_num_threads(), batch.indices.tolist()

    results = list(
        run_batches(on_cpu(sample_of([3, 5, 4, 3, 5, 1, 2, 5]), 15), forward, Silent(), "Evaluate")
    )
    assert [done.batch.indices.tolist() for done in results] == [done.result[1] for done in results]
    seen = [index for done in results for index in done.batch.indices]
    assert seen == [1, 4, 7, 2, 0, 3, 6, 5]
    assert {done.result[0] for done in results} == {1}


@pytest.mark.parametrize("threads", [3], indirect=True)
def test_the_number_of_threads_is_restored(threads):
    list(run_batches(on_cpu(sample_of([1, 1]), 1), lambda batch: None, Silent(), "Nothing"))
    assert torch.get_num_threads() == 3


def test_only_the_asked_reviews_are_run_in_the_batches_that_all_would_have():
    sample = sample_of([5, 1, 4, 2, 3, 5, 3, 2])
    plan = sample.plan(8)
    for mine in (plan[::2], plan[1::2], plan[3:]):
        results = run_batches(on_cpu(sample, 8), lambda _: None, Silent(), "", [np.concatenate(mine)])
        assert [done.batch.indices.tolist() for done in results] == [indices.tolist() for indices in mine]


def test_no_batch_reaches_across_two_parts_even_after_memory_ran_out():
    parts = [np.array([0, 2, 4, 6]), np.array([1, 3]), np.array([5])]
    forward = Memory(10, MemoryError())
    results = list(run_batches(on_cpu(sample_of([5] * 8), 20), forward, Silent(), "", parts))
    batches = [set(done.batch.indices.tolist()) for done in results]
    assert all(any(batch <= set(part.tolist()) for part in parts) for batch in batches)
    assert sorted(index for batch in batches for index in batch) == [0, 1, 2, 3, 4, 5, 6]


def test_what_was_used_is_known_after_memory_ran_out():
    use = BatchUse(largest=0, budget=160)
    for done in run_batches(
        on_cpu(sample_of([5] * 32), 160), Memory(20, MemoryError()), Silent(), "Evaluate"
    ):
        use = use.after(done)
    assert use == BatchUse(largest=4, budget=20, count=8)
