# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# Arrow, h5py and fsspec come without types.
"""An ingestion from its spec to the files of a dataset version."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from millrace_worker.contracts.models import IngestOptions, SourceIngestSpec, SplitRule
from millrace_worker.storage import digest_of

from .errors import IngestError
from .findings import Findings
from .operator_file import OperatorFile
from .quality.checks import check_classes, check_duplicates, check_rows
from .quality.leaks import check_leaks
from .quality.page import build_page
from .quality.profile import Profile, make_profile
from .quality.report import build_report, rejection
from .sources import fetch
from .splits import split_rows
from .spool import Spool, make_spool
from .staging import StagedFile, Staging
from .tables import SourceTable
from .writing import write_json, write_schema, write_splits

FORMAT = 1
SPLIT_DEFAULT = SplitRule(seed=0, validation=0.15, test=0.15)
STAGES = ('fetch', 'scan', 'read', 'profile', 'check', 'write')

Tell = Callable[[str, int], None]
"""Told the stage and how far it is, in bytes or rows; raises Stopped when the job is to end."""


@dataclass(frozen=True)
class Ingested:
    """What was made: the folder, and the figures for the version's meta."""

    folder: Path
    meta: dict[str, Any]


def run_ingest(
    spec: SourceIngestSpec, input_dir: Path, work_dir: Path, operator: OperatorFile, tell: Tell
) -> Ingested:
    """Raises IngestError; a version that the policy refuses is no error but a result with its report."""
    limits = operator.limits
    raw, scratch, out = (work_dir / name for name in ('raw', 'scratch', 'out'))
    for folder in (raw, scratch, out):
        folder.mkdir(parents=True)
    split = spec.options.split or SPLIT_DEFAULT
    if split.validation + split.test >= 1:
        raise IngestError('invalid_request', 'The shares of validation and test leave nothing to train on.')
    files = fetch(spec, input_dir, Staging(raw, limits, lambda size: tell('fetch', size)), operator)
    table = SourceTable(files, spec.options, limits, scratch)
    spool, findings = make_spool(table, spec.options, limits, scratch / 'spool.arrow', tell)
    profile = make_profile(spool, spec.options.target, lambda rows: tell('profile', rows))
    return _judge(spec.options, files, table.names, spool, findings, profile, split, out, tell)


def _judge(
    options: IngestOptions,
    files: list[StagedFile],
    names: list[str],
    spool: Spool,
    findings: Findings,
    profile: Profile,
    split: SplitRule,
    out: Path,
    tell: Tell,
) -> Ingested:
    check_rows(spool, profile, options, findings, lambda rows: tell('check', rows))
    check_duplicates(profile, findings)
    kept = findings.kept(spool.rows)
    if options.target is not None:
        check_classes(profile, options.target, kept, findings)
        check_leaks(profile, options.target, findings)
    if not kept.any():
        raise IngestError('dataset_unusable', 'The policy drops every row of the source.')
    is_rejected = bool(findings.rejections())
    verdict = 'rejected' if is_rejected else 'accepted'
    report = build_report(profile, findings, names, kept, options.target, verdict)
    write_json(out / 'quality.json', report)
    (out / 'quality.html').write_text(build_page(report))
    meta: dict[str, Any] = {'rows': report['rows'], 'findings': _counts(report)}
    if is_rejected:
        return Ingested(out, {**meta, 'rejected': rejection(findings, names)})
    assignment = split_rows(profile.digests, profile.codes, kept, split.seed, split.validation, split.test)
    counts = write_splits(spool, assignment, out, lambda rows: tell('write', rows))
    missing = {name: column.missing for name, column in profile.columns.items()}
    write_schema(spool.kinds, missing, options.target, out / 'schema.json')
    stratified = options.target if profile.codes is not None else None
    write_json(out / 'dataset.json', _description(options, files, report, split, counts, stratified))
    return Ingested(out, {**meta, 'splits': counts, 'columns': len(spool.kinds)})


def _description(
    options: IngestOptions,
    files: list[StagedFile],
    report: dict[str, Any],
    split: SplitRule,
    counts: dict[str, int],
    stratified: str | None,
) -> dict[str, Any]:
    """`dataset.json`: what the version was made of; no dates and no places."""
    sources: list[dict[str, Any]] = []
    for file in files:
        sha256, size = digest_of(file.path)
        sources.append({'name': file.name, 'sha256': sha256, 'sizeBytes': size})
    return {
        'format': FORMAT,
        'source': {'files': sources},
        'options': options.model_dump(mode='json', by_alias=True, exclude_none=True),
        'rows': report['rows'],
        'split': {
            'seed': split.seed,
            'validation': split.validation,
            'test': split.test,
            'stratifiedBy': stratified,
            'rows': counts,
        },
    }


def _counts(report: dict[str, Any]) -> dict[str, int]:
    """Findings by check, for the meta of the version: the whole report is a file."""
    counts: dict[str, int] = {}
    for finding in report['findings']:
        counts[finding['check']] = counts.get(finding['check'], 0) + finding['count']
    return counts
