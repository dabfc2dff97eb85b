"""The picture that a chat or a forum shows beside a link to the book, drawn here."""

from __future__ import annotations

from pathlib import Path

WIDTH, HEIGHT = 1200, 630
"""Pixels: the size that the Open Graph's users crop least."""


def draw(path: Path, *, title: str) -> None:
    """Draw the picture into ``path`` (PNG)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyBboxPatch

    figure = Figure(figsize=(WIDTH / 100, HEIGHT / 100), dpi=100, facecolor="#0d1117")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(0, HEIGHT))
    axes.axis("off")

    def box(x: float, y: float, size: float, name: str, colour: str, fill: str) -> None:
        style = f"round,pad=0,rounding_size={size / 16}"
        patch = FancyBboxPatch((x, y), size, size, style, ec=colour, fc=fill, lw=4)
        axes.add_patch(patch)
        axes.text(x + size / 2, y + size - 30, name, color=colour, size=17, ha="center", va="top")

    box(690, 95, 440, "machine", "#8b949e", "#161b22")
    box(750, 115, 320, "container", "#79c0ff", "#14283d")
    for n in range(6):
        for near, far in ((802, 828), (992, 1018)):
            axes.plot([near, far], [164 + 24 * n] * 2, color="#a8d45f", lw=5)
    box(830, 145, 160, "GPU", "#a8d45f", "#1e2b10")
    axes.text(70, 400, title, color="#ffffff", size=44, weight="bold", va="center")
    for line, text in enumerate(
        ("An executable book.", "Live where it can, recorded", "where it must.")
    ):
        axes.text(72, 300 - 48 * line, text, color="#c9d1d9", size=26, va="center")
    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure).print_png(path, metadata={"Software": None})
