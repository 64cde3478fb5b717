"""`python generate_metrics.py --model facial_verification`, in the training environment: measures a trained model
again and writes its `weights/metrics.json`.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / 'services' / 'training-worker' / 'src'))

from millrace_training import runtime
from millrace_training.veid.command import metrics_main

if __name__ == '__main__':
    runtime.reexec_if_needed()
    sys.exit(metrics_main())
