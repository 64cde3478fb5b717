"""The training report: `report.json` with every figure and `report.html` with plots, one file without links.

Equal results give equal bytes: no dates, no random ids.
"""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

from millrace_training.digests import canonical_json

from . import plots

REPORT_JSON = 'report.json'
REPORT_HTML = 'report.html'
TOP_CHANNELS = 5
"""Channels that the table of explanations names for each class."""

_STYLE = (
    'body{font:15px/1.5 system-ui,sans-serif;max-width:1000px;margin:2em auto;padding:0 1em;color:#222}'
    'table{border-collapse:collapse;margin:1em 0}td,th{padding:.2em .8em;border-bottom:1px solid #ddd;'
    'text-align:right}td:first-child,th:first-child{text-align:left}svg{max-width:100%;height:auto}'
    'pre{background:#f5f5f5;padding:1em;overflow-x:auto}'
)


def _percent(value: float) -> str:
    return f'{100 * value:.1f} %'


def _table(head: list[str], rows: list[list[str]]) -> str:
    def cells(kind: str, row: list[str]) -> str:
        return '<tr>' + ''.join(f'<{kind}>{html.escape(cell)}</{kind}>' for cell in row) + '</tr>'

    return '<table>' + cells('th', head) + ''.join(cells('td', row) for row in rows) + '</table>'


def _share_row(name: str, share: dict[str, Any]) -> list[str]:
    low, high = share['interval95']
    return [name, _percent(share['accuracy']), f'{_percent(low)} to {_percent(high)}', str(share['samples'])]


def _class_row(name: str, entry: dict[str, Any]) -> list[str]:
    precision, area = entry['precision'], entry.get('roc', {}).get('area')
    return [
        *_share_row(name, entry),
        'never said' if precision is None else _percent(precision),
        '-' if area is None else f'{area:.4f}',
    ]


def top_channels(explained: dict[str, Any], gain_kev: float) -> dict[str, list[dict[str, float]]]:
    """For each class the channels that speak most for it, with their nominal energy in keV."""
    found: dict[str, list[dict[str, float]]] = {}
    for name, entry in explained.items():
        values: list[float] = entry['values']
        order = sorted(range(len(values)), key=lambda channel: (-values[channel], channel))[:TOP_CHANNELS]
        found[name] = [
            {'channel': channel, 'energyKeV': (channel + 0.5) * gain_kev, 'value': values[channel]}
            for channel in order
        ]
    return found


def _explanations(explained: dict[str, Any], tops: dict[str, list[dict[str, float]]]) -> str:
    if not explained:
        return ''
    rows = [
        [name, ', '.join(f'{entry["energyKeV"]:.0f} keV' for entry in entries)]
        for name, entries in tops.items()
    ]
    return (
        '<h2>What the net looks at</h2><p>SHAP values of the raw channels for the logit of each class '
        '(expected gradients), over its mean spectrum (black, logarithmic). Red channels speak for the '
        'class, blue ones against it. Energies are nominal.</p>'
        + plots.explanations(explained)
        + _table(['class', 'channels that speak most for it'], rows)
    )


def write(
    folder: Path, title: str, params: dict[str, Any], result: dict[str, Any], explained: dict[str, Any]
) -> None:
    """Write both files. `result` holds `history` and `evaluation`; `explained` is empty without
    explanations.
    """
    evaluation: dict[str, Any] = result['evaluation']
    tops = top_channels(explained, plots.GAIN_KEV)
    report = {
        'format': 1,
        'title': title,
        'params': params,
        'history': result['history'],
        'evaluation': evaluation,
        'explanations': {
            'method': 'shap.GradientExplainer',
            'topChannels': tops,
            'values': {name: entry['values'] for name, entry in explained.items()},
        },
    }
    (folder / REPORT_JSON).write_bytes(canonical_json(report) + b'\n')
    calibration = evaluation['calibration']['expectedError']
    figures = [
        _share_row('all', evaluation),
        *(_share_row(name.replace('_', ' and '), share) for name, share in evaluation['byCondition'].items()),
    ]
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>',
        f'<style>{_STYLE}</style><h1>{html.escape(title)}</h1>',
        f'<p>Test accuracy {_percent(evaluation["accuracy"])}, among the first three '
        f'{_percent(evaluation["top3Accuracy"])}; expected calibration error {_percent(calibration)}; '
        f'mean area under the ROC curves {evaluation["rocAreaMean"]}.</p>',
        '<h2>Accuracy</h2>',
        _table(['spectra', 'accuracy', '95 % interval', 'samples'], figures),
        '<h2>Training</h2>',
        plots.history(result['history']),
        '<h2>Classes</h2>',
        _table(
            ['class', 'recall', '95 % interval', 'samples', 'precision', 'ROC area'],
            [_class_row(name, entry) for name, entry in evaluation['byClass'].items()],
        ),
        plots.confusion(evaluation['confusion'], evaluation['classes']),
        '<h2>Calibration and ROC</h2>',
        plots.calibration_and_roc(evaluation),
        _explanations(explained, tops),
        '<h2>Parameters</h2><pre>',
        '\n'.join(f'{html.escape(name)}: {html.escape(repr(value))}' for name, value in params.items()),
        '</pre></html>\n',
    ]
    (folder / REPORT_HTML).write_text(''.join(parts), 'utf-8')
