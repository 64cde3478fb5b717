"""Where data come from; each source brings its files to local disk, within the bounds."""

from __future__ import annotations

from pathlib import Path

from millrace_worker.contracts.models import (
    BucketSource,
    FolderSource,
    HttpSource,
    SourceIngestSpec,
    UploadSource,
)

from millrace_analysis.operator_file import OperatorFile
from millrace_analysis.staging import StagedFile, Staging

from . import bucket, folder, http, hugging_face, upload


def fetch(
    spec: SourceIngestSpec, input_dir: Path, staging: Staging, operator: OperatorFile
) -> list[StagedFile]:
    """Brings the files of the spec's source here; raises IngestError."""
    match spec.source:
        case UploadSource():
            upload.fetch(spec.files, input_dir, staging)
        case FolderSource() as source:
            folder.fetch(source, staging, operator)
        case BucketSource() as source:
            bucket.fetch(source, spec.tenant, staging, operator)
        case HttpSource() as source:
            http.fetch(source, staging, operator)
        case source:
            hugging_face.fetch(source, spec.tenant, staging, operator)
    return staging.finish()
