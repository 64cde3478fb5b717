"""Trains on a dataset of the dataset API and uploads the int8 model; `--help` has the arguments and exit
codes.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / 'services' / 'training-worker' / 'src'))

from millrace_factory import cli
from millrace_training import runtime

if __name__ == '__main__':
    runtime.reexec_if_needed()
    sys.exit(cli.main())
