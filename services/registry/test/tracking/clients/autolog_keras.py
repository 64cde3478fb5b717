"""What MLflow's autologging of Keras leaves on a tracking server. Argument: its URI."""

import os
import sys

os.environ.update(KERAS_BACKEND="tensorflow", TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")

import mlflow
import numpy as np
from mlflow_start import connect, tell

client = connect(sys.argv[1])
mlflow.set_experiment("keras")

import keras  # noqa: E402

EPOCHS = 4
features = np.random.default_rng(1).normal(size=(64, 3)).astype("float32")
labels = (features.sum(axis=1) > 0).astype("float32")
model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(1, "sigmoid")])
model.compile(optimizer=keras.optimizers.Adam(0.05), loss="binary_crossentropy", metrics=["accuracy"])

mlflow.tensorflow.autolog(registered_model_name="keras autolog", checkpoint=False)
with mlflow.start_run(run_name="fit") as run:
    history = model.fit(features, labels, epochs=EPOCHS, batch_size=16, validation_split=0.25, verbose=0)
mlflow.tensorflow.autolog(disable=True)

got = client.get_run(run.info.run_id)
losses = client.get_metric_history(run.info.run_id, "loss")
version = client.get_model_version("keras autolog", "1")
loaded = mlflow.tensorflow.load_model("models:/keras autolog/1")
tell(
    {
        "status": got.info.status,
        "params": {
            key: got.data.params.get(key) for key in ("epochs", "batch_size", "opt_name", "validation_split")
        },
        "metrics": sorted(got.data.metrics),
        "losses": [m.step for m in losses],
        "same": np.allclose([m.value for m in losses], history.history["loss"]),
        "summary": "Dense" in mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/model_summary.txt"),
        "datasets": len(got.inputs.dataset_inputs) > 0,
        "version": [version.status, version.run_id == run.info.run_id],
        "predictions": np.allclose(loaded.predict(features, verbose=0), model.predict(features, verbose=0)),
    }
)
