"""Messages in one long row: the answers and gradients of a padded batch, without its padding."""

import itertools

import numpy as np
import pytest

from gpubook.spam import batches, steps
from gpubook.spam.distributed import Alone
from gpubook.spam.model import Backend, load_model, load_tokenizer

from .spam_tiny import CPU, synthetic, tiny_bert  # noqa: F401 - a fixture

torch = pytest.importorskip("torch")
from gpubook.spam import packed  # noqa: E402

CALM = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
LENGTHS = (3, 9, 5, 5, 12, 2)
ENCODED = [[5 + (7 * n + k) % 30 for k in range(length)] for n, length in enumerate(LENGTHS)]
BATCH = [4, 1, 2, 0]  # 29 tokens
ROOMS = {"with room to spare": (40, 6), "full": (29, 4), "full, with empty slots": (29, 7)}


@pytest.fixture
def network(tiny):
    return load_model(tiny, attn_implementation="sdpa", **CALM).train()


def answer(network, batch, room, encoded=ENCODED):
    row = map(torch.from_numpy, packed.pack(encoded, batch, room))
    return packed.logits(network, *row, longest=room.longest)[: len(batch)]


def gradients(network, logits):
    return torch.autograd.grad(logits.logsumexp(dim=-1).sum(), list(network.parameters()))


@pytest.mark.parametrize("room", ROOMS)
def test_a_row_gives_the_answers_and_gradients_of_a_padded_batch(network, room):
    ids, mask = batches.collate(ENCODED, BATCH)
    padded = network(input_ids=ids, attention_mask=mask).logits
    expected = gradients(network, padded)
    packed.install(network)
    row = answer(network, BATCH, packed.Room(*ROOMS[room], longest=12))
    torch.testing.assert_close(row, padded)
    torch.testing.assert_close(gradients(network, row), expected)
    again = network(input_ids=ids, attention_mask=mask).logits
    torch.testing.assert_close(again, padded, msg="called as usual, it computes as before")


def test_a_message_knows_nothing_of_its_neighbours(network):
    packed.install(network)
    room = packed.Room(40, 6, 12)
    changed = [*ENCODED]
    changed[1] = [7] * 9
    before, after = answer(network, BATCH, room), answer(network, BATCH, room, changed)
    torch.testing.assert_close(after[[0, 2, 3]], before[[0, 2, 3]])
    assert not torch.allclose(after[1], before[1])


def test_attention_drops_while_training_and_never_else(tiny):
    drops = {"attention_probs_dropout_prob": 0.5, "hidden_dropout_prob": 0.0}
    network = load_model(tiny, classifier_dropout=0.0, **drops).eval()
    packed.install(network)
    room = packed.Room(40, 6, 12)
    assert answer(network, BATCH, room).equal(answer(network, BATCH, room))
    network.train()
    assert not answer(network, BATCH, room).equal(answer(network, BATCH, room))


def test_each_message_lies_where_the_offsets_say_and_the_rest_is_padding():
    ids, positions, offsets = packed.pack(ENCODED, BATCH, packed.Room(40, 6, 12), pad=99)
    for slot, message in enumerate(BATCH):
        place = slice(offsets[slot], offsets[slot + 1])
        assert ids[place].tolist() == ENCODED[message]
        assert positions[place].tolist() == list(range(LENGTHS[message]))
    assert set(ids[29:]) == {99}
    assert offsets[-1] == len(ids) == len(positions) == 40
    assert max(np.diff(offsets)) <= 12, "attention is set up for the longest message"


def test_one_room_holds_every_epoch_with_little_left():
    lengths = np.random.default_rng(0).integers(3, 128, 1000).tolist()
    room = packed.Room(longest=max(lengths))
    rooms = set()
    for epoch in range(20):
        dealt = batches.deal(lengths, 64, seed=0, epoch=epoch)
        room = room.enlarged(lengths, dealt)
        rooms.add(room)
        for batch in dealt:
            left = room.tokens - sum(lengths[i] for i in batch)
            assert 0 <= left < 3 * 128
            assert left <= (room.slots - len(batch)) * room.longest
    assert len(rooms) == 1, "a graph is captured once"
    assert room.tokens % packed.TILE == 0


@pytest.mark.parametrize("size", [64, 7])
def test_cards_dealt_are_all_there_in_equal_hands(size):
    lengths = np.random.default_rng(1).integers(3, 128, 1001).tolist()
    drawn = [batches.deal(lengths, size, seed=0, epoch=epoch) for epoch in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    for hands in drawn:
        assert sorted(itertools.chain(*hands)) == list(range(1001))
        sizes = [len(hand) for hand in hands]
        assert max(sizes) - min(sizes) <= 1 and max(sizes) <= size
        tokens = [sum(lengths[i] for i in hand) for hand in hands]
        assert max(tokens) - min(tokens) <= 2 * max(lengths)


def test_only_a_bert_is_packed_and_only_on_a_gpu(network):
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    sizes = {"dim": 32, "n_layers": 1, "n_heads": 2, "hidden_dim": 64, "vocab_size": 50}
    other = DistilBertForSequenceClassification(DistilBertConfig(**sizes))
    gpu = Backend("cuda", "bf16")
    assert steps.stepper_for(network, gpu) is steps.Graphed
    assert steps.stepper_for(network, CPU) is steps.stepper_for(other, gpu) is steps.Eager


class WithoutGraphs(steps.Graphed):
    """The packed steps on a processor: what a graph would replay is called."""

    def _replay(self, _name, run):
        run()

    def _event(self):
        class Event:
            synchronize = staticmethod(lambda: None)
            elapsed_time = staticmethod(lambda _other: 1.0)

        return Event()


@pytest.mark.parametrize("plan_of", [batches.deal, batches.plan])
def test_packed_steps_train_as_padded_ones(tiny, monkeypatch, plan_of):
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: None)
    adamw = torch.optim.AdamW

    def on_a_processor(parameters, *, capturable=False, **options):
        return adamw(parameters, **options | {"lr": 1e-3})

    monkeypatch.setattr(torch.optim, "AdamW", on_a_processor)
    train = synthetic().train
    messages = steps.Encoded(batches.encode(load_tokenizer(tiny), train.texts), train.labels, pad=0)
    plan = plan_of(messages.lengths, 16, seed=1)
    settings = steps.Settings(batch_size=16, weight_decay=0.01, seed=0, rates=[1e-3] * len(plan))
    losses, weights = [], []
    for kind in (steps.Eager, WithoutGraphs):
        network = load_model(tiny, **CALM).train()
        stepper = kind(network, messages, settings, CPU, Alone())
        stepper.begin_epoch(plan, 0)
        for number in range(len(plan)):
            stepper.step(number)
        losses.append([done.loss for done in stepper.collect()])
        stepper.finish()
        weights.append(torch.cat([p.detach().flatten() for p in network.parameters()]))
        assert 0 <= stepper.padding_share() < 0.5
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert (weights[1] - weights[0]).norm() < 1e-4 * weights[0].norm()
