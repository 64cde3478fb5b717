"""What MLflow's autologging of PyTorch, through Lightning, leaves on a tracking server. Argument: its URI."""

import logging
import os
import sys
import tempfile

os.environ.update(CUDA_VISIBLE_DEVICES="", OMP_NUM_THREADS="1")

import mlflow
from mlflow_start import connect, tell

client = connect(sys.argv[1])
mlflow.set_experiment("torch")

import lightning  # noqa: E402
import torch  # noqa: E402

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
torch.manual_seed(1)
EPOCHS = 3
features = torch.randn(64, 3)
labels = (features.sum(dim=1) > 0).float()


class Classifier(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))

    def forward(self, rows):
        return self.layers(rows).squeeze(1)

    def training_step(self, batch, _index):
        rows, wanted = batch
        loss = torch.nn.functional.binary_cross_entropy_with_logits(self(rows), wanted)
        self.log("train_loss", loss, on_epoch=True, on_step=False)
        return loss

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.05)


model = Classifier()
loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(features, labels), batch_size=16)
mlflow.pytorch.autolog(registered_model_name="torch autolog", checkpoint=False)
with tempfile.TemporaryDirectory() as folder:
    trainer = lightning.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        default_root_dir=folder,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        logger=False,
    )
    with mlflow.start_run(run_name="fit") as run:
        trainer.fit(model, loader)
mlflow.pytorch.autolog(disable=True)

got = client.get_run(run.info.run_id)
version = client.get_model_version("torch autolog", "1")
loaded = mlflow.pytorch.load_model("models:/torch autolog/1")
with torch.no_grad():
    same = bool(torch.allclose(loaded.eval()(features), model.eval()(features)))
tell(
    {
        "status": got.info.status,
        "params": {key: got.data.params.get(key) for key in ("epochs", "optimizer_name", "lr")},
        "losses": [m.step for m in client.get_metric_history(run.info.run_id, "train_loss")],
        "falls": [m.value for m in client.get_metric_history(run.info.run_id, "train_loss")][-1] < 1,
        "summary": "Linear" in mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/model_summary.txt"),
        "version": [version.status, version.run_id == run.info.run_id],
        "predictions": same,
    }
)
