"""``{gpubook-chooser}``: which driver runs which image on which card, asked of the doctor's table.

Every answer is worked out here, when the page is made, by `gpubook.doctor.compat.fit`; the page's
script only looks it up. Without a script the tables of ``{gpubook-compat}`` stand alone.
"""

from __future__ import annotations

import json

from sphinx.application import Sphinx

from gpubook.book.directives import add_directive, fill, with_script
from gpubook.doctor import compat
from gpubook.doctor.compat import Fit, Wheel
from gpubook.matmul import peaks

_OPEN = {
    "only": "The card runs with NVIDIA's open kernel modules only.",
    "no": "NVIDIA's open kernel modules do not drive this card: install the closed ones.",
    "yes": "",
}


def cards() -> dict[str, str]:
    """Cards to choose from: name to compute capability. Named ones first, then generations."""
    named = {peak.name: peak.capability for peak in peaks.table()}
    others = {f"another {g.name} card": g.capability for g in compat.table().generations}
    return named | others


def images() -> dict[str, tuple[str, str, Wheel | None]]:
    """Images to choose from: label to CUDA version, PyTorch release and its build."""
    labels: dict[str, tuple[str, str, Wheel | None]] = {
        f"CUDA {row.major}, no PyTorch": (f"{row.major}.0", "", None) for row in compat.table().cuda
    }
    for torch in reversed(compat.releases()):
        for machine in ("x86_64", "aarch64"):
            for wheel in compat.offered(torch, machine):
                labels[f"PyTorch {torch}, CUDA {wheel.cuda}, {machine}"] = (
                    wheel.cuda,
                    torch,
                    wheel,
                )
    return labels


def drivers(fit: Fit) -> str:
    """The driver branches that serve, in words."""
    name, last = fit.generation.name, fit.generation.last_cuda
    if not fit.libraries:
        return (
            f"The compiler and libraries of this CUDA have no code for {name} cards; "
            f"CUDA {last} was the last that had."
        )
    if fit.last is not None:
        return f"Drivers from {fit.first} to {fit.last} serve image and card."
    if not fit.generation.first:
        return f"Any driver from {fit.first} on serves the image, if it is no older than the card."
    return f"Any driver from {fit.first} on serves image and card."


def code(fit: Fit, capability: str) -> str:
    """Whether PyTorch has code for the card, in words."""
    if fit.code is None:
        return "Whether the program has code for this card, its makers must say."
    if fit.code:
        return f"This PyTorch has code for compute capability {capability}."
    if not fit.instead:
        return (
            f"This PyTorch has no code for compute capability {capability}, and no other build of "
            "the release in the table has: take another release."
        )
    builds = ", ".join(f"{wheel.cuda} ({compat.index_of(wheel)})" for wheel in fit.instead)
    return (
        f"This PyTorch has no code for compute capability {capability}. Builds of the same release "
        f"that have it: CUDA {builds}."
    )


def answer(capability: str, cuda: str, torch: str, wheel: Wheel | None) -> dict:
    """What the page says of a card and an image: a verdict, the drivers, and the rest."""
    fit = compat.fit(capability, cuda, wheel=wheel, torch=torch)
    if fit is None:
        return {"verdict": "Not known", "drivers": "The table lacks this pair.", "rest": ""}
    good = fit.possible and fit.code is not False
    verdict = "Runs" if good and fit.code else "Can run" if good else "Does not run"
    rest = f" {code(fit, capability)} {_OPEN[fit.generation.open]}".rstrip()
    if wheel is None and not fit.libraries:
        rest = ""
    return {
        "verdict": verdict,
        "drivers": drivers(fit),
        "rest": rest,
        "first": fit.first,
        "last": fit.last,
    }


def data() -> dict:
    """All answers: the cards' capabilities, the images, and an answer for each pair of both."""
    pairs = {
        capability: [answer(capability, *image) for image in images().values()]
        for capability in sorted(set(cards().values()))
    }
    texts = list(dict.fromkeys(json.dumps(a) for row in pairs.values() for a in row))
    place = {text: n for n, text in enumerate(texts)}
    return {
        "cards": cards(),
        "images": list(images()),
        "answers": [json.loads(text) for text in texts],
        "pairs": {c: [place[json.dumps(a)] for a in row] for c, row in pairs.items()},
    }


def markup() -> str:
    """The form, hidden until its script takes it, with data, style and script."""
    given = data()
    newest = next(label for label, image in images().items() if image[1])
    named = [f"{name} ({capability})" for name, capability in given["cards"].items()]
    shown = {"cards": named, "card": "H100 SXM", "images": given["images"], "image": newest}
    return fill("chooser", **shown) + with_script("chooser", given)


def setup(app: Sphinx) -> None:
    """Register with Sphinx."""
    add_directive(app, "gpubook-chooser", lambda _root: markup())
