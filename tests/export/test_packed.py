import torch

from bert_mpq.compute.fingerprint import weights_fingerprint


def test_a_packed_model_holds_the_numbers_of_the_model(packed_case):
    model, packed = packed_case
    state = packed.state()
    assert set(state) == set(model.state_dict())
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    assert weights_fingerprint(state) == weights_fingerprint(model.state_dict())
