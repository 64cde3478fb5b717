"""What MLflow's own client sees on a Millrace registry; prints one JSON object. Arguments: tracking URI, folder."""

import hashlib
import json
import math
import os
import sys
import threading
from pathlib import Path

import mlflow
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow_start import MAJOR, connect, refusal, tell

URI, FOLDER, BIG_BYTES = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
IS_3 = MAJOR >= 3
client = connect(URI)
seen: dict = {"version": mlflow.__version__}


def digest(path):
    sha256 = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            sha256.update(chunk)
    return sha256.hexdigest()


def experiments():
    name = f"pictures {mlflow.__version__}"
    made = mlflow.set_experiment(name)
    again = mlflow.set_experiment(name)
    client.set_experiment_tag(made.experiment_id, "team", "eyes")
    other = client.create_experiment(f"{name} other", tags={"team": "ears"})
    client.rename_experiment(other, f"{name} renamed")
    client.delete_experiment(other)
    found = [e.name for e in client.search_experiments(filter_string="tags.team = 'eyes' AND name LIKE '%" + mlflow.__version__ + "'")]
    deleted = [e.name for e in client.search_experiments(view_type=ViewType.DELETED_ONLY, order_by=["name"])]
    refused = refusal(lambda: client.create_run(other))
    client.restore_experiment(other)
    seen["experiments"] = {
        "same": made.experiment_id == again.experiment_id,
        "location": made.artifact_location == f"mlflow-artifacts:/{made.experiment_id}",
        "tag": client.get_experiment(made.experiment_id).tags["team"],
        "found": found == [name],
        "deleted": deleted == [f"{name} renamed"],
        "refused": refused,
        "restored": client.get_experiment(other).lifecycle_stage,
        "taken": refusal(lambda: client.create_experiment(name)),
        "missing": refusal(lambda: client.get_experiment("999999")),
        "byName": client.get_experiment_by_name("nobody") is None,
    }
    return made.experiment_id


def runs(experiment):
    with mlflow.start_run(run_name="parent") as parent:
        mlflow.log_params({"lr": 0.1, "layers": [1, 2]})
        mlflow.set_tag("stage", "first")
        for step in range(5):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
        mlflow.log_metrics({"nan": math.nan, "inf": math.inf, "-inf": -math.inf, "tiny": 5e-324}, step=1)
        with mlflow.start_run(nested=True, run_name="child") as child:
            mlflow.log_param("depth", 3)
            conflict = refusal(lambda: mlflow.log_param("depth", 4))
            mlflow.log_param("depth", 3)
    got = client.get_run(parent.info.run_id)
    metrics = got.data.metrics
    children = client.search_runs([experiment], f"tags.mlflow.parentRunId = '{parent.info.run_id}'")
    client.delete_run(child.info.run_id)
    active = [r.info.run_id for r in client.search_runs([experiment])]
    gone = client.search_runs([experiment], run_view_type=ViewType.DELETED_ONLY)
    unwritable = refusal(lambda: client.log_metric(child.info.run_id, "m", 1.0))
    client.restore_run(child.info.run_id)
    client.log_metric(child.info.run_id, "m", 1.0)
    client.set_tag(parent.info.run_id, "mlflow.runName", "renamed")
    client.delete_tag(parent.info.run_id, "stage")
    renamed = client.get_run(parent.info.run_id)
    seen["runs"] = {
        "status": got.info.status,
        "ended": got.info.end_time >= got.info.start_time,
        "params": got.data.params,
        "loss": metrics["loss"],
        "nan": math.isnan(metrics["nan"]),
        "infinities": [metrics["inf"] == math.inf, metrics["-inf"] == -math.inf],
        "tiny": metrics["tiny"] == 5e-324,
        "history": [[m.step, m.value] for m in client.get_metric_history(parent.info.run_id, "loss")],
        "children": [r.info.run_name for r in children],
        "conflict": conflict[:100],
        "deleted": child.info.run_id not in active and [r.info.run_id for r in gone] == [child.info.run_id],
        "unwritable": unwritable,
        "renamed": renamed.info.run_name,
        "stage": "stage" in renamed.data.tags,
    }


def batches(experiment):
    run = client.create_run(experiment)
    run_id = run.info.run_id
    metrics = [Metric(f"m{i % 10}", float(i), 1_000 + i, i) for i in range(1_000)]
    client.log_batch(run_id, metrics=metrics)
    params = [Param(f"p{i}", "x" * 6_000) for i in range(100)]
    client.log_batch(run_id, params=params)
    client.log_batch(run_id, tags=[RunTag(f"t{i}", "ü" * 5_000) for i in range(100)])
    got = client.get_run(run_id)
    client.log_batch(run_id, metrics=[Metric("over", 1.0, 1, i) for i in range(1_001)])
    threads = [
        threading.Thread(target=lambda n=n: [client.log_metric(run_id, "many", n * 50 + i, step=n * 50 + i) for i in range(50)])
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    history = client.get_metric_history(run_id, "many")
    client.set_terminated(run_id)
    seen["batches"] = {
        "metrics": {key: got.data.metrics[key] for key in ("m0", "m9")},
        "params": [len(got.data.params), len(got.data.params["p99"])],
        "tags": [sum(key.startswith("t") for key in got.data.tags), len(got.data.tags["t99"])],
        "over": len(client.get_metric_history(run_id, "over")),
        "many": sorted(m.value for m in history) == [float(i) for i in range(400)],
        "latest": client.get_run(run_id).data.metrics["many"],
    }


def artifacts(experiment):
    run_id = client.create_run(experiment).info.run_id
    tree = FOLDER / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "empty.txt").touch()
    (tree / "a" / "größe ✓ 100%.txt").write_text("eins")
    (tree / "a" / "b" / "deep.bin").write_bytes(bytes(range(256)))
    client.log_artifacts(run_id, str(tree), "out")
    client.log_text(run_id, "# text", "notes.md")
    client.log_text(run_id, "# other text", "notes.md")
    client.log_dict(run_id, {"a": [1, 2]}, "deep/er/x.json")
    big = FOLDER / "big.bin"
    block = os.urandom(1 << 20)
    with open(big, "wb") as file:
        for i in range(BIG_BYTES >> 20):
            file.write(i.to_bytes(4, "big") + block[4:])
    client.log_artifact(run_id, str(big))
    down = Path(client.download_artifacts(run_id, "", str(FOLDER)))
    files = sorted(str(p.relative_to(down)) for p in down.rglob("*") if p.is_file())
    listing = lambda path=None: [[f.path, f.is_dir, f.file_size] for f in client.list_artifacts(run_id, path)]  # noqa: E731
    seen["artifacts"] = {
        "files": [f for f in files if not f.startswith(("tree", "big"))],
        "root": listing(),
        "a": listing("out/a"),
        "file": listing("notes.md"),
        "text": mlflow.artifacts.load_text(f"runs:/{run_id}/notes.md"),
        "dict": mlflow.artifacts.load_dict(f"runs:/{run_id}/deep/er/x.json"),
        "big": digest(down / "big.bin") == digest(big),
        "missing": refusal(lambda: client.download_artifacts(run_id, "none.txt", str(FOLDER)))[:40],
    }


def autolog(experiment):
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    mlflow.sklearn.autolog(log_datasets=IS_3)
    features = np.random.default_rng(1).normal(size=(200, 3))
    labels = (features.sum(axis=1) > 0).astype(int)
    with mlflow.start_run(run_name="auto") as run:
        model = LogisticRegression(C=0.5).fit(features, labels)
    mlflow.sklearn.autolog(disable=True)
    got = client.get_run(run.info.run_id)
    loaded = mlflow.sklearn.load_model(f"runs:/{run.info.run_id}/model")
    with mlflow.start_run() as other:
        kind = {"name": "hand"} if IS_3 else {"artifact_path": "hand"}
        made = mlflow.sklearn.log_model(model, **kind, pip_requirements=["scikit-learn"])
        again = mlflow.pyfunc.load_model(made.model_uri)
    seen["autolog"] = {
        "C": got.data.params["C"],
        "accuracy": got.data.metrics["training_accuracy_score"] > 0.9,
        "tags": got.data.tags.get("estimator_name"),
        "same": bool((loaded.predict(features) == model.predict(features)).all()),
        "pyfunc": bool((again.predict(features) == model.predict(features)).all()),
    }
    if not IS_3:
        history = json.loads(client.get_run(other.info.run_id).data.tags["mlflow.log-model.history"])
        seen["autolog"]["history"] = [entry["artifact_path"] for entry in history]
        return
    logged = client.get_logged_model(made.model_id)
    client.set_logged_model_tags(made.model_id, {"who": "me", "gone": "1"})
    client.delete_logged_model_tag(made.model_id, "gone")
    client.log_metric(other.info.run_id, "score", 0.75, model_id=made.model_id)
    found = client.search_logged_models([experiment], filter_string="metrics.score > 0.5 AND tags.who = 'me'")
    by_name = client.search_logged_models([experiment], filter_string="name = 'hand'", order_by=[{"field_name": "metrics.score"}])
    inputs = got.inputs.dataset_inputs
    seen["models"] = {
        "status": str(logged.status),
        "source": logged.source_run_id == other.info.run_id,
        "tags": found[0].tags.get("who") if found else None,
        "gone": "gone" in found[0].tags if found else None,
        "found": [m.model_id for m in found] == [made.model_id] == [m.model_id for m in by_name],
        "metric": [[m.key, m.value] for m in found[0].metrics] if found else None,
        "outputs": [o.model_id for o in client.get_run(other.info.run_id).outputs.model_outputs] == [made.model_id],
        "datasets": [[i.dataset.source_type, i.tags[0].value] for i in inputs],
        "byContext": [r.info.run_id for r in client.search_runs([experiment], "datasets.context = 'train'")] == [run.info.run_id],
    }
    client.delete_logged_model(made.model_id)
    seen["models"]["deleted"] = refusal(lambda: client.get_logged_model(made.model_id))[:23]


experiment_id = experiments()
runs(experiment_id)
batches(experiment_id)
artifacts(experiment_id)
autolog(experiment_id)
tell(seen)
