"""`python train.py --seed 42 --export-format savedmodel`, in the training environment: fills `weights/`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / 'services' / 'training-worker' / 'src'))

from millrace_training import runtime
from millrace_training.veid.command import train_main

if __name__ == '__main__':
    runtime.reexec_if_needed()
    sys.exit(train_main('facial_verification'))
