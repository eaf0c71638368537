"""What all figures of a report share: the only file that imports plotly.

Colours of text, grids and paper are the page's, which knows whether it is dark; traces take the page's colour cycle.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Plain = dict[str, Any]
Lines = list[dict[str, str]]

FEW_CLASSES = 12
"""Up to so many classes the bars stand and the cells of a matrix have their numbers."""
LEGEND = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "xanchor": "left", "font": {"size": 11}}
COLORBAR = {
    "ticksuffix": " %", "thickness": 12, "outlinewidth": 0, "lenmode": "pixels", "len": 250, "y": 1, "yanchor": "top",
}  # fmt: skip
TICKS = {"automargin": True, "ticks": "", "showgrid": False, "type": "category"}
DENSE = {"tickmode": "linear", "tickfont": {"size": 10}}
MARGIN = {"l": 8, "r": 8, "t": 8, "b": 8}


def plotly_js() -> str:
    """The library for the page."""
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def height(traces: Sequence[Plain], beside: int) -> int:
    """Of a chart whose legend has so many names side by side, so that the legend takes nothing from the lines."""
    return 280 + 19 * -(-len(traces) // beside)


def figure(traces: Sequence[Plain], layout: Plain) -> Plain:
    """The figure as JSON values, every name and value of it checked by plotly."""
    import plotly.graph_objects as go

    plain = go.Figure(data=list(traces), layout=layout, skip_invalid=False).to_plotly_json()
    plain["layout"].pop("template", None)  # the page's own
    return dict(plain)


def text(name: str) -> str:
    """Plotly takes some tags in texts for markup: a name has none."""
    return name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
