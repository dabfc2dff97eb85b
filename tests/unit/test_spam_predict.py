"""Predictions do not depend on order or padding, and no odd line breaks the command."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from gpubook.errors import UsageError
from gpubook.spam import checkpoint, cli
from gpubook.spam.model import ModelError
from gpubook.spam.predict import Classifier

from .spam_tiny import collection, forked, synthetic, tiny_bert, undisturbed_run  # noqa: F401 - fixtures


@pytest.fixture(scope="module")
def classifier(undisturbed):
    return Classifier.load(undisturbed.folder, device="cpu", precision="fp32")


def test_the_order_of_messages_does_not_touch_the_result(classifier):
    texts = list(synthetic().test.texts)
    forward = classifier.probabilities(texts, batch_size=8)
    backward = classifier.probabilities(texts[::-1], batch_size=8)
    assert forward == backward[::-1]


def test_padding_does_not_touch_the_result(classifier):
    texts = ["ok", "win cash now " * 20, "see you at six", "free prize call now"]
    together = classifier.probabilities(texts)
    alone = [classifier.probabilities([text])[0] for text in texts]
    assert together == pytest.approx(alone, abs=1e-6)
    assert len({round(p, 6) for p in together}) > 1


def test_dropout_is_off(classifier):
    classifier.network.train()
    assert len({classifier.probabilities(["win cash now"])[0] for _ in range(3)}) == 1
    assert classifier.network.training, "the model is left as it was"
    classifier.network.eval()


def test_odd_messages_are_labelled_or_passed_over_and_said(classifier):
    long = "win cash now " * 200
    found = classifier.predict(["", "  \t", long, "где ты сейчас?", "caf\ufffd", "see you at six"])
    assert [p.label for p in found[:2]] == [None, None]
    assert found[0].note == "empty"
    assert "only the first 126 of" in found[2].note
    assert "alphabet" in found[3].note
    assert "not UTF-8" in found[4].note
    assert found[5].note == ""
    assert [p.text for p in found][2] == long


def test_the_threshold_of_the_training_is_used(classifier, undisturbed):
    assert classifier.threshold == undisturbed.metrics["threshold"]
    strict = Classifier.load(undisturbed.folder, device="cpu", threshold=1.0)
    assert {p.label for p in strict.predict(["win cash now"])} == {"ham"}


def test_a_folder_that_is_no_classifier_of_spam_is_one_line(tmp_path, undisturbed):
    with pytest.raises(ModelError, match="spam_classify"):
        Classifier.load(tmp_path / "nowhere")
    with pytest.raises(ModelError, match=r"config\.json"):
        Classifier.load(tmp_path)
    (tmp_path / "config.json").write_text(
        '{"model_type": "bert", "id2label": {"0": "cat", "1": "dog"}}'
    )
    with pytest.raises(ModelError, match="cat, dog"):
        Classifier.load(tmp_path)


def remarked(folder):
    """The folder with a marker that fits what is in it now: whoever broke it was thorough."""
    (folder / checkpoint.MARKER).unlink()
    checkpoint.mark(folder)


def weights(change):
    def spoil(folder):
        from safetensors.torch import load_file, save_file

        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    return spoil


def config(**changes):
    def spoil(folder):
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes), encoding="utf-8")

    return spoil


def first(tensors):
    return next(name for name in sorted(tensors) if "query.weight" in name)


SPOILT = {
    "not a number": (
        weights(lambda t: t[first(t)].fill_(float("nan"))),
        "holds numbers that are not finite",
    ),
    "a weight less": (weights(lambda t: t.pop(first(t))), "1 weights are missing, such as"),
    "no head": (weights(lambda t: t.pop("classifier.weight")), "such as classifier.weight"),
    "one layer less": (config(num_hidden_layers=1), "weights have no place, such as"),
    "one layer more": (config(num_hidden_layers=3), "weights are missing, such as"),
    "another width": (config(hidden_size=64), "Cannot load a model from"),
    "no layers": (config(num_hidden_layers=-1), "num_hidden_layers must be bigger than"),
    "layers without end": (config(num_hidden_layers=10**9), "must be smaller than or equal to 200"),
    "a threshold that is a text": (config(spam_threshold="0.5"), "spam_threshold must be number"),
    "no tokenizer": (
        lambda f: (f / "tokenizer.json").unlink(),
        "there is neither tokenizer.json nor vocab.txt",
    ),
    "a tokenizer of deep JSON": (
        lambda f: (f / "tokenizer.json").write_text("[" * 100_000),
        "Cannot load a model from",
    ),
    "weights cut short": (
        lambda f: (f / "model.safetensors").write_bytes(b"cut short"),
        "Cannot load a model from",
    ),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_spoilt_model_is_one_line_and_labels_nothing(undisturbed, tmp_path, capsys, name):
    spoil, says = SPOILT[name]
    folder = shutil.copytree(undisturbed.folder, tmp_path / "model")
    (folder / "vocab.txt").unlink(missing_ok=True)
    spoil(folder)
    for mark, said in ((None, "is no whole result of spam_classify"), (remarked, says)):
        if mark:
            mark(folder)
        assert cli.predict(["--model", str(folder), "--device", "cpu", "win cash now"]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert err.count("\n") == 1
        assert said in err or says in err


def test_a_folder_with_code_neither_asks_nor_runs_it(undisturbed, tmp_path, monkeypatch):
    folder = shutil.copytree(undisturbed.folder, tmp_path / "model")
    (folder / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    config(auto_map={"AutoModelForSequenceClassification": "mine.Mine"}, model_type="mine")(folder)
    remarked(folder)
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("it asks"))
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\ny\n"))
    with pytest.raises(ModelError):
        Classifier.load(folder, device="cpu")
    assert not (tmp_path / "ran").exists()


def test_a_result_is_readable_alike_and_replaced_only_where_nothing_else_is(undisturbed, tmp_path):
    folder = shutil.copytree(undisturbed.folder, tmp_path / "model")
    assert len({path.stat().st_mode for path in undisturbed.folder.iterdir()}) == 1
    checkpoint.refuse_foreign_folder(folder)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"other files \(notes\.txt\)"):
        checkpoint.refuse_foreign_folder(folder)


def ask(monkeypatch, capsys, folder, *arguments, stdin=b"", tty=False):
    class Input(io.TextIOWrapper):
        def isatty(self):
            return tty

    monkeypatch.setattr(sys, "stdin", Input(io.BytesIO(stdin)))
    code = cli.predict(["--model", str(folder), "--device", "cpu", *arguments])
    out = capsys.readouterr()
    return code, out.out, out.err


def test_messages_come_from_arguments_file_or_input_in_order(
    monkeypatch,
    capsys,
    undisturbed,
    tmp_path,
):
    (tmp_path / "sms.txt").write_bytes("\ufeffwin cash now\r\n\r\nsee you at six".encode())
    ways = [
        (("--file", str(tmp_path / "sms.txt")), b""),
        ((), b"win cash now\n\nsee you at six\n"),
        (("-",), b"win cash now\n\nsee you at six"),
        (("win cash now", "", "see you at six"), b""),
    ]
    answers = []
    for arguments, stdin in ways:
        code, out, _ = ask(
            monkeypatch, capsys, undisturbed.folder, *arguments, "--json", stdin=stdin
        )
        assert code == 0
        rows = [json.loads(line) for line in out.splitlines()]
        assert [row["text"] for row in rows] == ["win cash now", "", "see you at six"]
        answers.append([row["label"] for row in rows])
    assert answers[0][1] is None
    assert all(answer == answers[0] for answer in answers)


@pytest.mark.parametrize("stdin", [b"", b"\n", b"  \n\t\n"])
def test_nothing_to_label_is_misuse_in_one_line(monkeypatch, capsys, tmp_path, stdin):
    code, out, err = ask(monkeypatch, capsys, tmp_path, stdin=stdin)
    assert (code, out) == (2, "")
    assert "no message" in err
    assert "spam_predict --help" in err
    assert err.count("\n") == 1


def test_at_a_terminal_it_does_not_wait_for_input(monkeypatch, capsys, tmp_path):
    assert ask(monkeypatch, capsys, tmp_path, tty=True)[0] == 2


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--file", "/nowhere/at/all"), 2),
        (("--threshold", "7", "hi"), 2),
        (("--no-such-option", "hi"), 2),
        (("--model", "/nowhere/at/all", "hi"), 1),
    ],
)
def test_mistakes_of_use_are_said_without_a_traceback(capsys, arguments, code):
    assert cli.predict(list(arguments)) == code
    err = capsys.readouterr().err
    assert err.startswith("spam_predict: ")
    assert "Traceback" not in err


def test_bytes_that_are_not_text_reach_the_model_and_leave_no_control_characters(
    monkeypatch,
    capsys,
    undisturbed,
):
    code, out, _ = ask(
        monkeypatch, capsys, undisturbed.folder, stdin=b"\xff\xfe win\n\x1b[31mred\x07\n"
    )
    assert code == 0
    assert "bytes that are not UTF-8 were replaced" in out
    assert "\x1b" not in out
    assert "\x07" not in out
    code, out, _ = ask(monkeypatch, capsys, undisturbed.folder, "caf\udce9", "--json")
    assert code == 0
    assert json.loads(out)["text"] == "caf\ufffd"


@pytest.mark.parametrize(
    "option", [["--epochs", "0"], ["--learning-rate", "x"], ["--device", "tpu"]]
)
def test_spam_classify_refuses_wrong_options_before_loading_anything(capsys, option):
    assert cli.classify(option) == 2
    err = capsys.readouterr().err
    assert option[0] in err
    assert "spam_classify --help" in err
    assert err.count("\n") == 1


def test_spam_classify_names_a_wrong_data_file_in_one_line(capsys, tmp_path):
    (tmp_path / "data").write_text("ham\thello\n")
    code = cli.classify(
        ["--data", str(tmp_path / "data"), "--output", str(tmp_path / "model"), "--device", "cpu"]
    )
    err = capsys.readouterr().err
    assert code == 1
    assert err.count("\n") == 1
    assert "1 messages and 0 spam" in err
    assert not (tmp_path / "model").exists()


def test_help_and_a_folder_without_a_model_are_answered_before_torch_is_loaded(tmp_path):
    code = (
        "import sys; from gpubook.spam import cli\n"
        "for command in (cli.classify, cli.predict):\n"
        "    try: command(['--help'])\n"
        "    except SystemExit as end: assert end.code == 0\n"
        f"assert cli.predict(['--model', {str(tmp_path)!r}, 'hi']) == 1\n"
        "assert 'torch' not in sys.modules and 'sklearn' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.fixture
def asked(monkeypatch):
    """The training's handlers, in this process, with a clock that the test sets."""
    clock = [100.0]
    monkeypatch.setattr(cli.time, "monotonic", lambda: clock[0])
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield cli._stop_on_signal(), clock
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_request_that_arrives_twice_does_not_end_the_training_in_a_step(asked, number):
    signals, clock = asked
    signal.raise_signal(number)  # slurmstepd, or the terminal
    clock[0] += 0.5
    signal.raise_signal(signal.SIGTERM)  # torchrun
    signal.raise_signal(number)
    assert len(signals) == 3


def test_a_second_ctrl_c_ends_the_training_at_once(asked):
    _, clock = asked
    signal.raise_signal(signal.SIGINT)
    clock[0] += 5
    signal.raise_signal(signal.SIGTERM)  # who sends this kills soon, and waits until then
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


STOPPED = """
from gpubook.spam import data
data.prepare.__kwdefaults__["expected"] = None  # fewer messages than the whole collection
for resume in ([], ["--resume"], ["--resume"]):
    child = os.fork()
    if not child:
        print("process", os.getpid(), flush=True)
        sys.exit(cli.classify({options} + resume))
    print("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def test_ctrl_c_and_docker_stop_leave_a_checkpoint_to_resume(tiny, tmp_path):
    options = ["--model", str(tiny), "--epochs", "8", "--device", "cpu", "--precision", "fp32"]
    options += ["--data", str(collection(tmp_path)), "--output", str(tmp_path / "model")]
    command = forked(STOPPED, options=options)
    with (
        (tmp_path / "err").open("w") as err,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=err, text=True) as process,
    ):

        def ended(number: int = 0) -> tuple[int, str]:
            """The exit code and the output of the next process, signalled after a step."""
            said = ""
            for line in process.stdout:
                word, _, rest = line.partition(" ")
                if word == "ended":
                    return int(rest), said
                if word == "process":
                    pid = int(rest)
                elif number and "step" in line and "Resumed" not in line:
                    os.kill(pid, number)
                    number = 0
                said += line
            pytest.fail((tmp_path / "err").read_text())

        for count, number in enumerate((signal.SIGINT, signal.SIGTERM), start=1):
            assert ended(number)[0] == 130
            lines = (tmp_path / "err").read_text().splitlines()
            assert len(lines) == count
            assert "--resume" in lines[-1]
            assert (tmp_path / "model.checkpoint" / "state.pt").is_file()
            assert not (tmp_path / "model").exists()
        code, said = ended()
    assert code == 0, (tmp_path / "err").read_text()
    assert "Resumed after step" in said
    assert (tmp_path / "model" / "model.safetensors").is_file()
