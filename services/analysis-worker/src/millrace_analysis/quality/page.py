# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# Arrow, h5py and fsspec come without types.
"""The quality report as a page that needs nothing else: no script, no address, every text escaped."""

from __future__ import annotations

from html import escape
from typing import Any

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1b1f24}
table{border-collapse:collapse;width:100%;margin:.5rem 0 1.5rem}
th,td{border-bottom:1px solid #d5dae0;padding:.3rem .6rem;text-align:left;vertical-align:top}
td.n{text-align:right;font-variant-numeric:tabular-nums}
.reject{color:#b00020}.drop{color:#9a5b00}.warn{color:#5b6570}
.bar{background:#3d6fb4;height:.7rem;display:block}details{font-size:13px}
"""
_HEADS = ('column', 'type', 'missing', 'minimum', 'maximum', 'mean', 'deviation')


def build_page(report: dict[str, Any]) -> str:
    """The report as HTML."""
    rows = report['rows']
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Quality report</title>',
        f'<style>{_STYLE}</style></head><body><h1>Quality report: {escape(report["verdict"])}</h1>',
        f'<p>{rows["read"]:,} rows read, {rows["dropped"]:,} dropped, {rows["kept"]:,} kept.</p>',
        '<h2>Findings</h2>',
        _findings(report['findings']),
        '<h2>Classes</h2>' + _classes(report['classes']) if report['classes'] else '',
        '<h2>Columns</h2>',
        _columns(report['columns']),
        '</body></html>\n',
    ]
    return '\n'.join(part for part in parts if part)


def _findings(findings: list[dict[str, Any]]) -> str:
    if not findings:
        return '<p>Nothing was found.</p>'
    lines = [
        '<table><tr><th>check</th><th>column</th><th>action</th><th>count</th><th>what and where</th></tr>'
    ]
    for one in findings:
        where = ''.join(
            f'<li>{escape(row["file"])}, row {row["row"]}'
            f'{": " + escape(str(row["value"])) if "value" in row else ""}</li>'
            for row in one['rows']
        )
        listed = f'<details><summary>{len(one["rows"])} rows listed</summary><ul>{where}</ul></details>'
        lines.append(
            f'<tr><td>{escape(one["check"])}</td><td>{escape(one["column"] or "")}</td>'
            f'<td class="{escape(one["action"])}">{escape(one["action"])}</td>'
            f'<td class="n">{one["count"]:,}</td>'
            f'<td>{escape(one["message"])}{listed if where else ""}</td></tr>'
        )
    return '\n'.join([*lines, '</table>'])


def _classes(classes: dict[str, int]) -> str:
    most = max(classes.values()) or 1
    lines = ['<table>']
    for name, count in classes.items():
        bar = f'<span class="bar" style="width:{100 * count / most:.1f}%"></span>'
        lines.append(
            f'<tr><td>{escape(name)}</td><td class="n">{count:,}</td><td width="60%">{bar}</td></tr>'
        )
    return '\n'.join([*lines, '</table>'])


def _columns(columns: list[dict[str, Any]]) -> str:
    heads = ''.join(f'<th>{head}</th>' for head in _HEADS)
    lines = [f'<table><tr>{heads}</tr>']
    for column in columns:
        kind = f'{column["type"]}[{column["size"]}]' if 'size' in column else column['type']
        cells = [
            f'<td>{escape(column["name"])}</td><td>{escape(kind)}</td>'
            f'<td class="n">{column["missing"]:,}</td>'
        ]
        for name in _HEADS[3:]:
            value = column.get(name, column.get(f'sum{name.capitalize()}'))
            cells.append(f'<td class="n">{"" if value is None else format(value, ".6g")}</td>')
        lines.append(f'<tr>{"".join(cells)}</tr>')
    return '\n'.join([*lines, '</table>'])
