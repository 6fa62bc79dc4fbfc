import torch

from bert_mpq.compute.fingerprint import weights_fingerprint


def test_a_fingerprint_sees_one_changed_bit_and_a_swapped_name(tiny_model):
    state = {name: tensor.clone() for name, tensor in tiny_model.state_dict().items()}
    before = weights_fingerprint(state)
    assert weights_fingerprint(dict(reversed(state.items()))) == before
    state["classifier.bias"][0] = torch.nextafter(state["classifier.bias"][0], torch.tensor(1.0))
    assert weights_fingerprint(state) != before
    first, second = (f"bert.encoder.layer.0.attention.self.{name}.weight" for name in ("query", "key"))
    swapped = {**tiny_model.state_dict(), first: tiny_model.state_dict()[second]}
    swapped[second] = tiny_model.state_dict()[first]
    assert weights_fingerprint(swapped) != before
