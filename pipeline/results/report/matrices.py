"""The matrices of a report as plotly figures in plain JSON: classes by evaluations, and confusions."""

from __future__ import annotations

from pipeline.results.report.figures import COLORBAR, DENSE, FEW_CLASSES, MARGIN, TICKS, Lines, Plain, figure, text


def class_matrix(evaluations: dict[str, Lines]) -> Plain:
    """IoU of each class (a column) in each evaluation (a row), lines of class and iou; a cell is empty without one."""
    names = list(dict.fromkeys(line["class"] for lines in evaluations.values() for line in lines))
    ious = [{line["class"]: round(float(line["iou"]), 2) for line in lines} for lines in evaluations.values()]
    few = len(names) <= FEW_CLASSES
    trace = {
        "type": "heatmap",
        "x": [text(name) for name in names],
        "y": [text(title) for title in evaluations],
        "z": [[of.get(name) for name in names] for of in ious],
        "zmin": 0,
        "zmax": 100,
        "xgap": 1,
        "ygap": 1,
        "hoverongaps": False,
        "colorbar": COLORBAR,
        "hovertemplate": "%{x}: %{z:.1f}<extra>%{y}</extra>",
    } | ({"texttemplate": "%{z:.0f}"} if few else {})
    layout = {
        "xaxis": TICKS | {"side": "top", "tickangle": 0 if few else -90} | ({} if few else DENSE),
        "yaxis": TICKS | {"autorange": "reversed", "tickmode": "linear", "tickfont": {"size": 11}},
        "margin": MARGIN | {"t": 32},
        "height": 90 + 18 * len(evaluations),
        "meta": "even",  # the page's colours at even steps
    }
    return figure([trace], layout)


def confusion_map(lines: Lines) -> Plain:
    """Share of each true class's pixels by predicted class, in percent; lines as evaluate writes them."""
    actual, predicted = (list(dict.fromkeys(line[key] for line in lines)) for key in ("actual", "predicted"))
    share = {(line["actual"], line["predicted"]): float(line["percent_of_actual"]) for line in lines}
    if not any(share.get((name, predicted[-1])) for name in actual):
        predicted = predicted[:-1]  # "unlabelled", which only masks with an ignore band have
    rows = [[round(share[name, other], 2) for other in predicted] for name in actual]
    few = len(actual) <= FEW_CLASSES
    trace = {
        "type": "heatmap",
        "x": [text(name) for name in predicted],
        "y": [text(name) for name in actual],
        "z": rows,
        "zmin": 0,
        "zmax": 100,
        "xgap": 1 if few else 0,
        "ygap": 1 if few else 0,
        "colorbar": COLORBAR,
        "hovertemplate": "%{y} labelled %{x}: %{z:.1f} %<extra></extra>",
    } | ({"texttemplate": "%{z:.0f}"} if few else {})
    dense = {} if few else DENSE
    layout = {
        "xaxis": TICKS | dense | {"title": {"text": "predicted"}, "tickangle": -45 if few else -90},
        "yaxis": TICKS | dense | {"title": {"text": "actual"}, "autorange": "reversed"},
        "margin": MARGIN | {"t": 32},
        "height": 400 if few else 140 + 13 * len(actual),
    }
    return figure([trace], layout)
