"""What MLflow's own client sees of registered models, as one JSON object. Arguments: URI, an ONNX file."""

import sys

import mlflow
import numpy as np
from mlflow_start import MAJOR, connect, refusal, tell
from sklearn.linear_model import LogisticRegression

ONNX = sys.argv[2]
NAME = f"scores {MAJOR}"
client = connect(sys.argv[1])
rows = np.array([[0.0, 1.0], [1.0, 0.0], [0.1, 0.9], [0.9, 0.2]])
model = LogisticRegression().fit(rows, [0, 1, 0, 1])


def main():
    mlflow.set_experiment(f"registering {mlflow.__version__}")
    with mlflow.start_run() as run:
        logged = mlflow.sklearn.log_model(model, "model", registered_model_name=NAME)
        mlflow.log_artifact(ONNX, "graph")
    run_id = run.info.run_id
    second = mlflow.register_model(f"runs:/{run_id}/model", NAME, tags={"round": "two"})
    graph = client.create_model_version(NAME, f"{run.info.artifact_uri}/graph", run_id, description="as ONNX")
    client.set_registered_model_tag(NAME, "team", "risk")
    client.update_registered_model(NAME, description="Scores.")
    client.set_model_version_tag(NAME, "1", "checked", "yes")
    client.set_model_version_tag(NAME, "1", "gone", "soon")
    client.delete_model_version_tag(NAME, "1", "gone")
    client.update_model_version(NAME, "1", description="first")
    client.set_registered_model_alias(NAME, "champion", "1")
    first = client.get_model_version(NAME, "1")
    by_alias = client.get_model_version_by_alias(NAME, "champion")
    loaded = mlflow.sklearn.load_model(f"models:/{NAME}@champion").predict(rows).tolist()
    by_number = mlflow.pyfunc.load_model(f"models:/{NAME}/2").predict(rows).tolist()
    client.transition_model_version_stage(NAME, "1", "Production")
    moved = client.transition_model_version_stage(NAME, "2", "Production", archive_existing_versions=True)
    copied = client.copy_model_version(f"models:/{NAME}/3", f"{NAME} copy")
    found = client.get_registered_model(NAME)
    seen = {
        "version": mlflow.__version__,
        "registered": [second.version, second.status, graph.version],
        "logged": logged.model_uri != "",
        "first": [first.description, first.tags.get("checked"), "gone" in first.tags, first.run_id == run_id],
        "digests": sorted(k for k in first.tags if k.startswith("millrace.")),
        "servable": [
            client.get_model_version(NAME, number).tags["millrace.servable"] for number in ("1", "2", "3")
        ],
        "alias": [by_alias.version, list(by_alias.aliases)],
        "loaded": [loaded, by_number],
        "stages": [moved.current_stage, client.get_model_version(NAME, "1").current_stage],
        "latest": sorted([v.current_stage, v.version] for v in client.get_latest_versions(NAME)),
        "copied": [copied.version, copied.source],
        "model": [found.description, found.tags, found.aliases],
        "models": [m.name for m in client.search_registered_models(f"name LIKE 'scores {MAJOR}%'")],
        "tagged": [
            m.name for m in client.search_registered_models(f"tags.team = 'risk' AND name = '{NAME}'")
        ],
        "ordered": [
            v.version
            for v in client.search_model_versions(f"name = '{NAME}'", order_by=["version_number ASC"])
        ],
        "ofRun": sorted(
            v.version for v in client.search_model_versions(f"run_id = '{run_id}' AND name = '{NAME}'")
        ),
        "byTag": [v.version for v in client.search_model_versions(f"tags.round = 'two' AND name = '{NAME}'")],
        "paged": [[v.version for v in page] for page in pages(f"name = '{NAME}'")],
        "taken": refusal(lambda: client.create_registered_model(NAME)),
        "missing": refusal(lambda: client.get_model_version(NAME, "99")),
        "renamed": refusal(lambda: client.rename_registered_model(NAME, "other")),
        "own": refusal(lambda: client.set_model_version_tag(NAME, "1", "millrace.servable", "true")),
        "nowhere": refusal(lambda: client.create_model_version(NAME, "s3://elsewhere/model")),
        "inUse": refusal(lambda: client.delete_model_version(NAME, "2")),
    }
    client.delete_registered_model_alias(NAME, "champion")
    client.delete_model_version(NAME, "1")
    seen["deleted"] = refusal(lambda: client.get_model_version(NAME, "1"))
    client.create_registered_model(f"empty {MAJOR}")
    client.rename_registered_model(f"empty {MAJOR}", f"full {MAJOR}")
    client.delete_registered_model(f"full {MAJOR}")
    seen["emptied"] = [m.name for m in client.search_registered_models(f"name LIKE '%{MAJOR}'")]
    # what a guarded model answers
    guarded = f"guarded {MAJOR}"
    seen["noPickles"] = refusal(lambda: mlflow.register_model(f"runs:/{run_id}/model", guarded))
    client.create_model_version(guarded, f"{run.info.artifact_uri}/graph", run_id)
    seen["protected"] = refusal(lambda: client.set_registered_model_alias(guarded, "champion", "2"))
    seen["unapproved"] = refusal(lambda: client.transition_model_version_stage(guarded, "2", "Production"))
    return seen


def pages(filter_string):
    token = None
    while True:
        page = client.search_model_versions(filter_string, max_results=2, page_token=token)
        yield page
        token = page.token
        if not token:
            return


tell(main())
