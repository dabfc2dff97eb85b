"""On a processor: as much is dropped as asked for, and everything else is torch's."""

import json

import pytest

from gpubook.spam.model import load_model

from .spam_tiny import tiny_bert  # noqa: F401 - a fixture

torch = pytest.importorskip("torch")
from gpubook.spam import processor  # noqa: E402


@pytest.mark.parametrize("share", [0.1, 0.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_asked_share_is_dropped_and_the_mean_stays(share, dtype):
    layer = processor.Dropout(share, processor.Bits(seed=1))
    kept = layer(torch.ones(1000, 1001, dtype=dtype))
    assert kept.dtype is dtype and kept.shape == (1000, 1001)
    values = kept.float().unique().tolist()
    assert values == pytest.approx(
        [0.0, 1 / (1 - share)], rel=1e-2 if dtype != torch.float32 else 1e-6
    )
    dropped = (kept == 0).float().mean().item()
    assert dropped == pytest.approx(share, abs=6 * (share * (1 - share) / 1e6) ** 0.5)


def test_no_place_and_no_neighbour_is_favoured():
    layer = processor.Dropout(0.5, processor.Bits(seed=2))
    gone = torch.stack([(layer(torch.ones(64)) == 0).float() for _ in range(4000)])
    assert gone.mean(dim=0).sub(0.5).abs().max() < 6 * 0.5 / 4000**0.5
    both = (gone[:, 1:] * gone[:, :-1]).mean()
    assert both.item() == pytest.approx(0.25, abs=6 * 0.5 / (63 * 4000) ** 0.5)


def test_gradients_flow_where_values_did():
    values = torch.ones(100, requires_grad=True)
    kept = processor.Dropout(0.25, processor.Bits(seed=3))(values)
    kept.sum().backward()
    assert values.grad.equal(kept.detach())


def test_a_step_draws_the_same_again_and_another_step_seed_or_process_does_not():
    def draw(bits, step):
        bits.restart(step)
        return bits.kept((64,), 0.5, torch.float32).tolist()

    first = draw(processor.Bits(1), 7)
    assert draw(processor.Bits(1), 7) == first
    others = [draw(processor.Bits(1), 8), draw(processor.Bits(2), 7), draw(processor.Bits(1, 1), 7)]
    assert first not in others and others[0] != others[1] != others[2]


def test_a_network_answers_and_learns_as_with_torchs_attention(tiny, tmp_path):
    calm = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    plain, ours = (load_model(tiny, attn_implementation="sdpa", **calm).train() for _ in range(2))
    ours.load_state_dict(plain.state_dict())
    processor.install(ours, processor.Bits(0), precision="fp32")
    ids = torch.randint(5, 20, (3, 9), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[0, 4:] = mask[1, 7:] = 0
    gradients = []
    for network in (plain, ours):
        logits = network(input_ids=ids, attention_mask=mask).logits
        logits.logsumexp(dim=-1).sum().backward()
        gradients.append({name: p.grad for name, p in network.named_parameters()})
    torch.testing.assert_close(
        ours(input_ids=ids, attention_mask=mask).logits,
        plain(input_ids=ids, attention_mask=mask).logits,
    )
    torch.testing.assert_close(gradients[1], gradients[0])


def test_it_drops_in_attention_and_layers_while_training_and_never_else(tiny):
    drops = {"attention_probs_dropout_prob": 0.5, "hidden_dropout_prob": 0.0}
    network = load_model(tiny, attn_implementation="sdpa", classifier_dropout=0.0, **drops)
    processor.install(network, bits := processor.Bits(0), precision="fp32")
    ids = torch.arange(5, 14)[None]

    def answer(step):
        bits.restart(step)
        return network(input_ids=ids).logits.tolist()

    assert answer(1) == answer(2), "evaluation draws nothing"
    network.train()
    assert answer(1) == answer(1) != answer(2)


def test_a_saved_network_knows_nothing_of_it(tiny, tmp_path):
    network = load_model(tiny)
    names = list(network.state_dict())
    processor.install(network, processor.Bits(0), precision="bf16")
    assert list(network.state_dict()) == names
    network.save_pretrained(tmp_path)
    assert "gpubook" not in json.dumps(json.loads((tmp_path / "config.json").read_text()))


def test_between_the_layers_is_bf16_while_training_and_never_else(tiny):
    network = load_model(tiny)
    processor.install(network, processor.Bits(0), precision="bf16")
    seen = []
    network.bert.encoder.layer[1].register_forward_pre_hook(lambda _, x: seen.append(x[0].dtype))
    ids = torch.arange(5, 14)[None]
    for training in (False, True):
        with torch.autocast("cpu", torch.bfloat16):
            network.train(training)(input_ids=ids)
    assert seen == [torch.float32, torch.bfloat16]


def test_scores_are_those_of_a_network_as_it_comes(tiny):
    plain, ours = load_model(tiny, attn_implementation="sdpa"), load_model(tiny)
    ours.load_state_dict(plain.state_dict())
    processor.install(ours, processor.Bits(0), precision="bf16")
    ids = torch.arange(5, 14)[None]
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert ours(input_ids=ids).logits.equal(plain(input_ids=ids).logits)
