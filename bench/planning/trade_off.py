"""The trade-off between loaded bytes and latency as a small picture."""

import math

from markupsafe import Markup

from bench.planning.moves import Moves
from bench.planning.words import ms_text, size_text

_WIDTH, _HEIGHT = 640, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 24, 30, 44
_TICKS = 5


def draw_trade_off(moves: Moves) -> Markup:
    """Draw what each number of loaded bytes gains, as SVG in the colours of the page."""
    first, last = moves.frontier[0], moves.frontier[-1]
    most_bytes = max(last.loaded_bytes, 1)
    most_gain = max(last.saving_ms - first.saving_ms, 1e-12)

    def at(loaded: float, gain: float) -> tuple[float, float]:
        x = _LEFT + (_WIDTH - _LEFT - _RIGHT) * loaded / most_bytes
        y = _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * gain / most_gain
        return round(x, 1), round(y, 1)

    parts = []
    for gain in ticks(most_gain):
        _, y = at(0.0, gain)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{gain:g}</text>')
    for loaded in ticks(most_bytes):
        x, _ = at(loaded, 0.0)
        anchor = "end" if x > _WIDTH - 2 * _RIGHT else "middle"
        label = size_text(loaded) if loaded else "0"
        parts.append(
            f'<text x="{x}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="{anchor}">{label}</text>'
        )
    points = [at(m.loaded_bytes, m.saving_ms - first.saving_ms) for m in moves.frontier]
    line = " ".join(f"{x},{y}" for x, y in points)
    parts.append(f'<polyline class="curve" points="{line}"/>')
    for index, (x, y) in enumerate(points):
        if index == moves.chosen:
            parts.append(f'<circle class="pick" cx="{x}" cy="{y}" r="8"/>')
        parts.append(f'<circle class="dot" cx="{x}" cy="{y}" r="3.5"/>')
    parts.append('<text class="axis" x="8" y="16">ms per token faster than now</text>')
    parts.append(
        f'<text class="axis" x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 8}" text-anchor="end">'
        "bytes to load</text>"
    )
    chosen = moves.move
    label = (
        f"Latency against bytes to load; the plan loads {size_text(chosen.loaded_bytes)} and is "
        f"{ms_text(math.fabs(chosen.saving_ms - first.saving_ms))} ms per token faster than now"
    )
    return Markup(
        f'<svg class="trade-off" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{label}">{"".join(parts)}</svg>'
    )


def ticks(most: float) -> list[float]:
    """Return round numbers from 0 to at most ``most``, a few of them.

    >>> ticks(3.9), ticks(4.13e9)
    ([0.0, 1.0, 2.0, 3.0], [0.0, 1000000000.0, 2000000000.0, 3000000000.0, 4000000000.0])
    """
    power = 10.0 ** math.floor(math.log10(most / _TICKS))
    step = next(
        power * factor for factor in (1, 2, 2.5, 5, 10) if most / (power * factor) <= _TICKS
    )
    return [k * step for k in range(int(most / step + 1e-9) + 1)]
