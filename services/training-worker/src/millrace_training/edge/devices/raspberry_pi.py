# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false, reportMissingImports=false
"""Runner for Raspberry Pi: `python raspberry_pi.py FOLDER < rows.csv`, with `pip install ai-edge-litert
numpy`.

FOLDER holds model.tflite and meta.json. Rows are raw features as CSV with a header; columns are found by
name, so their order does not matter and others are passed over. For each row it prints `class,probability`.
"""

from __future__ import annotations

import csv
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def main(folder: Path) -> int:
    """Classify stdin; returns 0, or 1 when the files or columns are not those that belong together."""
    meta = json.loads((folder / 'meta.json').read_text('utf-8'))
    data = (folder / 'model.tflite').read_bytes()
    if hashlib.sha256(data).hexdigest() != meta['digests']['model.tflite']:
        print('model.tflite is not the file that meta.json describes', file=sys.stderr)
        return 1
    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0]['index'], interpreter.get_output_details()[0]['index']
    names, preprocessing = meta['features']['names'], meta['features']['preprocessing']
    mean = np.array(preprocessing['scaler_mean'], np.float32)
    scale = np.array(preprocessing['scaler_scale'], np.float32)
    one, other = meta['quantization']['input'], meta['quantization']['output']
    rows = csv.DictReader(sys.stdin)
    missing = [name for name in names if name not in (rows.fieldnames or [])]
    if missing:
        print(f'stdin lacks the columns {", ".join(missing)}', file=sys.stderr)
        return 1
    for row in rows:
        features = np.array([float(row[name]) for name in names], np.float32)
        steps = np.rint((features - mean) / scale / np.float32(one['scale'])) + np.float32(one['zero_point'])
        interpreter.set_tensor(source, np.clip(steps, -128, 127).astype(np.int8)[None])
        interpreter.invoke()
        output = interpreter.get_tensor(target)[0]
        best = int(output.argmax())
        probability = (int(output[best]) - other['zero_point']) * other['scale']
        print(f'{meta["labels"]["mapping"][str(best)]},{probability:.4f}')
    return 0


if __name__ == '__main__':
    if len(sys.argv) != 2:
        sys.exit('usage: python raspberry_pi.py FOLDER < rows.csv')
    sys.exit(main(Path(sys.argv[1])))
