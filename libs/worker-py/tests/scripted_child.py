"""A child process that does what the parameters of its job say, so that a test decides how a job goes."""

import ctypes
import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1

step = 0
work = Path()


def emit(event: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def checkpoint(at: int) -> None:
    folder = work / f"checkpoint-{at}"
    (folder / "deep").mkdir(parents=True, exist_ok=True)
    (folder / "weights.bin").write_bytes(b"weights" * at)
    (folder / "deep" / "state.json").write_text(json.dumps({"step": at}))
    emit({"type": "checkpoint", "step": at, "dir": str(folder)})


def stop(*_: Any) -> None:
    checkpoint(step)
    emit({"type": "stopped"})
    sys.stdout.flush()
    os._exit(75)


def result(command: dict[str, Any], texts: dict[str, str]) -> None:
    out = work / "out"
    files: list[dict[str, Any]] = []
    for path, text in texts.items():
        target = out / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        data = text.encode()
        files.append({"path": path, "sha256": hashlib.sha256(data).hexdigest(), "sizeBytes": len(data)})
    seen = command.get("datasetDir") or command.get("sourceDir")
    inputs = {} if seen is None else read_all(Path(seen))
    resume = command.get("resumeDir")
    meta = {
        "inputs": inputs,
        "resumed": None if resume is None else read_all(Path(resume)),
        "environment": {k: v for k, v in os.environ.items() if k.startswith(("MILLRACE", "LD_BIND"))},
        "hashSeed": os.environ.get("PYTHONHASHSEED"),
    }
    emit({"type": "result", "outDir": str(out), "files": files, "meta": meta})


def read_all(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()}


def act(action: dict[str, Any]) -> None:
    global step
    match action["do"]:
        case "progress":
            step = action["step"]
            metrics = {"loss": 1 / (1 + step), "odd": float("nan")} if step % 2 else {"loss": None}
            emit({"type": "progress", "stage": "train", "step": step, "totalSteps": 9, "metrics": metrics})
        case "checkpoint":
            checkpoint(step)
        case "log":
            emit({"type": "log", "level": "info", "message": action["message"]})
        case "stderr":
            print(action["message"], file=sys.stderr, flush=True)
        case "noise":
            print("this is no event", flush=True)
        case "sleep":
            time.sleep(action["seconds"])
        case "write":
            Path(action["file"]).write_text(str(os.getpid()))
        case "error":
            emit({"type": "error", **{key: action[key] for key in ("code", "message")}})
            sys.exit(1)
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        case "lie":
            out = work / action["dir"]
            for file in action["files"]:
                out.mkdir(exist_ok=True)
                (out / file["path"]).write_bytes(b"other")
            emit({"type": "result", "outDir": str(out), "files": action["files"], "meta": {}})
            sys.exit(0)
        case other:
            raise AssertionError(other)


def main() -> None:
    global work
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    emit({"type": "ready", "importSeconds": 0.01, "devices": ["CPU:0"]})
    line = sys.stdin.readline()
    if not line:
        return
    command = json.loads(line)
    work = Path(command.get("workDir") or command["outDir"])
    signal.signal(signal.SIGTERM, stop)
    script = command.get("params", {"script": []})
    for action in script["script"]:
        act(action)
    result(command, script.get("files", {"model.txt": "a model", "deep/meta.json": "{}"}))


main()
