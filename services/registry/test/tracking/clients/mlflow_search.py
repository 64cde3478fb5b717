"""Makes runs on a tracking server and prints what many searches find there, as JSON. Argument: its URI."""

import sys

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow_start import connect, tell

RUNS = 18
METRICS = [0.5, float("nan"), 0.25, None, float("inf"), -1.5e-3, 0.5, 1e20]


def fill(client):
    experiment = client.create_experiment("compare")
    for i in range(RUNS):
        run_id = client.create_run(experiment, start_time=1_000 + i % 5, run_name=f"run {i:02d}").info.run_id
        value = METRICS[i % len(METRICS)]
        metrics = [Metric("m", value, 10, 0), Metric("m", 0.1, 9, -1)] if value is not None else []
        metrics += [Metric("val loss", i / 10, 1, 0), Metric("a/b:c", float(-i), 1, 0)]
        params = [Param("lr", f"0.{i % 3}"), Param("opt", "Adam" if i % 2 else "sgd_x%")]
        if i % 4 == 0:
            params.append(Param("rare", "1"))
        tags = [RunTag("team.name", "it's" if i % 3 == 0 else "Äpfel"), RunTag("n", str(i))]
        client.log_batch(run_id, metrics, params, tags)
        if i % 3 == 1:
            client.log_inputs(run_id, [DatasetInput(Dataset(f"d{i % 2}", f"g{i}", "code", "{}"), [InputTag("mlflow.data.context", "train" if i % 2 else "eval")])])
        if i % 5 != 0:
            client.set_terminated(run_id, ["FINISHED", "FAILED", "KILLED"][i % 3], 5_000 + i)
        if i % 11 == 10:
            client.delete_run(run_id)
    return experiment


FILTERS = [
    "", "metrics.m > 0.3", "metrics.m >= 0.5", "metrics.m < 0.5", "metrics.m <= 0.5", "metrics.m = 0.5", "metrics.m != 0.5",
    "metrics.m < 1e21 and metrics.m > -1", "metric.`val loss` > 1.05", 'metrics."a/b:c" < -20', "metrics.none > 0",
    "metrics.m > 1e-1 AND params.lr = '0.1'", "metrics.`val loss` = 1", "metrics.m > -0.5 AND metrics.m < 3e-1",
    "params.lr = '0.2'", 'params.lr = "0.2"', "params.lr != '0.2'", "params.opt LIKE 'sgd%'", "params.opt LIKE 'ADAM'",
    "params.opt ILIKE 'ADAM'", "params.opt LIKE '%_x%'", "parameters.opt ilike 'A%'", "params.rare IS NULL", "params.rare IS NOT NULL",
    "param.rare = '1' AND params.lr = '0.0'", "tags.team.name = \"it's\"", "tags.`team.name` = 'Äpfel'", "tags.`team.name` LIKE 'Ä%'",
    "tags.n LIKE '1_'", "tags.n != '3'", "tag.none != 'x'", "tags.none IS NULL AND tags.n IS NOT NULL", "tags.mlflow.runName = 'run 03'",
    "attributes.run_name = 'run 03'", "run_name LIKE 'run 1%'", "run_name ILIKE 'RUN 0%'", "attributes.`run name` = 'run 04'", "status = 'FINISHED'",
    "attributes.status != 'FINISHED'", "status LIKE '%I%'", "start_time > 1002", "attributes.start_time = 1001", "Created <= 1001",
    "end_time >= 5010", "end_time != 5011", "end_time < 5005 AND status = 'FAILED'", "run_id IN ('a', 'b')", "run_id NOT IN ('a')", "run_id != 'a'",
    "artifact_uri LIKE '%artifacts'", "user_id = 'nobody'", "datasets.name = 'd1'", "dataset.name IN ('d0', 'd1')", "datasets.digest LIKE 'g1%'",
    "datasets.context = 'train'", "datasets.context IN ('eval', 'x') AND params.lr = '0.1'", "datasets.name != 'd1'", "attributes.start_time > 1e3",
    # refused by both
    "metrics.m", "metrics.m >", "metrics.m > '1'", "metrics.m LIKE '1'", "params.lr = 1", "params.lr > '1'", "params.lr = 'x", "model.x = '1'",
    "nothing = 'a'", "status IS NULL", "metrics.m > 1 OR metrics.m < 1", "(metrics.m > 1)", "datasets.profile = 'x'", "start_time = 'x'",
    "status IN ('FINISHED')", "params.lr IN ('0.1')", "run_id IN (1)", "metrics.m == 1",
]  # fmt: skip
ORDERS = [
    [], ["metrics.m ASC"], ["metrics.m DESC"], ["metric.`val loss` DESC"], ["params.lr", "metrics.m DESC"], ["tags.n DESC"], ["params.rare", "start_time ASC"],
    ["attributes.start_time", "run_name DESC"], ["end_time DESC", "run_name"], ["end_time ASC", "run_name"], ["status", "attribute.run_name desc"],
    ["metrics.none", "Created DESC", "run_name"], ["metrics.m sideways"], ["nothing"], ["start_time ASC DESC"],
]  # fmt: skip
EXPERIMENT_FILTERS = [
    "name = 'compare'", "name LIKE 'comp%'", "name ILIKE 'COMP%'", "tags.a = 'b'", "tags.a IS NULL", "creation_time > 0", "name = 1", "experiment_id = '0'",
    "attribute.name != 'compare'", "last_update_time < 0", "params.a = 'b'", "name IN ('compare')", "experiment_id IN ('0')", "experiment_id > '0'",
]  # fmt: skip

# others may be there
OWN = {"Default", "compare"}


def names(search):
    try:
        return search()
    except MlflowException as error:
        return error.error_code


def ask(client, experiment):
    answers = {}
    order = ["attributes.run_name"]
    for text in FILTERS:
        answers[f"runs {text}"] = names(lambda text=text: [r.info.run_name for r in client.search_runs([experiment], text, order_by=order)])
    for clauses in ORDERS:
        # what is equal is ordered by the id, which no two servers share
        full = [*clauses, "attributes.run_name"] if not any("run_name" in c for c in clauses) else clauses
        answers[f"order {clauses}"] = names(lambda full=full: [r.info.run_name for r in client.search_runs([experiment], order_by=full)])
    for text in EXPERIMENT_FILTERS:
        answers[f"experiments {text}"] = names(lambda text=text: sorted({e.name for e in client.search_experiments(filter_string=text)} & OWN))
    return answers


client = connect(sys.argv[1])
tell(ask(client, fill(client)))
