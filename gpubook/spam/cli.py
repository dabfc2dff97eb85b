"""The commands ``spam_classify`` (train) and ``spam_predict`` (use)."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from gpubook import files
from gpubook.errors import Parser, UsageError, exit_code, number, one_line

DEFAULT_FOLDER = "bert_spam_classifier"
_ECHO_SECONDS = 2.0  # what comes within these after a signal may be the same request


def classify(argv: Sequence[str] | None = None) -> int:
    """Entry point of ``spam_classify``. Returns the exit code."""
    return exit_code("spam_classify", lambda: _classify(argv))


def predict(argv: Sequence[str] | None = None) -> int:
    """Entry point of ``spam_predict``. Returns the exit code."""
    return exit_code("spam_predict", lambda: _predict(argv))


def _classify_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="spam_classify",
        description="Fine-tune a BERT on the SMS Spam Collection and save it with its scores.",
    )
    whole, share = number(int, 1), number(float, 0.0, 1.0)
    parser.add_argument("--data", type=Path, metavar="FILE", help="the collection (fetched)")
    parser.add_argument(
        "--model", metavar="FOLDER|NAME",
        help="the BERT to start from: a folder, or a name such as google-bert/bert-base-uncased "
        "(the small one)",
    )  # fmt: skip
    parser.add_argument(
        "--output", type=Path, default=Path(DEFAULT_FOLDER), metavar="FOLDER",
        help="where the result goes (%(default)s)",
    )  # fmt: skip
    parser.add_argument("--epochs", type=whole, default=3, metavar="N", help="(%(default)s)")
    parser.add_argument(
        "--batch-size",
        type=whole,
        metavar="N",
        help="of all processes together (32; on a GPU 256)",
    )
    parser.add_argument(
        "--learning-rate",
        type=number(float, 1e-9, 1.0),
        metavar="RATE",
        help="highest (for batches of 32 1e-4, from BERT-base on 5e-5; more for larger ones)",
    )
    parser.add_argument("--dropout", type=share, default=0.1, metavar="SHARE", help="(%(default)s)")
    parser.add_argument(
        "--train-embeddings",
        action="store_true",
        help="train the first layer, too, which otherwise stays as it was pretrained",
    )
    parser.add_argument("--seed", type=number(int, 0), default=0, metavar="N", help="(%(default)s)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument(
        "--save-seconds", type=number(float, 0.0), default=60.0, metavar="S",
        help="the longest between two checkpoints (%(default)s)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="the scores as JSON")
    return parser


def _classify(argv: Sequence[str] | None) -> int:
    args = _classify_parser().parse_args(argv)
    from gpubook.spam import checkpoint

    checkpoint.refuse_foreign_folder(args.output)  # before the seconds that torch takes to load

    def log(line: str) -> None:
        print(line, file=sys.stderr if args.json else sys.stdout, flush=True)

    from gpubook import machine
    from gpubook.spam import data, train
    from gpubook.spam.distributed import join_world
    from gpubook.spam.model import choose_backend, wake

    world = join_world()
    if not world.first:
        log = _silent
    backend = choose_backend(args.device, args.precision)
    wake(backend)
    everything, left, split = data.prepare(args.data, seed=args.seed, progress=log)
    log(
        f"{len(everything)} messages, {everything.spam} spam; {len(left)} without copies: "
        f"{len(split.train)} to train, {len(split.validation)} to validate, {len(split.test)} "
        f"to test. {world.size} process(es), {backend.device}, {backend.precision}"
    )
    recipe = train.Recipe(
        epochs=args.epochs,
        batch_size=args.batch_size or train.BATCH_SIZE[backend.kind],
        learning_rate=args.learning_rate,
        dropout=args.dropout,
        train_embeddings=args.train_embeddings,
        seed=args.seed,
    )
    asked = _stop_on_signal()
    trained = train.train(
        split,
        args.output,
        model=args.model,
        recipe=recipe,
        backend=backend,
        resume=args.resume,
        save_seconds=args.save_seconds,
        world=world,
        stop=lambda: bool(asked),
        log=log,
        provenance={"machine": machine.probe().describe()},
    )
    if world.first:
        _print_scores(trained.metrics, as_json=args.json)
    return 0


def _silent(_line: str) -> None:
    pass


def _stop_on_signal() -> list[float]:
    """Ctrl-C, `docker stop` and schedulers end the training after a checkpoint, not in a step.

    The list fills with the times of the signals. One request can arrive twice: Slurm and a terminal
    signal every process, and torchrun then passes on its own. So only a Ctrl-C that comes
    clearly later than the first signal ends the training at once.
    """
    asked: list[float] = []

    def handle(number: int, _frame) -> None:
        asked.append(time.monotonic())
        if number == signal.SIGINT and asked[-1] - asked[0] > _ECHO_SECONDS:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, handle)
    signal.signal(signal.SIGTERM, handle)
    return asked


def _print_scores(result: dict, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(result))
        return
    test = result["test_at_threshold"]
    low, high = test["f1_interval"]
    print(
        f"test: accuracy {test['accuracy']:.4f}, spam F1 {test['f1']:.4f} (95 % interval "
        f"{low:.3f} to {high:.3f}), precision {test['precision']:.4f}, recall "
        f"{test['recall']:.4f}, PR-AUC {test['pr_auc']:.4f}\n"
        f"{test['false_spam']} ham called spam, {test['missed_spam']} spam missed, of "
        f"{test['messages']} messages; threshold {result['threshold']:.3f}; "
        f"{result['messages_per_second']:.0f} messages/s in training"
    )


def _predict_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="spam_predict",
        description="Label messages as ham or spam. Messages come from the command line, a file, "
        "or standard input, one a line.",
    )
    parser.add_argument("message", nargs="*", help="each in quotes; - reads standard input")
    parser.add_argument("--file", metavar="FILE", help="messages one a line (- standard input)")
    parser.add_argument(
        "--model", type=Path, default=Path(DEFAULT_FOLDER), metavar="FOLDER",
        help="what spam_classify wrote (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--threshold", type=number(float, 0.0, 1.0), metavar="P",
        help="call it spam from this probability on (chosen in training)",
    )  # fmt: skip
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    return parser


def _predict(argv: Sequence[str] | None) -> int:
    parser = _predict_parser()
    args = parser.parse_args(argv)
    messages = _messages(args, parser)
    from gpubook.spam.predict import Classifier

    classifier = Classifier.load(args.model, device=args.device, threshold=args.threshold)
    for found in classifier.predict(messages):
        if args.json:
            print(json.dumps(asdict(found)))
        elif found.label is None:
            print("-\t-\t(empty line)")
        else:
            note = f"  [{found.note}]" if found.note else ""
            print(f"{found.label}\t{found.spam_probability:.4f}\t{one_line(found.text)}{note}")
    return 0


def _messages(args: argparse.Namespace, parser: argparse.ArgumentParser) -> list[str]:
    """What to label. Raises UsageError with the usage when there is nothing."""
    # Bytes that are not UTF-8 arrive in arguments as lone surrogates, which nothing can encode.
    given = [text.encode("utf-8", "surrogateescape") for text in args.message]
    messages = [raw.decode("utf-8", "replace") for raw in given if raw != b"-"]
    source = args.file or ("-" if "-" in args.message else None)
    if source is None and not messages and not (sys.stdin and sys.stdin.isatty()):
        source = "-"
    if source is not None:
        messages += lines(_read(source))
    if not any(text.strip() for text in messages):
        parser.error("no message: give one in quotes, --file FILE, or lines on standard input")
    return messages


def _read(source: str) -> bytes:
    try:
        if source == "-":
            return files.read_stream(files.standard_input(), "standard input")
        return files.read_bytes(source)
    except OSError as error:
        raise UsageError(f"--file {source}: {error.strerror}") from error


def lines(raw: bytes) -> list[str]:
    """Lines of text from bytes; what is not UTF-8 becomes U+FFFD. Only newlines end a line."""
    text = raw.decode("utf-8-sig", errors="replace")
    parts = text.replace("\r\n", "\n").split("\n")
    return parts[:-1] if parts[-1] == "" else parts
