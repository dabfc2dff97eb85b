"""The notebooks run inside the container, headlessly, and leave their results on the host."""

import json
import os
import platform
import subprocess
from pathlib import Path

import pytest

from gpubook.book.execute import load_result
from tests.docker.conftest import ROOT

pytestmark = pytest.mark.docker


def run(image: str, results: Path, owner: tuple[int, int], *arguments: str, **environment: str):
    """The one-shot service ``run`` of docker/compose.yaml."""
    uid, gid = owner
    environment |= {
        "IMAGE": image.rpartition(":")[0],
        "VARIANT": image.rpartition(":")[2],
        "COMPOSE_PROJECT_NAME": "gpubook-test-run",
        "RESULTS": str(results),
        "HOST_UID": str(uid),
        "HOST_GID": str(gid),
    }
    compose = ["docker", "compose", "--file", str(ROOT / "docker" / "compose.yaml")]
    try:
        return subprocess.run(
            [*compose, "run", "--rm", "--no-TTY", "run", *arguments],
            env=os.environ | environment,
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
    finally:
        subprocess.run(
            [*compose, "--profile", "run", "down"],
            env=os.environ | environment, capture_output=True, check=True, timeout=60,
        )  # fmt: skip


def test_notebooks_run_in_the_container_and_their_results_stay_on_the_host(image, folder):
    wanted = ["01-first-container", "08-matmul"]
    done = run(
        image, folder.path, (folder.uid, folder.gid), "timeout", "500", "gpubook", "run", *wanted,
        REQUIRE="",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for name in wanted:
        result = load_result(folder.path, name)
        live = [e for e in result["evidences"] if e["mode"] == "live"]
        for evidence in live:
            found = evidence["record"]["provenance"]
            assert found["machine"]["container"] is True
            assert found["machine"]["kernel"] == platform.release(), "the host's kernel"
        executed = folder.path / "executed" / f"{name}.ipynb"
        assert (executed.stat().st_uid, executed.stat().st_gid) == (folder.uid, folder.gid)
        cells = json.loads(executed.read_text())["cells"]
        counts = [c["execution_count"] for c in cells if c["cell_type"] == "code"]
        assert counts and all(counts)
    assert any(
        e["mode"] == "live" and e["record"]["name"] == "products-cpu"
        for e in load_result(folder.path, "08-matmul")["evidences"]
    ), "the products were measured in the container"


def test_what_is_required_and_not_in_the_container_is_one_line_and_exit_code_1(image, folder):
    done = run(
        image, folder.path, (folder.uid, folder.gid), "timeout", "100", "gpubook", "run",
        "08-matmul", REQUIRE="gpu",
    )  # fmt: skip
    assert done.returncode == 1
    assert "required here but missing: gpu" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not (folder.path / "results").exists()
