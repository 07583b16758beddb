"""Recipes as points of error against time, both logarithmic, with the Pareto front."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 720.0, 430.0
LEFT, RIGHT, TOP, BOTTOM = 66.0, 24.0, 18.0, 52.0
LETTER, LINE = 6.6, 14.0  # of the plot's 12 px type, about


@dataclass(frozen=True)
class Point:
    """A recipe: its name, seconds of training, error (a share above 0), and figures in words."""

    name: str
    seconds: float
    error: float
    words: str


def pareto_front(points: Sequence[Point]) -> list[Point]:
    """The points that no other one is both as fast and as right as, fastest first."""
    front: list[Point] = []
    for point in sorted(points, key=lambda point: (point.seconds, point.error)):
        if not front or point.error < front[-1].error:
            front.append(point)
    return front


@dataclass(frozen=True)
class _Scale:
    """A logarithmic axis from `low` to `high`, drawn from `start` to `end` pixels."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def around(cls, values: Sequence[float], start: float, end: float) -> "_Scale":
        """An axis with room to breathe about all values."""
        return cls(min(values) / 1.6, max(values) * 1.6, start, end)

    def __call__(self, value: float) -> float:
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> Iterator[float]:
        """The values 1, 2 and 5 times a power of ten that lie on the axis."""
        for power in range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1):
            for factor in (1, 2, 5):
                if self.low <= (value := factor * 10.0**power) <= self.high:
                    yield value


def plot(points: Sequence[Point]) -> str:
    """An SVG of the points; each can be hovered or focused for its words. No script needed."""
    across = _Scale.around([point.seconds for point in points], LEFT, WIDTH - RIGHT)
    down = _Scale.around([point.error for point in points], HEIGHT - BOTTOM, TOP)
    front = pareto_front(points)
    names = ", ".join(point.name for point in front)
    parts = [
        f'<svg class="plot" viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="group"'
        ' aria-labelledby="plot-title plot-desc">',
        '<title id="plot-title">Out-of-fold error against seconds of training</title>',
        '<desc id="plot-desc">Both axes are logarithmic; lower and further left is better.'
        f" On the Pareto front: {escape(names)}. The table below holds the same figures.</desc>",
        *_axes(across, down),
        _front(front, across, down),
        *_points(points, front, across, down),
        "</svg>",
    ]
    return "\n".join(parts)


def _axes(across: _Scale, down: _Scale) -> Iterator[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for value in across.ticks():
        x = across(value)
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom}"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{value:,.12g}</text>'
    for value in down.ticks():
        y = down(value)
        yield f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{100 * value:.4g} %</text>'
    yield f'<line class="axis" x1="{LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>'
    yield (
        f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 10}" text-anchor="middle">'
        "seconds of training, summed over members</text>"
    )
    yield f'<text x="4" y="{TOP - 5}">out-of-fold error</text>'


def _front(front: Sequence[Point], across: _Scale, down: _Scale) -> str:
    """A stair: between two points of the front, the faster one is the best there is."""
    steps = [f"M{across(front[0].seconds):.1f} {down(front[0].error):.1f}"]
    for point in front[1:]:
        steps.append(f"H{across(point.seconds):.1f}V{down(point.error):.1f}")
    return f'<path class="line s0 front" d="{"".join(steps)}H{WIDTH - RIGHT}"/>'


def _points(
    points: Sequence[Point], front: Sequence[Point], across: _Scale, down: _Scale
) -> Iterator[str]:
    places = [(across(point.seconds), down(point.error)) for point in points]
    taken = [(x - 7, y - 7, x + 7, y + 7) for x, y in places]
    taken += _stair([(across(point.seconds), down(point.error)) for point in front])
    for point, (x, y) in zip(points, places, strict=True):
        anchor, label_x, label_y, box = _label(len(point.name) * LETTER, x, y, taken)
        taken.append(box)
        colour = "s0" if point in front else "s7"
        yield (
            f'<g class="point {colour}" tabindex="0" role="img" aria-label="{escape(point.words)}">'
            f"<title>{escape(point.words)}</title>"
            f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="6"/>'
            f'<text x="{label_x:.1f}" y="{label_y:.1f}" text-anchor="{anchor}">'
            f"{escape(point.name)}</text></g>"
        )


Box = tuple[float, float, float, float]  # left, top, right, bottom


def _stair(corners: Sequence[tuple[float, float]]) -> list[Box]:
    """The boxes that the front's lines fill, step by step."""
    ends = [*corners[1:], (WIDTH - RIGHT, corners[-1][1])]
    boxes = []
    for (x, y), (next_x, next_y) in zip(corners, ends, strict=True):
        boxes += [(x, y - 1, next_x, y + 1), (next_x - 1, y, next_x + 1, next_y)]
    return boxes


def _label(width: float, x: float, y: float, taken: Sequence[Box]) -> tuple[str, float, float, Box]:
    """Where a label of that width stands beside its point: the first place that is free."""
    choices = [
        ("start", x + 10, y + 4, x + 10),
        ("start", x + 4, y + 20, x + 4),
        ("end", x - 10, y + 4, x - 10 - width),
        ("middle", x, y + 21, x - width / 2),
        ("middle", x, y - 12, x - width / 2),
        ("end", x - 4, y + 20, x - 4 - width),
        ("start", x + 8, y - 10, x + 8),
    ]
    placed = [
        (anchor, at, base, (left, base - LINE + 3, left + width, base + 3))
        for anchor, at, base, left in choices
    ]
    return next((place for place in placed if _is_free(place[3], taken)), placed[0])


def _is_free(box: Box, taken: Sequence[Box]) -> bool:
    left, top, right, bottom = box
    if left < LEFT or right > WIDTH or top < 0 or bottom > HEIGHT - BOTTOM:
        return False
    return all(right < a or left > c or bottom < b or top > d for a, b, c, d in taken)
