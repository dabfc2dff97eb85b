"""The collection is read whole, freed of copies and split without a leak."""

import zipfile

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gpubook.errors import BookError
from gpubook.spam import assets, data

needs_data = pytest.mark.skipif(
    not assets.is_valid(assets.DATASET), reason="the data set is not fetched (`gpubook fetch`)"
)


@pytest.fixture(scope="module")
def messages():
    if not assets.is_valid(assets.DATASET):
        pytest.skip("the data set is not fetched (`gpubook fetch`)")
    return data.load()


def test_all_messages_come_out_of_the_careless_csv(messages):
    assert len(messages) == 5574
    assert messages.spam == 747
    assert len(set(zip(messages.texts, messages.labels, strict=True))) == 5171
    assert not any("\n" in text or "\t" in text for text in messages.texts)


def test_records_keep_their_original_order(messages):
    # The first and last records of the published file, and one that had been swallowed.
    assert messages.texts[0].startswith("Go until jurong point, crazy..")
    assert messages.texts[-1] == "Rofl. Its true to its name"
    assert messages.labels[283] == 0
    assert messages.texts[283].startswith("Ok. I asked for money how far")


def test_no_message_of_a_part_has_a_copy_or_near_copy_in_another(messages):
    unique = messages.take(data.distinct(messages))
    assert len(unique) == 5171
    split = data.split(unique, families=data.families(unique), seed=3)
    part_of = {
        data.fingerprint(text): name
        for name in ("train", "validation", "test")
        for text in getattr(split, name).texts
    }
    for name in ("train", "validation", "test"):
        assert all(part_of[data.fingerprint(t)] == name for t in getattr(split, name).texts)
    prints = list(part_of)
    pairs = data._near_pairs(prints, data.NEAR)
    assert len(pairs) > 50, "there are near copies, so this test can fail"
    assert all(part_of[prints[a]] == part_of[prints[b]] for a, b in pairs)


def test_parts_have_the_same_share_of_spam_and_the_seed_decides(messages):
    unique = messages.take(data.distinct(messages))
    families = data.families(unique)
    one, again, other = (data.split(unique, families=families, seed=seed) for seed in (1, 1, 2))
    assert one == again
    assert one.test.texts != other.test.texts
    share = unique.spam / len(unique)
    for part in (one.train, one.validation, one.test):
        assert part.spam / len(part) == pytest.approx(share, abs=0.005)
    assert len(one.test) == pytest.approx(0.2 * len(unique), abs=2)
    assert len(one.train) + len(one.validation) + len(one.test) == len(unique)


def test_the_three_forms_of_the_collection_give_the_same_messages(tmp_path):
    lines = "ham\tHello, you\r\nspam\tWIN \x85 now\r\n".encode()
    (tmp_path / "plain").write_bytes(lines)
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("SMSSpamCollection", lines)
        archive.writestr("readme", "about")
    (tmp_path / "wheel.csv").write_bytes(b',spam,text\n0,0,"Hello, you\nspam\tWIN \xc2\x85 now"\n')
    for name in ("plain", "archive.zip", "wheel.csv"):
        read = data.load(tmp_path / name, expected=(2, 1))
        assert read.texts == ("Hello, you", "WIN \x85 now"), name
        assert read.labels == (0, 1), name


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "0 messages and 0 spam"),
        (b"ham\tHello\n", "1 messages and 0 spam"),
        (b"just a text file\n", "record 1"),
        (b"ham\tHello\nnoise\tx\n", "record 2"),
        (b"ham\tHello\nspam\t\n", "record 2"),
        (b"\x89PNG\r\n\x1a\n\x00\xff", "byte 0 is not UTF-8"),
        (b",spam,text\n0,2,Hello\n", "row 1"),
        (b',spam,text\n0,0,"Hello\n', "row 1"),
        (b",spam,text\n0\n", "row 1"),
        (b",spam,text\n0,-9,Hello\n", "row 1"),
        (b"PK\x03\x04 cut short", "record 1"),
    ],
)
def test_a_wrong_file_is_one_line_that_names_it(tmp_path, content, says):
    path = tmp_path / "messages"
    path.write_bytes(content)
    with pytest.raises(BookError, match=says) as caught:
        data.load(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@needs_data
@pytest.mark.parametrize("share", [0.1, 0.5, 0.999])
def test_a_truncated_collection_is_refused(tmp_path, share):
    whole = assets.DATASET.path.joinpath("sms-spam.csv").read_bytes()
    (tmp_path / "cut").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(data.DataError):
        data.load(tmp_path / "cut")


def test_a_missing_file_and_a_strange_archive_are_one_line(tmp_path):
    with pytest.raises(data.DataError, match="No such file"):
        data.load(tmp_path / "nowhere")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("holiday.jpg", b"")
    with pytest.raises(data.DataError, match="SMSSpamCollection"):
        data.load(tmp_path / "other.zip")


def test_near_copies_are_one_family_and_others_are_not():
    texts = (
        "Call 09061234567 now to claim your prize of £1000 cash",
        "call 08712300220 NOW to claim your prize of £500 cash!!",
        "Call 0906 now to claim your big prize of £1000 cash",
        "See you at the station at six",
        ":-)",
        ":)",
    )
    found = data.families(data.Messages(texts, (1, 1, 1, 0, 0, 0)))
    assert found[0] == found[1] == found[2]
    assert len(set(found)) == 4


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=30))
def test_distinct_keeps_the_first_of_each_and_families_join_equal_prints(texts):
    messages = data.Messages(tuple(texts), (0,) * len(texts))
    kept = data.distinct(messages)
    assert [texts[i] for i in kept] == list(dict.fromkeys(texts))
    assert all(texts.index(texts[i]) == i for i in kept)
    found = data.families(messages)
    prints = [data.fingerprint(t) for t in texts]
    for a in range(len(texts)):
        for b in range(a):
            assert prints[a] != prints[b] or found[a] == found[b]


@settings(max_examples=40, deadline=None)
@given(st.integers(40, 200), st.integers(40, 200), st.integers(0, 2**31))
def test_a_split_is_a_partition_that_keeps_families_together(ham, spam, seed):
    families = np.random.default_rng(seed + 1).integers(0, 150, ham + spam).tolist()
    labels = np.random.default_rng(seed).permutation([0] * ham + [1] * spam).tolist()
    messages = data.Messages(tuple(map(str, range(ham + spam))), tuple(labels))
    families = [f + 1000 * label for f, label in zip(families, labels, strict=True)]
    split = data.split(messages, families=families, seed=seed)
    texts = [t for part in (split.train, split.validation, split.test) for t in part.texts]
    assert sorted(texts) == sorted(messages.texts)
    pairs = dict(zip(messages.texts, messages.labels, strict=True))
    of = dict(zip(messages.texts, families, strict=True))
    train, test = {of[t] for t in split.train.texts}, {of[t] for t in split.test.texts}
    assert not train & test
    for part in (split.train, split.validation, split.test):
        assert all(pairs[t] == label for t, label in zip(part.texts, part.labels, strict=True))


def test_too_few_messages_to_split_is_one_line():
    with pytest.raises(data.DataError, match="too few"):
        data.split(data.Messages(("a", "b"), (0, 1)))


@settings(deadline=None)
@given(
    st.lists(st.text(alphabet="abc é\U0001f600", max_size=14), min_size=1, max_size=12),
    st.sampled_from([0.4, 0.6, 0.8, 1.0]),
)
@example([" ", "  "], 0.4)
def test_near_pairs_are_those_that_comparing_all_pairs_finds(texts, near):
    def pieces(text):
        whole = "\x02\x02\x02" + text + "\x03\x03\x03"
        return {whole[i : i + 4] for i in range(len(whole) - 3)}

    sets = [pieces(text) for text in texts]
    plain = {
        (i, j)
        for j in range(len(sets))
        for i in range(j)
        if len(sets[i] & sets[j]) >= near * len(sets[i] | sets[j]) - 1e-9
    }
    assert set(data._near_pairs(texts, near)) == plain
