import json
import subprocess
import sys

SCRIPT = """
import json, re, sys
import numpy as np
from millrace_worker.memory import release_program_code

def resident():
    text = open('/proc/self/smaps_rollup').read()
    return int(re.search(r'^Pss_File:\\s+(\\d+) kB', text, re.M).group(1)) * 1024

np.linalg.svd(np.eye(64))
before = resident()
released = release_program_code()
after = resident()
again = float(np.linalg.svd(np.eye(64))[1].sum())
print(json.dumps({'before': before, 'after': after, 'released': released, 'again': again}))
"""


def test_code_pages_are_given_back_and_the_code_still_runs() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    seen = json.loads(done.stdout)
    assert seen["after"] < seen["before"] * 0.8
    assert seen["released"] > 0
    assert seen["again"] == 64.0
