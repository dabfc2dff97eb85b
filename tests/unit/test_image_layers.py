"""The image's size by layer: each of its instructions has a part, and the parts add up."""

import json
import re

from tests.conftest import ROOT
from tools import image_layers as layers


def instructions() -> list[str]:
    """The Dockerfile's instructions that add files, as one line each."""
    text = (ROOT / "docker" / "Dockerfile").read_text("utf-8").partition("FROM ${BASE}")[2]
    joined = re.sub(r"\\\n\s*(#.*\n\s*)*", " ", text)
    return re.findall(r"^(?:RUN|COPY|WORKDIR) .*$", joined, re.MULTILINE)


def test_no_instruction_of_ours_is_taken_for_the_base_image():
    named = {layers.part(line): line for line in instructions()}
    assert "base image" not in named
    assert set(named) == set(layers.PARTS.values()), "a part that no instruction makes"


def test_the_parts_add_up_to_what_the_engine_reports(monkeypatch):
    """The engine's history is newest first; a layer that a part shares is added to it."""
    history = [
        {"CreatedBy": "COPY notebooks /book/notebooks", "Size": "3"},
        {"CreatedBy": "COPY book /book/book", "Size": "40"},
        {"CreatedBy": "ENV A=B", "Size": "0"},
        {"CreatedBy": "/bin/sh -c #(nop) ADD file:1 in /", "Size": "500B"},
    ]
    monkeypatch.setattr(layers, "docker", lambda *_: "\n".join(map(json.dumps, history)))
    assert layers.layers("image") == [
        {"part": "base image", "bytes": 500},
        {"part": "the book", "bytes": 43},
    ]
