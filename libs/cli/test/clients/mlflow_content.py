"""Fills an MLflow server (`fill URI`), or tells all that MLflow's client reads from one (`dump URI`), as JSON
in which things have their names instead of ids; `more URI` and `gap URI` go on where fill ended."""

import hashlib
import os
import sys
import tempfile
from pathlib import Path

import mlflow
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow_start import MAJOR, connect, tell

client = connect(sys.argv[2])
EXPERIMENT, OTHER, GONE = "weather", "weather / drafts", "old weather"
MODEL = "rain"
# what differs by design: where it came from, what the platform signed, who ran it
OWN_TAGS = ("imported.", "millrace.", "mlflow.source.", "mlflow.user")


def fill():
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    mlflow.set_experiment(EXPERIMENT)
    client.set_experiment_tag(client.get_experiment_by_name(EXPERIMENT).experiment_id, "team", "sky")
    rows = np.array([[0.0, 1.0], [1.0, 0.0], [0.1, 0.9], [0.9, 0.2]])
    model = LogisticRegression().fit(rows, [0, 1, 0, 1])
    with mlflow.start_run(run_name="parent") as parent:
        mlflow.log_params({"lr": 0.1, "text": "größe = 'x'", **{f"p{i}": i for i in range(150)}})
        mlflow.set_tag("stage", "first ✓")
        mlflow.log_input(mlflow.data.from_numpy(rows, name="sky"), context="training")
        run_id = parent.info.run_id
        client.log_batch(run_id, [Metric("loss", 1 / (i + 1), 1_000 + i, i) for i in range(1_000)])
        client.log_batch(run_id, [Metric("loss", 2.0, 3_000 + i, 1_000 + i) for i in range(500)])
        client.log_batch(run_id, [Metric("odd", float("nan"), 1, -3), Metric("odd", 1e-300, 2, 0)])
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "deep" / "er").mkdir(parents=True)
            # MLflow 2's own server cannot send a file of such a name: gunicorn refuses the header of it
            file = "size 100%.bin" if MAJOR == 2 else "größe ✓ 100%.bin"
            (Path(folder) / "deep" / "er" / file).write_bytes(os.urandom(300_000))
            (Path(folder) / "empty.txt").touch()
            mlflow.log_artifacts(folder, "out")
        # models as things of their own came with MLflow 3; before, they are files of their run
        named = {"artifact_path": "clf"} if MAJOR == 2 else {"name": "clf", "params": {"depth": 2}}
        first = mlflow.sklearn.log_model(model, registered_model_name=MODEL, **named)
        of_model = {} if MAJOR == 2 else {"model_id": first.model_id}
        client.log_metric(parent.info.run_id, "score", 0.75, step=2, **of_model)
        with mlflow.start_run(run_name="child", nested=True) as child:
            mlflow.log_metric("loss", 0.5)
    client.set_tag(parent.info.run_id, "best.child", "child")
    draft = client.create_experiment(OTHER, tags={"kind": "draft"})
    for name, status in (("failed", "FAILED"), ("removed", "KILLED"), ("open", None)):
        run = client.create_run(draft, run_name=name, start_time=1_700_000_000_000)
        client.log_batch(run.info.run_id, params=[Param("a", "1")], tags=[RunTag("note", name)])
        if status:
            client.set_terminated(run.info.run_id, status, 1_700_000_001_000)
        if name == "removed":
            client.delete_run(run.info.run_id)
    old = client.create_experiment(GONE)
    client.set_terminated(client.create_run(old, run_name="forgotten").info.run_id)
    client.delete_experiment(old)

    client.update_registered_model(MODEL, "Says whether it rains.")
    client.set_registered_model_tag(MODEL, "owner", "sky")
    client.update_model_version(MODEL, "1", "the first")
    client.set_model_version_tag(MODEL, "1", "checked", "yes")
    mlflow.register_model(first.model_uri, MODEL, tags={"round": "two"})
    with mlflow.start_run(run_name="plain files"):
        mlflow.log_text("not a model, but files", "notes/readme.txt")
    source = f"{mlflow.last_active_run().info.artifact_uri}/notes"
    client.create_model_version(MODEL, source, mlflow.last_active_run().info.run_id)
    client.copy_model_version(f"models:/{MODEL}/1", f"{MODEL} copy")
    client.set_registered_model_alias(MODEL, "champion", "2")
    client.set_registered_model_alias(MODEL, "notes", "3")
    client.transition_model_version_stage(MODEL, "1", "Staging")
    tell({"child": child.info.run_id, "parent": parent.info.run_id})


def more():
    """What may happen between two imports."""
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    parent = client.search_runs([experiment], "run_name = 'parent'")[0].info.run_id
    client.log_metric(parent, "loss", 3.0, 9_000, 2_000)
    client.set_tag(parent, "stage", "second")
    draft = client.get_experiment_by_name(OTHER).experiment_id
    still = client.search_runs([draft], "run_name = 'open'")[0].info.run_id
    client.log_text(still, "late", "late.txt")
    client.set_terminated(still)
    client.delete_run(client.search_runs([draft], "run_name = 'failed'")[0].info.run_id)
    client.set_registered_model_alias(MODEL, "champion", "1")
    client.set_model_version_tag(MODEL, "2", "round", "three")
    tell({})


def gap():
    """Leaves a number without a version."""
    client.delete_model_version(MODEL, "2")
    tell({})


def files(run_id, path=""):
    found = {}
    for entry in client.list_artifacts(run_id, path):
        if entry.is_dir:
            found.update(files(run_id, entry.path))
        else:
            with tempfile.TemporaryDirectory() as folder:
                local = client.download_artifacts(run_id, entry.path, folder)
                digest = hashlib.sha256(Path(local).read_bytes()).hexdigest()
                found[entry.path] = [entry.file_size or 0, digest]
    return found


def dump():
    import numpy as np

    experiments = client.search_experiments(ViewType.ALL)
    ids = [e.experiment_id for e in experiments]
    runs = [r for i in ids for r in client.search_runs([i], run_view_type=ViewType.ALL)]
    experiment_of = {e.experiment_id: e.name for e in experiments}
    name_of = {r.info.run_id: r.info.run_name for r in runs}
    models = {} if MAJOR == 2 else {m.model_id: m for m in client.search_logged_models(ids)}

    def with_names(value):
        for run_id, name in name_of.items():
            value = value.replace(run_id, name)
        return value

    def tags(pairs):
        return {k: with_names(v) for k, v in pairs.items() if not k.startswith(OWN_TAGS)}

    def history(run_id, key):
        return [[m.step, m.timestamp, repr(m.value)] for m in client.get_metric_history(run_id, key)]

    def run(r):
        info, data = r.info, r.data
        return {
            "info": [info.status, info.start_time, info.end_time, info.lifecycle_stage, info.user_id],
            "params": data.params,
            "tags": tags(data.tags),
            "history": {key: history(info.run_id, key) for key in data.metrics},
            "latest": {key: repr(value) for key, value in data.metrics.items()},
            "datasets": [
                [i.dataset.to_dictionary(), [t.value for t in i.tags]] for i in r.inputs.dataset_inputs
            ],
            "outputs": [
                [models[o.model_id].name, o.step] for o in (r.outputs.model_outputs if MAJOR > 2 else [])
            ],
            "files": files(info.run_id),
        }

    seen = {
        "counts": [len(experiments), len(runs), len(models)],
        "experiments": {e.name: [e.lifecycle_stage, tags(e.tags)] for e in experiments},
        "runs": {f"{experiment_of[r.info.experiment_id]} / {r.info.run_name}": run(r) for r in runs},
        "loggedModels": {
            f"{m.name} of {name_of.get(m.source_run_id)}": [
                str(m.status),
                m.model_type,
                m.params,
                tags(m.tags),
                sorted([x.key, x.value, x.step, name_of.get(x.run_id)] for x in m.metrics or []),
            ]
            for m in models.values()
        },
        "registered": {},
        "predictions": mlflow.sklearn.load_model(f"models:/{MODEL}@champion").predict(np.eye(2)).tolist(),
    }
    for model in client.search_registered_models():
        versions = client.search_model_versions(f"name = '{model.name}'", order_by=["version_number ASC"])
        seen["registered"][model.name] = {
            "words": [model.description or "", tags(model.tags)],
            "aliases": model.aliases,
            "versions": [
                [
                    v.version,
                    v.description or "",
                    tags(v.tags),
                    v.current_stage,
                    name_of.get(v.run_id),
                    v.status,
                ]
                for v in versions
            ],
        }
    tell(seen)


{"fill": fill, "more": more, "gap": gap, "dump": dump}[sys.argv[1]]()
