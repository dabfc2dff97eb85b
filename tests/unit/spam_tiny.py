"""A tiny BERT, messages that it can learn, and a finished training, for the unit tests."""

import sys
from pathlib import Path

import numpy as np
import pytest

from gpubook.spam import data, train
from gpubook.spam.model import Backend

CPU = Backend("cpu", "fp32")
HAM = ("see you at six", "ok", "where are you now", "call mum please", "good night my dear")
LETTERS = list("abcdefg")
SPAM = ("win cash now", "free prize call now", "claim your prize", "txt win to 80086 now")


def synthetic(count=480, seed=0):
    """Messages that differ in a number, a third of them spam, and their split."""
    rng = np.random.default_rng(seed)
    labels = [int(i % 3 == 0) for i in range(count)]
    texts = [
        " ".join([(SPAM if label else HAM)[rng.integers(4)], *rng.permutation(LETTERS), str(i)])
        for i, label in enumerate(labels)
    ]
    return data.split(data.Messages(tuple(texts), tuple(labels), "synthetic"), seed=seed)


def collection(folder: Path) -> Path:
    """The same messages as a file of the collection's form."""
    path = folder / "messages.tsv"
    split = synthetic()
    rows = [
        f"{data.LABELS[label]}\t{text}\n"
        for part in (split.train, split.validation, split.test)
        for label, text in zip(part.labels, part.texts, strict=True)
    ]
    path.write_text("".join(rows), encoding="utf-8")
    return path


FORKED = """
import os, pathlib, sys
sys.path.insert(0, {tests!r})
import torch
from sklearn import feature_extraction, metrics
from transformers import BertForSequenceClassification
from spam_tiny import CPU, RECIPE, synthetic
from gpubook.spam import cli, train
from gpubook.spam.distributed import join_world
"""


def forked(code: str, **values: object) -> list[str]:
    """A command that imports what a training needs, once for all processes that its code forks."""
    values = {"tests": str(Path(__file__).parent)} | values
    return [sys.executable, "-c", (FORKED + code).format(**values)]


@pytest.fixture(scope="session", name="tiny")
def tiny_bert(tmp_path_factory):
    """A folder with a BERT of two narrow layers and a tokenizer of words and letters."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-bert")
    words = sorted({w for text in (*HAM, *SPAM) for w in text.split()})
    letters = [*"abcdefghijklmnopqrstuvwxyz0123456789", *(f"##{c}" for c in "0123456789")]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys([*words, *letters])]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


RECIPE = train.Recipe(
    epochs=2, batch_size=16, learning_rate=8e-3, dropout=0.1, train_embeddings=True
)  # a model on random numbers has tables that know nothing yet


def run(tiny, folder, **options):
    options = {"recipe": RECIPE, "backend": CPU, "log": lambda _line: None} | options
    return train.train(synthetic(), folder, model=tiny, **options)


@pytest.fixture(scope="session", name="undisturbed")
def undisturbed_run(tiny, tmp_path_factory):
    return run(tiny, tmp_path_factory.mktemp("undisturbed") / "model")
