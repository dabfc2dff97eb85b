"""A little of `make fuzz` for each reader, and what it found, fixed for good."""

import pytest

from tests import fuzz

READERS = {reader.name: reader for reader in fuzz.readers()}
FOUND = [
    ("parameters", b"9" * 400),
    ("messages", b",spam,text\0\n0,0,hello"),
    (".dockerignore", b"[[a]\n"),
    (".dockerignore", b"[z-a]\n"),
    ("daemon.json", b'{"currentContext": [null]}'),
    ("recordings", b"[]"),
]


@pytest.fixture(autouse=True)
def no_book(monkeypatch):
    """No command line of the fuzzer reaches this book."""
    monkeypatch.setenv("GPUBOOK_ROOT", "/nonexistent")


@pytest.mark.parametrize(("name", "raw"), FOUND)
def test_what_the_fuzzer_found_is_one_line(name, raw, tmp_path):
    fuzz.check(READERS[name], raw, tmp_path)


@pytest.mark.parametrize("name", READERS)
def test_no_reader_lets_bad_input_escape(name):
    assert fuzz.fuzz(READERS[name], 40, begin=0) >= 30


@pytest.mark.parametrize("error", [KeyError("x"), AssertionError("markup"), SystemExit(7)])
def test_the_fuzzer_sees_an_escape(tmp_path, error):
    def read(path):
        raise error

    with pytest.raises(fuzz.Escape):
        fuzz.check(fuzz.Reader("broken", (b"",), read), b"", tmp_path)


def test_markup_in_an_exit_code_is_refused(tmp_path):
    """An edited recording with a fitting checksum: what it says may not reach the page."""
    reader = READERS["recordings"]
    document = fuzz.json.loads(reader.valid[0])
    steps = [
        step | {"exit_code": "<script>alert(1)</script>"} for step in document["data"]["steps"]
    ]
    document["data"]["steps"] = steps
    path = tmp_path / reader.file
    path.parent.mkdir(parents=True)
    path.write_text(fuzz.json.dumps(fuzz._sealed(document)), encoding="utf-8")
    from gpubook.evidence import records

    with pytest.raises(records.EvidenceError, match="exit_code must be integer"):
        records.load_recording(path)
