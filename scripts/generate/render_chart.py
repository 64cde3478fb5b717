"""Renders the Helm chart by Helm's own engine: `render_chart.py CHART`, requests as JSON on stdin, answers on stdout.

A request is `{"name", "namespace", "values"}`; the answer to each is an object of template paths and their YAML texts, or
`{"error": text}` where the values are refused. With `{"lint": true}` the answer is a list of findings.
"""

import json
import sys
from typing import Any

import helm_python as helm


def render(chart: Any, request: dict[str, Any]) -> dict[str, Any]:
    """One set of values; what Helm refuses becomes its own words."""
    try:
        chart.validate_schema(request["values"])
        return chart.render(request["values"], name=request["name"], namespace=request["namespace"])
    except helm.HelmError as error:
        return {"error": str(error)}


def main() -> None:
    """Answer all requests in their order."""
    folder = sys.argv[1]
    requests: list[dict[str, Any]] = json.load(sys.stdin)
    with helm.Chart.load(folder) as chart:
        answers = [helm.lint(folder) if request.get("lint") else render(chart, request) for request in requests]
    json.dump(answers, sys.stdout, default=vars)


if __name__ == "__main__":
    main()
