"""Drawing surface of the report: layouts, colours, and SVG that is the same for the same data.

Figures are drawn in the colours of a light page. A figure in the page carries CSS variables in
their place (`--fig-ink` and so on), so that one drawing serves light and dark pages; a figure in a
file keeps the colours and has a white background.
"""

import io
import re
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.textpath import TextToPath

INK = "#1f2328"
MUTED = "#656d76"
GRID = "#dde2e8"
PAPER = "#ffffff"
SERIES = ("#0072b2", "#d55e00", "#009e73", "#b5579b", "#3f9fdc", "#c48700", "#7a6a5a", "#5b5fc7")
"""Okabe and Ito's colours that stand out on white, two of them darkened, and two more; neighbours
differ in lightness too, and figures never tell series apart by colour alone."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")

VARIABLES = {
    INK: "--fig-ink",
    MUTED: "--fig-muted",
    GRID: "--fig-grid",
    PAPER: "--fig-paper",
    **{colour: f"--fig-{number}" for number, colour in enumerate(SERIES, start=1)},
}

_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}
_STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.family": "DejaVu Sans",
    "pdf.fonttype": 42,  # outlines that publishers accept; Type 3 they do not
    "grid.color": GRID,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text: sharp, searchable, in the font of the page
    "svg.hashsalt": "moeplace",
    "text.color": INK,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
}


@dataclass(frozen=True, slots=True)
class Layout:
    """Size of a drawing: a wide one for screens and paper, a narrow one for telephones.

    Parameters
    ----------
    name
        Short name, part of the identifiers inside the drawing.
    width
        Width of the drawing, points.
    font
        Size of the text, points.
    label_letters
        Longer names are cut to this many letters.
    """

    name: str
    width: float
    font: float
    label_letters: int


WIDE = Layout("wide", width=760, font=10, label_letters=34)
NARROW = Layout("narrow", width=330, font=9.5, label_letters=20)


@dataclass(frozen=True, slots=True)
class Drawing:
    """A finished figure.

    Parameters
    ----------
    name
        Name of its file, without suffix.
    title
        What is seen in it, one sentence.
    caption
        How to read it.
    wide, narrow
        SVG elements for the page, without title.
    file
        A whole SVG document with the title.
    paper
        The same as PDF, without the title: captions of papers say it.
    """

    name: str
    title: str
    caption: str
    wide: str
    narrow: str
    file: str
    paper: bytes


@contextmanager
def drawing_style(layout: Layout) -> Iterator[None]:
    """Apply the style of all figures."""
    sizes = {"font.size": layout.font, "legend.fontsize": layout.font}
    for name in ("axes.labelsize", "xtick.labelsize", "ytick.labelsize"):
        sizes[name] = layout.font
    with mpl.rc_context({**_STYLE, **sizes}), warnings.catch_warnings():
        # A name may hold any script; the browser has the letters that our font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


class Canvas:
    """A figure with one plot, margins in points, an optional title above and room below.

    Parameters
    ----------
    layout
        Size of the drawing.
    height
        Height of the plot itself, points.
    left, right, bottom
        Margins around the plot, points; `bottom` holds ticks, axis label and legend.
    above
        Room between title and plot, points.
    title
        Sentence above the plot; empty for none.
    """

    def __init__(
        self,
        layout: Layout,
        *,
        height: float,
        left: float,
        right: float,
        bottom: float,
        above: float = 0,
        title: str = "",
    ) -> None:
        self.layout = layout
        letters = int(layout.width / (0.6 * (layout.font + 2)))
        lines = textwrap.wrap(title, letters) if title else []
        line_height = 1.4 * (layout.font + 2)
        top = 10 + above + (len(lines) * line_height + 8 if lines else 0)
        total = top + height + bottom
        self.figure = Figure(figsize=(layout.width / 72, total / 72), dpi=72, facecolor=PAPER)
        self.canvas = FigureCanvasSVG(self.figure)
        self.axes: Axes = self.figure.add_axes(
            (
                left / layout.width,
                bottom / total,
                (layout.width - left - right) / layout.width,
                height / total,
            )
        )
        self.axes.tick_params(length=3, width=0.8)
        self.plot_width = layout.width - left - right
        self.plot_height = height
        self._left = left
        for number, line in enumerate(lines):
            self.figure.text(
                8 / layout.width,
                1 - (8 + number * line_height) / total,
                line,
                fontsize=layout.font + 2,
                fontweight="bold",
                va="top",
            )

    def note_above(self, text: str) -> None:
        """Put the label of the upright axis over it, where it can be read without turning."""
        position = (-self._left + 8) / self.plot_width
        self.axes.text(
            position,
            1 + 0.7 * self.layout.font / self.plot_height,
            text,
            transform=self.axes.transAxes,
            va="bottom",
        )

    def add_legend(self, handles: Sequence[Line2D], *, below: float) -> None:
        """Put a legend under the plot, `below` points lower, centred on the drawing."""
        if handles:
            centre = (self.layout.width / 2 - self._left) / self.plot_width
            self.axes.legend(
                handles=list(handles),
                loc="upper center",
                bbox_to_anchor=(centre, -below / self.plot_height),
                ncols=legend_columns(self.layout, [str(h.get_label()) for h in handles]),
                handletextpad=0.3,
                columnspacing=1.2,
                borderpad=0,
                borderaxespad=0,
            )

    def svg(self, *, transparent: bool) -> str:
        """Return the drawing as an SVG document."""
        self.figure.patch.set_visible(not transparent)
        self.axes.patch.set_visible(False)
        buffer = io.StringIO()
        self.canvas.print_svg(buffer, metadata=_NO_METADATA)
        # Trailing blanks of matplotlib's path data carry nothing and trouble version control.
        return re.sub(r"[ \t]+$", "", buffer.getvalue(), flags=re.MULTILINE)

    def pdf(self) -> bytes:
        """Return the drawing as a PDF document, the same bytes for the same drawing."""
        self.figure.patch.set_visible(False)
        self.axes.patch.set_visible(False)
        buffer = io.BytesIO()
        metadata = {"CreationDate": None, "Creator": None, "Producer": None}
        FigureCanvasPdf(self.figure).print_pdf(buffer, metadata=metadata)
        return buffer.getvalue()


def render(name: str, title: str, caption: str, draw: Callable[[Layout, str], Canvas]) -> Drawing:
    """Draw a figure for wide and narrow pages, and with its title for a file.

    Parameters
    ----------
    name, title, caption
        See :class:`Drawing`.
    draw
        Draws for a layout, with a title or without one (empty).
    """
    inline = {}
    for layout in (WIDE, NARROW):
        with drawing_style(layout):
            canvas = draw(layout, "")
            document = canvas.svg(transparent=True)
            if layout is WIDE:
                paper = canvas.pdf()
        inline[layout.name] = inline_svg(document, f"{name}-{layout.name}", title)
    with drawing_style(WIDE):
        file = draw(WIDE, title).svg(transparent=False)
    return Drawing(
        name=name,
        title=title,
        caption=caption,
        wide=inline["wide"],
        narrow=inline["narrow"],
        file=file,
        paper=paper,
    )


def legend_columns(layout: Layout, labels: Sequence[str]) -> int:
    """Return how many legend entries of equal width fit side by side."""
    widest = max(text_width(label, layout.font) for label in labels)
    return max(1, min(len(labels), int((layout.width - 16) / (widest + 3.6 * layout.font))))


def legend_height(layout: Layout, labels: Sequence[str]) -> float:
    """Return the height of a legend with these labels, points."""
    if not labels:
        return 0
    rows = -(-len(labels) // legend_columns(layout, labels))
    return rows * 1.6 * layout.font


def text_width(text: str, size: float) -> float:
    """Return the width of a text in points, in the font that the layout is measured with."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        properties = FontProperties(family="DejaVu Sans", size=size)
        width, _, _ = TextToPath().get_text_width_height_descent(text, properties, ismath=False)
    return float(width)


def spread(wanted: Sequence[float], distance: float, height: float) -> list[float]:
    """Move ascending positions apart to a least distance, within 0..height where they fit.

    >>> spread([1.0, 1.0, 9.0], 2.0, 10.0)
    [0.0, 2.0, 9.0]
    """
    blocks: list[tuple[float, int]] = []  # (centre, positions in it)
    for position in wanted:
        centre, count = position, 1
        while True:
            reach = (count - 1) * distance / 2
            centre = min(max(centre, reach), max(reach, height - reach))
            if not blocks:
                break
            before, members = blocks[-1]
            if before + (members - 1) * distance / 2 + distance <= centre - reach + 1e-9:
                break
            centre = (before * members + centre * count) / (members + count)
            count += members
            blocks.pop()
        blocks.append((centre, count))
    return [
        centre + (number - (count - 1) / 2) * distance
        for centre, count in blocks
        for number in range(count)
    ]


def shorten(text: str, letters: int) -> str:
    """Cut a name to so many letters; an ellipsis shows that something is missing.

    >>> shorten("successive-dp", 20), shorten("successive-dp", 8)
    ('successive-dp', 'success…')
    """
    return text if len(text) <= letters else text[: letters - 1] + "…"


def inline_svg(document: str, identifier: str, description: str) -> str:
    """Make an SVG document fit for a page: no header, page colours, identifiers of its own.

    Parameters
    ----------
    document
        SVG as matplotlib writes it.
    identifier
        Prefix of all identifiers inside; two drawings of a page must not share one.
    description
        What a screen reader says.
    """
    svg = document[document.index("<svg") :].strip()
    svg = re.sub(r"<defs>\s*<style[^>]*>[^<]*</style>\s*</defs>", "", svg)  # would style the page
    svg = re.sub(r'<g id="[^"]*"(/?)>', r"<g\1>", svg)  # nothing refers to groups
    svg = re.sub(r' transform="rotate\(-0 [^"]*"', "", svg)
    svg = svg.replace(" font-family: 'DejaVu Sans';", "")
    svg = re.sub(r'\b(id="|xlink:href="#|url\(#)', rf"\1{identifier}-", svg)
    for colour, variable in VARIABLES.items():
        svg = re.sub(rf"\b(fill|stroke): {colour}\b", rf"\1: var({variable})", svg)
    head, body = svg.split(">", 1)
    head = re.sub(r' (width|height|version)="[^"]*"', "", head)
    label = f'role="img" aria-label="{_attribute(description)}"'
    return f'{head} {label} stroke-linejoin="round">{body}'


def _attribute(text: str) -> str:
    for letter, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(letter, entity)
    return text
