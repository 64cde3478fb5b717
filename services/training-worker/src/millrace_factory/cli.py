"""`train_and_upload.py`: from a dataset behind the API to a model for devices behind the same API, in one
command.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from pathlib import Path

from millrace_training import runtime
from millrace_training.errors import Stopped
from millrace_training.events import Reporter
from millrace_training.progress import Console
from millrace_training.recipes.base import json_params

from .api import DatasetApi
from .config import read_config
from .errors import ExitCode, FactoryError
from .pipeline import run_all
from .run_folder import Progress, new_run, unfinished_run

log = logging.getLogger('millrace_factory')
_FORMAT = '%(asctime)s %(levelname)s %(message)s'


class _Parser(argparse.ArgumentParser):
    """Ends with the documented code for wrong usage."""

    def error(self, message: str) -> None:  # type: ignore[override]
        self.print_usage(sys.stderr)
        self.exit(ExitCode.USAGE, f'{self.prog}: {message}\n')


def _parser() -> argparse.ArgumentParser:
    codes = '\n'.join(f'  {code.value:>3}  {code.name.lower().replace("_", " ")}' for code in ExitCode)
    parser = _Parser(
        prog='train_and_upload.py',
        description='Trains on a dataset of the API and uploads the int8 model. '
        'A run that was cut off is gone on with by the same command.',
        epilog=f'exit codes:\n{codes}',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--dataset-id', required=True, help='id or name of the dataset')
    parser.add_argument('--config', required=True, type=Path, help='YAML file')
    parser.add_argument('--api-base', required=True, help='such as https://host')
    parser.add_argument('--token', required=True, help='API key with data:read and models:write')
    parser.add_argument('--runs-dir', type=Path, default=Path('runs'), help='folder of runs (default ./runs)')
    parser.add_argument(
        '--log-level', default='INFO', choices=('DEBUG', 'INFO', 'WARNING', 'ERROR'), help='default INFO'
    )
    parser.add_argument('--fresh', action='store_true', help='begin anew instead of going on with a run')
    return parser


def _log_to(file: Path, level: str) -> None:
    log.setLevel(level)
    # TensorFlow puts a handler of its own at the root, and every line would come twice.
    log.propagate = False
    log.handlers.clear()
    for handler in (logging.StreamHandler(sys.stderr), logging.FileHandler(file, encoding='utf-8')):
        handler.setFormatter(logging.Formatter(_FORMAT))
        log.addHandler(handler)


def _run(options: argparse.Namespace) -> None:
    params = read_config(options.config)
    api = DatasetApi(options.api_base, options.token, options.dataset_id)
    wanted = Progress(options.dataset_id, options.api_base.rstrip('/'), json_params(params))
    found = None if options.fresh else unfinished_run(options.runs_dir, wanted)
    run = found or new_run(options.runs_dir, wanted)
    _log_to(run.logs / 'run.log', options.log_level)
    log.info('%s %s', 'going on with' if found else 'new run', run.root)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stop.set())
    console = Console()
    try:
        answer = run_all(run, api, Reporter(console.emit, stop.is_set))
    except (FactoryError, Stopped) as error:
        log.error('%s', error.message if isinstance(error, FactoryError) else 'stopped')
        raise
    console.line(
        f'uploaded as {answer.get("modelId")} {answer.get("version")}: {run.output / "model.tflite"}'
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the whole; returns an ExitCode."""
    options = _parser().parse_args(arguments)
    try:
        _run(options)
    except FactoryError as error:
        print(error.message, file=sys.stderr)
        return error.exit_code
    except Stopped:
        print('stopped; the same command goes on from the last checkpoint', file=sys.stderr)
        return ExitCode.STOPPED
    return ExitCode.OK


if __name__ == '__main__':
    runtime.reexec_if_needed()
    sys.exit(main())
