"""Grade a class: each answer is judged by the tests that judge the book's own solutions.

    python tools/grade.py CLASS                     # a board, then one line a fault
    python tools/grade.py CLASS 03-what-a-container-is-made-of --junit report.xml
    python tools/grade.py CLASS --image gpu-plus-container -j 4    # run their notebooks before
    python tools/grade.py FOLDER --edition          # the notebooks without solutions, for learners

CLASS has a folder for each learner, with the learner's ``notebooks``. ``--image`` runs them, each
learner's in a container with limits and no network, and leaves the results beside them; without
it the results are there already. Exit 0: all is right, 1: there are faults. `gpubook.book.answers`
says how an answer is judged.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gpubook.book.answers import Grades, judge
from gpubook.errors import BookError, UsageError, exit_code

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
LIMITS = [
    "--network=none", "--read-only", "--tmpfs=/tmp:exec,size=1g", "--cap-drop=ALL",
    "--security-opt=no-new-privileges", "--memory=6g", "--memory-swap=6g", "--cpus=2",
    "--pids-limit=2048", "--shm-size=1g", "--log-driver=none",
]  # fmt: skip
"""What a learner's notebooks get, and no more; a seat has the same."""
# The book is the image's own: nothing of a learner's but the notebooks is run or read.
RUN = "cp -r /book /tmp && cp /notebooks/*.ipynb /tmp/book/notebooks && cd /tmp/book && \
rm -rf _build && ln -s /out _build && GPUBOOK_ROOT=/tmp/book exec gpubook run --force"
BLANK = (
    "None  # your code instead; its last line is your answer. !gpubook check says if it is right"
)


def run(folder: Path, image: str, pages: Sequence[str]) -> None:
    """Execute a learner's notebooks in a container. What fails has no result, which is a fault."""
    for name in ("results", "executed", "artifacts", "failed"):
        if (folder / name).exists():
            raise UsageError(f"{folder / name} is there already: grade without --image, or move it")
    mounts = [f"--volume={folder.resolve()}/notebooks:/notebooks:ro"]
    mounts += [f"--volume={folder.resolve()}:/out"]
    user = f"--user={os.getuid()}:{os.getgid()}"
    command = ["docker", "run", "--rm", *LIMITS, user, *mounts, image]
    done = subprocess.run(
        [*command, "sh", "-c", f"{RUN} {' '.join(pages)}"], capture_output=True, text=True,
        errors="replace", check=False,
    )  # fmt: skip
    if done.returncode in (125, 126, 127):  # docker's own: no container ran
        raise BookError(done.stderr.strip().splitlines()[-1])


def run_all(class_folder: Path, image: str, pages: Sequence[str], jobs: int) -> None:
    """Execute the notebooks of all learners, ``jobs`` at once."""
    folders = [path.parent for path in sorted(class_folder.glob("*/notebooks"))]
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(lambda folder: run(folder, image, pages), folders))


def grade(class_folder: Path, pages: Sequence[str], junit: Path | None = None) -> Grades:
    """Judge every answer of a class. UsageError when there is nobody in it."""
    if not class_folder.is_dir():
        raise UsageError(f"{class_folder}: there is no such folder")
    folders = {path.name: path for path in sorted(class_folder.iterdir()) if path.is_dir()}
    if not folders:
        raise UsageError(f"{class_folder}: no learner's folder is in there")
    return judge(ROOT, Grades(folders, pages), junit)


def board(grades: Grades) -> str:
    """A row for each learner, a column for each page: answers that are right, of how many."""
    head = ["learner", *(page[:2] for page in grades.pages), "all"]
    rows = [head]
    for learner in grades.folders:
        of_page = [grades.judged.get((learner, page)) for page in grades.pages]
        marks = [f"{sum(one.values())}/{len(one)}" if one is not None else "-" for one in of_page]
        given = [mark for one in of_page if one for mark in one.values()]
        rows.append([learner, *marks, f"{sum(given)}/{len(given)}"])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def edition(folder: Path) -> None:
    """Write the notebooks with each solution left for the learner. UsageError where some are."""
    if folder.exists():
        raise UsageError(f"{folder} is there already: name a new folder")
    folder.mkdir(parents=True)
    for page in PAGES:
        notebook = json.loads((ROOT / "notebooks" / f"{page}.ipynb").read_text(encoding="utf-8"))
        for cell in notebook["cells"]:
            magic, _, _ = "".join(cell["source"]).partition("\n")
            if magic.startswith("%%solution"):
                cell["source"] = [f"{magic}\n", BLANK]
                cell["metadata"] = {}
        text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
        (folder / f"{page}.ipynb").write_text(text, encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Grade as the command line says. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="the class, or where the edition goes")
    parser.add_argument("page", nargs="*", choices=[[], *PAGES], help="(all pages)")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="pytest's report, a case a test")
    parser.add_argument("--image", help="the book's image, to run the learners' notebooks with")
    parser.add_argument("-j", dest="jobs", type=int, default=2, help="learners at once (2)")
    parser.add_argument("--edition", action="store_true", help="write notebooks without solutions")
    args = parser.parse_args(argv)
    if args.edition:
        edition(args.folder)
        return 0
    pages = args.page or PAGES
    if args.image:
        run_all(args.folder, args.image, pages, args.jobs)
    grades = grade(args.folder, pages, args.junit)
    print(board(grades))
    for fault in sorted(grades.faults):
        print(fault)
    if grades.replayed:
        which = ", ".join(f"{page[:2]}-{exercise}" for page, exercise in sorted(grades.replayed))
        print(f"not judged, for a recording took its place: exercises {which}")
    return 1 if grades.faults else 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(exit_code("grade", main))
