"""Which of two CDI specifications is the host's: the one that the engine takes."""

import pytest

from gpubook import engine
from gpubook.machine.info import info
from tests.notebooks import pages

SPEC = "cdiVersion: 0.5.0\nkind: nvidia.com/gpu\n"


def test_page_07_shows_the_specification_of_the_folder_that_counts(tmp_path):
    source = pages.source("07-a-device-of-your-own", "specification")
    for folder in ("/etc/cdi", "/var/run/cdi"):  # in the order in which engines name them
        here = tmp_path / folder.strip("/")
        here.mkdir(parents=True)
        (here / "nvidia.yaml").write_text(f"{SPEC}# {folder}\n", encoding="utf-8")
        source = source.replace(f'"{folder}"', repr(str(here)))
    names: dict = {}
    exec(source.replace("next(", "chosen = next("), names)  # noqa: S102
    assert names["chosen"].endswith("# /var/run/cdi\n")


@pytest.mark.docker
def test_a_real_engine_takes_the_device_of_the_folder_named_last(tmp_path):
    """The rule that the test above rests on, shown by an engine."""
    import subprocess
    from pathlib import Path

    named = info()["cdi"]["directories"]
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
