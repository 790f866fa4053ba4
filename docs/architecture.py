"""Draw the picture of the architecture: ``python docs/architecture.py`` writes ``docs/architecture.svg``.

Needs nothing but Python. Change the drawing here, run it, and commit both files; a test compares them.
"""  # noqa: INP001 - a script beside the pages, not a package

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 1120, 590

INK, FAINT = "#1f2933", "#52606d"
HTTP, STARTS, DATA, SLOT, LIFE = "#1f2933", "#7b8794", "#1d6fb8", "#2b8a3e", "#d6336c"

HEAD = f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"
     font-family="DejaVu Sans, Verdana, Helvetica, Arial, sans-serif" font-size="13" role="img"
     aria-labelledby="title">
<title id="title">Clients, Gunicorn's workers, their pool processes, and the CPU slots they share</title>
<rect width="{WIDTH}" height="{HEIGHT}" rx="10" fill="#ffffff"/>"""


def text(x: float, y: float, words: str, *, colour: str = INK, size: int = 13, bold: bool = False) -> str:
    """Centre a line of text on ``x``."""
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:g}" y="{y:g}" text-anchor="middle" fill="{colour}" font-size="{size}"{weight}>'
        f"{escape(words)}</text>"
    )


def box(
    x: float, y: float, w: float, h: float, *lines: str, fill: str = "#ffffff", dashed: bool = False
) -> str:
    """Draw a box; its first line is its name, the others say what it does."""
    dashes = ' stroke-dasharray="5 4"' if dashed else ""
    shape = f'x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" rx="6"'
    parts = [f'<rect {shape} fill="{fill}" stroke="{FAINT}"{dashes}/>']
    top = y + h / 2 - 8 * (len(lines) - 1) + 4.5
    for i, line in enumerate(lines):
        parts.append(
            text(x + w / 2, top + 16 * i, line, bold=not i, size=11 if i else 13, colour=FAINT if i else INK)
        )
    return "\n".join(parts)


def arrow(colour: str, *points: tuple[float, float], dotted: bool = False, both: bool = False) -> str:
    """Draw a line through the points, with a head at its end, or at both ends."""
    dots = ' stroke-dasharray="2 4" stroke-linecap="round"' if dotted else ""
    path = " ".join(f"{x:g},{y:g}" for x, y in points)
    heads = [_head(colour, points[-2], points[-1])]
    if both:
        heads.append(_head(colour, points[1], points[0]))
    line = f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dots}/>'
    return "\n".join([line, *heads])


def _head(colour: str, start: tuple[float, float], tip: tuple[float, float]) -> str:
    """Draw the head of an arrow that runs along one of the axes."""
    (x, y), (along, across) = tip, (8, 4.5)
    dx, dy = _sign(x - start[0]), _sign(y - start[1])
    left = (x - along * dx + across * dy, y - along * dy + across * dx)
    right = (x - along * dx - across * dy, y - along * dy - across * dx)
    points = " ".join(f"{px:g},{py:g}" for px, py in (tip, left, right))
    return f'<polygon points="{points}" fill="{colour}"/>'


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def worker(
    x: float, number: int, threads: list[tuple[str, ...]], processes: list[tuple[str, ...]]
) -> Iterator[str]:
    """Draw one Gunicorn worker with its pool: a thread and a process of each column belong together."""
    yield box(x, 130, 400, 130, fill="#eef4fa")
    yield text(x + 200, 156, f"Gunicorn worker {number}: Flask, one thread a request", bold=True)
    yield box(x, 340, 282, 90, fill="#f3f8f2")
    for i, (thread, process) in enumerate(zip(threads, processes, strict=True)):
        left, middle = x + 9 + 90 * i, x + 51 + 90 * i
        yield box(left, 180, 84, 60, *thread, dashed="waits in line" in thread)
        yield box(left, 355, 84, 60, *process, dashed="idle" in process)
        if "idle" not in process:
            yield arrow(DATA, (middle, 242), (middle, 353), both=True)
        if "cpu=1" in process:
            yield arrow(SLOT, (middle, 417), (middle, 500))
    yield box(x + 300, 340, 100, 90, "fork server", "has imported", "the tasks")
    yield arrow(STARTS, (x + 340, 260), (x + 340, 338))
    yield arrow(LIFE, (x + 360, 260), (x + 360, 338), dotted=True)
    yield arrow(LIFE, (x + 186, 260), (x + 186, 338), dotted=True)
    yield arrow(STARTS, (x + 300, 385), (x + 284, 385))


def middle() -> Iterator[str]:
    """Draw the client on top, and what starts the workers between them."""
    yield box(450, 20, 220, 50, "client", "curl, a browser, your program", fill="#fff8e6")
    yield arrow(HTTP, (450, 45), (220, 45), (220, 128))
    yield arrow(HTTP, (670, 45), (900, 45), (900, 128))
    yield text(335, 37, "HTTP", size=11)
    yield text(785, 37, "HTTP", size=11)
    yield box(465, 100, 190, 46, "serve", "starts it, passes signals on")
    yield arrow(STARTS, (550, 146), (550, 198))
    yield arrow(LIFE, (570, 146), (570, 198), dotted=True)
    yield box(465, 200, 190, 46, "Gunicorn master", "replaces dead workers")
    for edge, tip in ((465, 422), (655, 698)):
        yield arrow(STARTS, (edge, 214), (tip, 214))
        yield arrow(LIFE, (edge, 232), (tip, 232), dotted=True)


def legend() -> Iterator[str]:
    """Say what the lines mean."""
    rows = [
        (DATA, False, True, "pipes and shared memory"),
        (LIFE, True, False, "lifeline: dies with its owner"),
        (STARTS, False, False, "starts"),
        (SLOT, False, False, "holds a CPU slot"),
    ]
    for i, (colour, dotted, both, words) in enumerate(rows):
        y = 318 + 30 * i
        yield arrow(colour, (442, y), (482, y), dotted=dotted, both=both)
        yield f'<text x="492" y="{y + 4}" fill="{INK}" font-size="12">{escape(words)}</text>'


def slots() -> Iterator[str]:
    """Draw the CPU slots below the processes that hold them."""
    yield box(20, 490, 1080, 80, fill="#f3f8f2")
    for number, x in enumerate((71, 161, 751, 841), 1):
        yield box(x - 42, 502, 84, 34, f"slot {number}", fill="#d3f0d8")
    yield text(456, 517, "CPU slots of the whole service", bold=True)
    yield text(456, 534, "as many calls compute at once as there are CPUs", colour=FAINT, size=11)
    how = "each is a kernel lock on a byte of one file: free again when its holder dies, however that happens"
    yield text(560, 558, how, colour=FAINT, size=11)


def picture() -> str:
    """Return the drawing as SVG."""
    request, computes = ("request",), ("process", "runs a task", "cpu=1")
    first = worker(
        20, 1, [request, request, ("request", "waits in line")], [computes, computes, ("process", "idle")]
    )
    second = worker(
        700, 2, [request, request, request], [computes, computes, ("process", "runs a task", "cpu=0")]
    )
    return "\n".join([HEAD, *slots(), *first, *second, *middle(), *legend(), "</svg>", ""])


if __name__ == "__main__":
    Path(__file__).with_suffix(".svg").write_text(picture(), encoding="utf-8")
