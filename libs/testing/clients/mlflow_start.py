"""How every program of the tests with MLflow's client begins: no reports to its makers, few retries, standard
output for the one JSON object that it tells. `runClient` puts this folder on the path."""

import json
import os
import sys

os.environ.update(
    MLFLOW_HTTP_REQUEST_MAX_RETRIES="2",
    MLFLOW_HTTP_REQUEST_TIMEOUT="60",
    MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR="false",
    MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT="true",
    MLFLOW_REQUIREMENTS_INFERENCE_TIMEOUT="1",
    MLFLOW_DISABLE_TELEMETRY="true",
    DO_NOT_TRACK="true",
    GIT_PYTHON_REFRESH="quiet",
)
# MLflow tells the addresses of runs on standard output
_out, sys.stdout = sys.stdout, sys.stderr

import mlflow  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402

MAJOR = int(mlflow.__version__.split(".")[0])


def connect(uri):
    """A client of the server at an address, which is MLflow's own from now on."""
    mlflow.set_tracking_uri(uri)
    return mlflow.MlflowClient()


def refusal(work):
    """What a server answers to something that it should refuse."""
    try:
        work()
    except MlflowException as error:
        return f"{error.error_code}: {error.message}"
    return "accepted"


def tell(seen):
    """Prints the one JSON object of the program."""
    print(json.dumps(seen), file=_out)
