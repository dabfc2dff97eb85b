"""How the image is built: with the network cut, and quickly after an edit."""

import json
import os
import re
import secrets
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.docker.conftest import ROOT, build
from tests.unit.test_install import wheel

pytestmark = pytest.mark.docker


def layers(engine, image: str) -> list[str]:
    return engine.images.get(image).attrs["RootFS"]["Layers"]


def test_it_builds_with_the_network_cut_from_a_wheelhouse(built, engine):
    if built is None:
        pytest.skip("GPUBOOK_IMAGE names an image that was built elsewhere")
    history = json.dumps(engine.images.get(built.image).history())
    assert "PIP_NO_INDEX=1" in history
    print(f"built with the network cut in {built.seconds:.0f} s")


def test_the_network_is_cut_in_such_a_build(engine, base, tmp_path):
    """What OFFLINE=1 gives to the build has no way out: the claim above rests on it."""
    (tmp_path / "Dockerfile").write_text(
        f"FROM {base}\nRUN ls /sys/class/net > /net.txt && ! grep -v lo /net.txt\n"
    )
    done = subprocess.run(
        ["docker", "build", "--network", "none", "--quiet", "--no-cache", str(tmp_path)],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    engine.images.remove(done.stdout.strip(), force=True)


def test_an_edited_notebook_rebuilds_only_the_last_layer(built, engine, base, tree, tmp_path):
    if built is None:
        pytest.skip("GPUBOOK_IMAGE names an image that was built elsewhere")
    tree = shutil.copytree(tree, tmp_path / "tree")
    options = {"BASE": base, "WHEELHOUSE": str(ROOT / "wheelhouse"), "OFFLINE": "1"}
    notebook = tree / "notebooks" / "08-matmul.ipynb"
    content = json.loads(notebook.read_text())
    content["cells"][0]["source"] = [f"# Edited {secrets.token_hex(8)}"]
    notebook.write_text(json.dumps(content))
    edited = build(tree, "gpubook-test-edited", **options)
    try:
        before, after = layers(engine, built.image), layers(engine, edited.image)
        assert len(before) == len(after)
        changed = [i for i, pair in enumerate(zip(before, after, strict=True)) if len({*pair}) > 1]
        print(f"rebuilt in {edited.seconds:.1f} s, changed layers {changed} of {len(after)}")
        # The notebooks' layer, and after it at most the empty one of the working folder.
        assert changed, "the edit is in the image"
        assert changed[0] >= len(after) - 2
        assert "#" in edited.log and "tools/install.py" in edited.log
    finally:
        for tag in ("cpu", "latest"):
            engine.images.remove(f"gpubook-test-edited:{tag}", force=True)


def wheelhouse_of_a_fake_torch(folder: Path) -> str:
    """A wheelhouse with nothing but a fake CPU build of torch; its SHA-256."""
    text = (ROOT / "requirements" / "torch-cpu.txt").read_text(encoding="utf-8")
    (version,) = re.findall(r"^torch==(\S+)", text, re.MULTILINE)
    (folder / "recipe.txt").write_text("a test's", encoding="utf-8")
    return wheel(folder, "torch", version)


@pytest.mark.parametrize(
    ("variant", "reason"),
    [("cpu", "is not the file that the lock names"), ("cuda", "No matching distribution")],
)
def test_a_wheel_that_the_variants_lock_does_not_name_is_refused(
    engine, base, tree, tmp_path, variant, reason
):
    """A planted wheel can't pass for torch, nor the CPU build for the CUDA variant's."""
    wheelhouse_of_a_fake_torch(tmp_path)
    done = subprocess.run(
        ["docker/build", "--progress", "plain"], cwd=tree, capture_output=True, text=True,
        env=os.environ | {"IMAGE": "gpubook-test-wrong", "VARIANT": variant, "BASE": base,
                          "WHEELHOUSE": str(tmp_path), "OFFLINE": "1"},
    )  # fmt: skip
    assert done.returncode != 0
    assert reason in done.stderr
    assert not engine.images.list("gpubook-test-wrong")
