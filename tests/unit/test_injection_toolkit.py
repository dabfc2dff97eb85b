"""Which of two CDI specifications is the host's: the one that the engine takes."""

from __future__ import annotations

import pytest

from gpubook import engine
from gpubook.injection import CdiUnavailable
from gpubook.injection.toolkit import host_specification

SPEC = "cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices: []\n"


@pytest.fixture
def folders(tmp_path, monkeypatch):
    paths = [tmp_path / "etc", tmp_path / "run"]
    for path in paths:
        path.mkdir()
    info = {"cdi": {"directories": [str(path) for path in paths]}}
    monkeypatch.setattr(engine, "info", lambda: info)
    return paths


def test_the_folder_named_last_counts(folders):
    for folder in folders:
        (folder / "nvidia.yaml").write_text(SPEC, encoding="utf-8")
    assert host_specification()["path"] == str(folders[1] / "nvidia.yaml")
    (folders[1] / "nvidia.yaml").unlink()
    assert host_specification()["path"] == str(folders[0] / "nvidia.yaml")


def test_none_is_an_error_that_names_the_service_and_the_old_way(folders):
    (folders[0] / "other.yaml").write_text("kind: example.com/x\n", encoding="utf-8")
    with pytest.raises(CdiUnavailable, match=r"nvidia-cdi-refresh.*before 1\.18"):
        host_specification()


@pytest.mark.docker
def test_a_real_engine_takes_the_device_of_the_folder_named_last(tmp_path):
    """The rule that the tests above rest on, shown by an engine."""
    import subprocess
    from pathlib import Path

    named = engine.info()["cdi"]["directories"]
    if len(named) < 2:
        pytest.skip("the engine reads one CDI folder only")
    image = engine.choose_image("")
    made, new = [], []
    try:
        for folder in (named[0], named[-1]):
            if not Path(folder).exists():
                Path(folder).mkdir(parents=True)
                new.append(Path(folder))
            path = Path(folder) / "gpubook-order.yaml"
            edits = f'{{env: ["FOLDER={folder}"]}}'
            path.write_text(
                "cdiVersion: 0.5.0\nkind: gpubook.example/order\n"
                f'devices: [{{name: "0", containerEdits: {edits}}}]\n',
                encoding="utf-8",
            )
            made.append(path)
        done = subprocess.run(
            ["docker", "run", "--rm", "--device", "gpubook.example/order=0", image,
             "sh", "-c", "echo $FOLDER"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    except PermissionError as error:
        pytest.skip(f"the engine's CDI folders need root: {error}")
    finally:
        for path in made:
            path.unlink()
        for folder in new:
            folder.rmdir()
    assert done.stdout.strip() == named[-1]
