"""The image does what the chapter did, for any user, and carries no more than it must."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gpubook.spam import assets
from tests.docker.conftest import ROOT
from tests.docker.containers import ErrorInLog

pytestmark = pytest.mark.docker

SMALL = ["mat_mul", "--n", "256", "--json"]
HAM = "I will be home at seven, shall we cook something?"
SPAM = "WINNER! Claim your FREE prize now, call 09061701461 or txt WIN to 80086. 150ppm"


def test_the_default_command_prints_the_matmul_lines(containers, image):
    lines = containers.run(image, seconds=300).stdout.splitlines()
    rows = [line for line in lines if re.match(r"CPU +FP32 +N = +[\d,]+ +\d", line)]
    assert len(rows) == 1, lines
    assert "TFLOP/s" in rows[0]


def tiny_bert(target: Path) -> None:
    """A BERT of one narrow layer with the real tokenizer: how well it learns is for notebook 05."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    target.mkdir()
    for name in assets.MODEL.members:
        if "token" in name or name == "vocab.txt":
            shutil.copy(assets.model_path() / name, target / name)
    narrow = BertConfig(
        hidden_size=64, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
    )
    BertModel(narrow).save_pretrained(target)
    for path in target.iterdir():
        path.chmod(0o644)  # safetensors writes for the owner alone, and the container is another


def test_training_in_one_container_and_predicting_in_another_share_a_mounted_folder(
    containers, image, folder
):
    tiny_bert(folder.path / "tiny")
    # No network: the data comes out of the image.
    alone = folder.options | {"network_mode": "none"}
    train = ["spam_classify", "--model", "tiny", "--epochs", "3", "--batch-size", "64"]
    # Its tables are random numbers: frozen, as those of a pretrained model are, they teach nothing.
    recipe = ["--learning-rate", "0.003", "--train-embeddings"]
    containers.run(image, [*train, *recipe, "--output", "model"], seconds=480, **alone)
    written = list((folder.path / "model").rglob("*"))
    assert any(path.name == "model.safetensors" for path in written)
    owners = {(path.stat().st_uid, path.stat().st_gid) for path in written}
    assert owners == {(folder.uid, folder.gid)}, "results belong to whoever ran the container"

    told = containers.run(
        image, ["spam_predict", "--model", "model", "--json", HAM, SPAM], **alone
    ).stdout
    ham, spam = (json.loads(line) for line in told.splitlines())
    assert (ham["text"], spam["text"]) == (HAM, SPAM)
    # Eight other seeds ended below 0.013 and above 0.96: what is between is no model that learned.
    assert ham["spam_probability"] < 0.1 < 0.9 < spam["spam_probability"], "learned, and loaded"


@pytest.mark.parametrize("user", ["0:0", "1000:1000", "65534:65534", "7654321:100"])
def test_any_uid_has_a_home_a_name_and_the_data(containers, image, user):
    told = containers.run(
        image,
        ["python", "-c", "import os, getpass, pathlib, tempfile;"
         "from gpubook.spam import assets;"
         "p = pathlib.Path.home() / 'x'; p.write_text('x');"
         "print(os.getuid(), os.getgid(), p.parent, getpass.getuser(),"
         " assets.is_valid(assets.MODEL), assets.is_valid(assets.DATASET))"],
        user=user, network_mode="none",
    ).stdout  # fmt: skip
    uid, gid = user.split(":")
    assert told.split() == [uid, gid, "/home/book", "book", "True", "True"]


def test_it_runs_with_a_read_only_root_no_capability_and_no_new_privileges(containers, image):
    hard = {
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "network_mode": "none",
        "user": "54321:54322",
    }
    measured = json.loads(containers.run(image, SMALL, **hard).stdout)
    assert measured
    # The same options do hold: the root file system refuses, and no capability is left.
    refused = containers.run(image, ["touch", "/book/x"], exit_code=1, **hard)
    assert "Read-only file system" in refused.stderr
    status = containers.run(image, ["cat", "/proc/self/status"], **hard).stdout
    assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE)
    assert re.search(r"^CapBnd:\s+0+$", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.MULTILINE)
    # With a /tmp there is a home again, and the data in it.
    found = containers.run(
        image, ["python", "-c", "from gpubook.spam import assets as a; print(a.is_valid(a.MODEL))"],
        tmpfs={"/tmp": "size=64m"}, **hard,
    )  # fmt: skip
    assert found.stdout.split() == ["True"]


def test_process_one_is_tini_and_passes_the_signal_on(containers, image):
    container = containers.start(image, ["bash", "-c", "trap 'exit 42' TERM; sleep 60 & wait"])
    top = container.top(ps_args="-o pid,args")["Processes"]
    assert "tini" in top[0][1]
    container.kill("SIGTERM")
    assert container.wait(timeout=30)["StatusCode"] == 42


def test_the_commands_and_the_book_are_there(containers, image, tree):
    told = containers.run(
        image,
        ["bash", "-c", "gpubook --version; command -v mat_mul spam_classify spam_predict jupyter;"
         "find /book/notebooks -name '*.ipynb' -printf '%f\\n'; ls -d /book/recordings /book/book"],
    ).stdout.split()  # fmt: skip
    assert told[0] == "gpubook"
    for path in (tree / "notebooks").glob("*.ipynb"):
        assert path.name in told
    assert "/book/recordings" in told and "/book/book" in told


def test_a_mistake_of_use_is_one_line_and_exit_code_2(containers, image):
    told = containers.run(image, ["mat_mul", "--n", "x"], exit_code=2, errors_expected=True)
    assert "Traceback" not in told.output


def test_the_image_says_what_it_is(engine, image):
    about = engine.images.get(image).attrs["Config"]
    labels = about["Labels"]
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert labels["org.opencontainers.image.version"] == version[1]
    assert re.fullmatch(r"[0-9a-f]{40}", labels["org.opencontainers.image.revision"])
    assert labels["gpubook.variant"] == "cpu"
    assert about["User"] not in ("", "0", "root", "0:0")
    assert about["Healthcheck"]["Test"] == ["CMD", "healthcheck"]


def test_the_image_is_little_more_than_its_packages_and_its_base(containers, engine, image):
    packages = containers.run(
        image, ["du", "--summarize", "--bytes", "/opt/venv", "/opt/gpubook"], seconds=60
    ).stdout
    content = sum(int(line.split()[0]) for line in packages.splitlines())
    about = engine.images.get(image)
    base = engine.images.get(about.labels["org.opencontainers.image.base.name"]).attrs["Size"]
    size = about.attrs["Size"]
    ratio = size / (content + base)
    print(f"image {size / 1e9:.3f} GB, packages and data {content / 1e9:.3f} GB, "
          f"base {base / 1e9:.3f} GB, ratio {ratio:.3f}")  # fmt: skip
    assert ratio <= 1.15


def test_no_secret_cache_or_build_file_is_left_in_the_image(containers, image):
    told = containers.run(
        image,
        ["bash", "-c", "ls -A /tmp /run/secrets /root /wheelhouse /var/lib/apt/lists 2>/dev/null;"
         "find / -xdev \\( -name '*.whl' -o -name pip-here -o -name 'ca-bundle*' \\) -print"],
        user="0:0",
    ).stdout  # fmt: skip
    # Debian's venv keeps pip's own wheels for making further environments.
    files = [line for line in told.splitlines() if "/" in line and not line.endswith(":")]
    assert [f for f in files if not f.startswith("/usr/share/python-wheels/")] == []


def test_a_container_has_the_whole_processor_of_the_host(containers, image):
    """What it costs in time is printed and not judged: something else may use the machine."""
    command = ["mat_mul", "--n", "1536", "--dtype", "fp32", "--device", "cpu", "--json"]
    here = Path(sys.executable).parent / "mat_mul"
    flags = ["sh", "-c", "grep -m1 ^flags /proc/cpuinfo"]
    done = subprocess.run([here, *command[1:]], capture_output=True, text=True, check=True)
    (host,), (inside,) = (
        json.loads(text)["rows"] for text in (done.stdout, containers.run(image, command).stdout)
    )
    print(f"container {inside['seconds']:.4f} s, host {host['seconds']:.4f} s")
    threads = [re.search(r"\d+ threads?", row["method"])[0] for row in (inside, host)]
    assert threads[0] == threads[1]
    assert inside["name"] == host["name"]
    assert inside["error"] <= inside["bound"]
    seen = subprocess.run(flags, capture_output=True, text=True, check=True).stdout
    assert set(containers.run(image, flags).stdout.split()) == set(seen.split())


def test_the_helper_itself_fails_on_an_error_line_a_wrong_end_and_a_command_that_hangs(
    containers, image
):
    with pytest.raises(ErrorInLog):
        containers.run(image, ["echo", "ERROR: something broke"])
    with pytest.raises(AssertionError, match="ended with 3"):
        containers.run(image, ["bash", "-c", "exit 3"])
    with pytest.raises(AssertionError, match="ended with 124"):
        containers.run(image, ["sleep", "30"], seconds=1)
