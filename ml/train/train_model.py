"""`python train_model.py --epochs 5 --samples 500`: the recipe without the platform, in the training
environment.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / 'services' / 'training-worker' / 'src'))

from millrace_training import cli, runtime

if __name__ == '__main__':
    runtime.reexec_if_needed()
    sys.exit(cli.main(['train', *sys.argv[1:]]))
