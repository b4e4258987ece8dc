"""Draw the figures of docs/how_it_works.md: python .ci/figures.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from pathlib import Path

OUT = Path(__file__).resolve().parents[1] / "docs" / "figures"
FONT = "Inter, Helvetica Neue, Helvetica, Arial, DejaVu Sans, sans-serif"
PAPER, INK, GREY = "#fbfcfd", "#1f2933", "#5b6875"
BLUE, PURPLE, GREEN, RED, PALE = "#2f6fb2", "#8a4f9e", "#1b8a86", "#b3403a", "#e6ebf0"


@dataclass
class Figure:
    """Shapes, in the order in which they are drawn."""

    title: str
    width: int
    height: int
    shapes: list[str] = field(default_factory=list)

    def box(self, x: int, y: int, width: int, height: int, text: str, color: str = BLUE) -> None:
        """Draw a box with one line of text for each line of ``text``."""
        place = f'x="{x}" y="{y}" width="{width}" height="{height}" rx="7"'
        self.shapes.append(f'<rect {place} fill="#fff" stroke="{color}" stroke-width="1.8"/>')
        lines = text.split("\n")
        top = y + height / 2 - 9 * (len(lines) - 1) + 5
        for number, line in enumerate(lines):
            self.text(x + width // 2, int(top + 18 * number), line, anchor="middle")

    def bar(self, x: int, y: int, width: int, text: str, color: str) -> None:
        """Draw a filled bar, with its text in white."""
        place = f'x="{x}" y="{y}" width="{width}" height="24" rx="4"'
        self.shapes.append(f'<rect {place} fill="{color}"/>')
        self.text(x + width // 2, y + 17, text, "#fff", "middle", 12)

    def text(
        self, x: int, y: int, text: str, color: str = INK, anchor: str = "start", size: int = 13
    ) -> None:
        """Write a line."""
        style = f'font-size="{size}" fill="{color}" text-anchor="{anchor}"'
        self.shapes.append(f'<text x="{x}" y="{y}" {style}>{escape(text)}</text>')

    def arrow(self, x: int, y: int, to_x: int, to_y: int, color: str = GREY) -> None:
        """Draw an arrow."""
        line = f'x1="{x}" y1="{y}" x2="{to_x}" y2="{to_y}" stroke="{color}" stroke-width="1.8"'
        self.shapes.append(f'<line {line} marker-end="url(#tip)"/>')

    def line(self, points: list[tuple[int, int]], color: str) -> None:
        """Draw a line through points."""
        path = " ".join(f"{x},{y}" for x, y in points)
        style = f'fill="none" stroke="{color}" stroke-width="2.2"'
        self.shapes.append(f'<polyline points="{path}" {style}/>')

    def write(self, name: str) -> None:
        """Write the file."""
        view = f'viewBox="0 0 {self.width} {self.height}"'
        size = f'width="{self.width}" height="{self.height}"'
        tip = (
            '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" '
            f'markerHeight="7" orient="auto"><path d="M0 1 L9 5 L0 9 Z" fill="{GREY}"/>'
            "</marker></defs>"
        )
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" {view} {size} font-family="{FONT}"'
            ' role="img" aria-labelledby="title">',
            f'<title id="title">{escape(self.title)}</title>{tip}',
            f'<rect width="{self.width}" height="{self.height}" rx="12" fill="{PAPER}"/>',
            *self.shapes,
            "</svg>\n",
        ]
        (OUT / name).write_text("\n".join(lines), encoding="utf-8")


def lanes() -> None:
    """Draw time on two lanes, beside one worker group for each trial."""
    figure = Figure("A lane stays up; a worker group of its own starts for every trial", 760, 250)
    figure.text(20, 28, "a worker group for each trial")
    for start, number in ((20, 0), (380, 1)):
        figure.bar(start, 42, 250, "processes, imports, base: 13 s", GREY)
        figure.bar(start + 254, 42, 90, f"trial {number}", BLUE)
    figure.text(20, 112, "lanes")
    for lane, y in enumerate((126, 160)):
        figure.bar(20, y, 250, f"lane {lane} comes up", GREY)
        for trial in range(5):
            figure.bar(274 + 92 * trial, y, 88, f"trial {2 * trial + lane}", BLUE)
    figure.arrow(20, 214, 740, 214)
    figure.text(740, 236, "time", GREY, "end")
    figure.write("lanes.svg")


def seats() -> None:
    """Draw what a seat holds, and what a trial brings."""
    figure = Figure("A seat is compiled once; a trial brings only values", 760, 250)
    figure.box(20, 70, 170, 110, "trial 7\nrank 16, rate 3e-4\ndropout 0.05", PURPLE)
    figure.arrow(192, 125, 258, 125)
    figure.text(225, 112, "values", GREY, "middle", 12)
    figure.box(260, 40, 240, 170, "", BLUE)
    figure.text(380, 32, "a seat: one compiled model", INK, "middle")
    figure.box(276, 56, 208, 40, "rows of one shape", GREY)
    figure.box(276, 104, 208, 40, "ranks padded to 16, 64, 256", GREY)
    figure.box(276, 152, 208, 44, "one CUDA graph:\nforward and backward", GREEN)
    figure.arrow(502, 125, 568, 125)
    figure.text(535, 112, "gradient", GREY, "middle", 12)
    figure.box(570, 70, 170, 110, "one flat tensor:\nclip, look, update", PURPLE)
    figure.text(380, 236, "the next trial of the kind compiles nothing", GREY, "middle")
    figure.write("seats.svg")


def search() -> None:
    """Draw learning curves that end where others are better."""
    figure = Figure("After each validation a trial goes on if it is among the best", 760, 280)
    left, bottom = 60, 230
    figure.arrow(left, bottom, 740, bottom)
    figure.arrow(left, bottom, left, 24)
    figure.text(740, 252, "steps", GREY, "end")
    figure.text(70, 34, "validation loss", GREY)
    for x, name in ((140, "grace"), (270, "rung 2"), (430, "rung 3"), (680, "end")):
        figure.line([(x, bottom), (x, 50)], PALE)
        figure.text(x, 252, name, GREY, "middle", 12)
    figure.line([(60, 60), (140, 150), (270, 180), (430, 200), (680, 212)], GREEN)
    figure.line([(60, 60), (140, 140), (270, 172), (430, 186)], BLUE)
    figure.line([(60, 60), (140, 146), (205, 160)], BLUE)
    for y in (120, 104, 84, 74):
        figure.line([(60, 60), (140, y)], RED)
    figure.text(690, 216, "best", GREEN)
    figure.text(440, 182, "stopped at a rung", BLUE)
    figure.text(212, 150, "stopped between", BLUE)
    figure.text(150, 86, "most end at the grace", RED)
    figure.write("search.svg")


def objective() -> None:
    """Draw which state conditions which latent."""
    figure = Figure("Each latent is conditioned on the state before it", 760, 260)
    names = ("text", "begin", "latent 1", "latent 2", "latent 3", "end")
    for number, name in enumerate(names):
        x = 24 + 122 * number
        figure.box(x, 150, 102, 40, name, PURPLE if "latent" in name else GREY)
        figure.box(x, 80, 102, 34, "state", BLUE)
        figure.arrow(x + 51, 150, x + 51, 116)
    for number in range(1, 4):
        x = 24 + 122 * number
        figure.arrow(x + 70, 80, x + 160, 46)
        figure.text(x + 173, 40, f"latent {number}", GREEN, "middle")
    figure.text(660, 40, "stop", RED, "middle")
    figure.arrow(560, 80, 640, 46)
    figure.text(24, 220, "Right: the state before latent 2 has not seen it.", GREEN)
    leak = "A leak: the state above latent 2 has; its loss is lower, its speech far worse."
    figure.text(24, 242, leak, RED)
    figure.write("objective.svg")


def encode_once() -> None:
    """Draw where the encoders run."""
    figure = Figure("Encoders run before the first trial and never again", 760, 200)
    figure.box(20, 70, 120, 60, "recordings", GREY)
    figure.arrow(142, 100, 178, 100)
    figure.box(180, 60, 170, 80, "encoders\nonce, on all devices", PURPLE)
    figure.arrow(352, 100, 388, 100)
    figure.box(390, 60, 150, 80, "shards: latents,\nfeatures, tokens", BLUE)
    for number, y in enumerate((24, 80, 136)):
        figure.arrow(542, 100, 606, y + 20)
        figure.box(608, y, 132, 40, f"trial {number}", GREEN)
    figure.text(265, 168, "688 M parameters that no trial loads", GREY, "middle")
    figure.write("encode_once.svg")


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    for draw in (lanes, seats, search, objective, encode_once):
        draw()
