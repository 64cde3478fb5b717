# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false
# matplotlib's types are incomplete.
"""The plots of a report as SVG text; equal figures give equal text."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import matplotlib as mpl

mpl.use('Agg')
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from .generator import GAIN_KEV
from .measures import ROC_POINTS

_STYLE: Any = {'svg.hashsalt': 'millrace', 'svg.fonttype': 'none', 'font.size': 9}


GROUP = 4
"""Channels that a point of an explanation stands for; more points would only make the file larger."""


def _grouped(values: list[float]) -> list[float]:
    return [sum(values[start : start + GROUP]) for start in range(0, len(values), GROUP)]


def _svg(width: float, height: float, draw: Callable[[Figure], None]) -> str:
    with mpl.rc_context(_STYLE):
        figure = plt.figure(figsize=(width, height), layout='constrained')
        draw(figure)
        buffer = io.StringIO()
        figure.savefig(buffer, format='svg', metadata={'Date': None, 'Creator': None})
        plt.close(figure)
    text = buffer.getvalue()
    return text[text.index('<svg') :]


def history(epochs: list[dict[str, float]]) -> str:
    """Loss, accuracy and learning rate over the epochs."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots(1, 3)
        numbers = range(1, len(epochs) + 1)
        for axis, names in zip(axes, (('loss', 'valLoss'), ('accuracy', 'valAccuracy')), strict=False):
            for name, label in zip(names, ('training, augmented', 'validation'), strict=True):
                axis.plot(numbers, [epoch[name] for epoch in epochs], label=label)
            axis.set(xlabel='epoch', title=names[0])
            axis.legend()
        axes[2].plot(numbers, [epoch['learningRate'] for epoch in epochs])
        axes[2].set(xlabel='epoch', title='learning rate')

    return _svg(11, 3, draw)


def confusion(matrix: list[list[int]], classes: list[str]) -> str:
    """The confusion matrix with its counts."""

    def draw(figure: Figure) -> None:
        axis = figure.subplots()
        shares = [[count / max(sum(row), 1) for count in row] for row in matrix]
        axis.imshow(shares, cmap='Blues', vmin=0, vmax=1)
        for row, counts in enumerate(matrix):
            for column, count in enumerate(counts):
                if count:
                    colour = 'white' if shares[row][column] > 0.5 else 'black'
                    axis.text(column, row, str(count), ha='center', va='center', color=colour, size=7)
        axis.set_xticks(range(len(classes)), classes, rotation=60)
        axis.set_yticks(range(len(classes)), classes)
        axis.set(xlabel='said', ylabel='true', title='Confusion')

    return _svg(7, 6.5, draw)


def calibration_and_roc(evaluation: dict[str, Any]) -> str:
    """The reliability diagram beside the ROC curve of every class."""

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        bins = evaluation['calibration']['bins']
        left.plot([0, 1], [0, 1], color='grey', linewidth=0.8)
        left.plot([entry['confidence'] for entry in bins], [entry['accuracy'] for entry in bins], 'o-')
        left.set(xlabel='confidence', ylabel='accuracy', title='Reliability', xlim=(0, 1), ylim=(0, 1))
        rates = [point / (ROC_POINTS - 1) for point in range(ROC_POINTS)]
        for name, entry in evaluation['byClass'].items():
            if 'roc' in entry:
                label = f'{name} {entry["roc"]["area"]:.3f}'
                right.plot(rates, entry['roc']['truePositiveRates'], label=label, linewidth=0.9)
        right.set(xlabel='false positive rate', ylabel='true positive rate', title='ROC', xlim=(0, 1))
        right.legend(fontsize=6, ncols=2)

    return _svg(10, 4, draw)


def explanations(explained: dict[str, Any]) -> str:
    """For each class its mean spectrum, and over it what the channels say: red for it, blue against it."""

    def draw(figure: Figure) -> None:
        rows = -(-len(explained) // 3)
        axes = figure.subplots(rows, 3, squeeze=False).flat
        for axis, (name, entry) in zip(axes, explained.items(), strict=False):
            values, spectrum = _grouped(entry['values']), _grouped(entry['spectrum'])
            energies = [(group + 0.5) * GROUP * GAIN_KEV for group in range(len(values))]
            axis.plot(energies, [count + 1 for count in spectrum], color='black', linewidth=0.5)
            beside = axis.twinx()
            for sign, colour in ((1, 'tab:red'), (-1, 'tab:blue')):
                heights = [max(sign * value, 0.0) for value in values]
                beside.fill_between(energies, heights, color=colour, alpha=0.5, linewidth=0)
            beside.set_yticks([])
            axis.set(title=name, yscale='log', xlabel='keV')

    return _svg(11, 2.1 * -(-len(explained) // 3), draw)
