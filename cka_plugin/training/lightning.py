"""A callback for Lightning that logs CKA on a probe set, to whatever loggers the trainer has."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from torch import nn

from cka_plugin.training.probe import Probe
from cka_plugin.training.start import Kept

if TYPE_CHECKING or find_spec("lightning") is not None:
    from lightning.pytorch import Callback
else:
    from pytorch_lightning import Callback


class CKACallback(Callback):
    """Logs CKA to the start, to the previous epoch and to a baseline, at the end of each training epoch.

        Trainer(callbacks=[CKACallback(Probe(images), part="net")])

    The figures go through Lightning's own log, and so to every logger and to `callback_metrics`: `EarlyStopping` and
    `ModelCheckpoint` can monitor `cka/start/lowest`. Only the first process measures; the others go on.

    Args:
        probe: what is measured; see `Probe`.
        part: path of the network inside the `LightningModule`; the module itself by default.
        every: measure at the end of every so many epochs.
    """

    def __init__(self, probe: Probe, part: str = "", every: int = 1) -> None:
        super().__init__()
        if every < 1:
            raise ValueError(f"every = {every}: expected 1 or more epochs")
        self.probe = probe
        self.part = part
        self.every = every
        self._kept: Kept | None = None  # from a checkpoint

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of this callback: the start."""
        return {} if self.probe.kept is None else dict(self.probe.kept.to_tensors())

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """What a checkpoint kept."""
        self._kept = Kept.from_tensors(state_dict)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """The state that training starts from; of training that resumes, as it was kept in the checkpoint."""
        kept, self._kept = self._kept, None
        if not trainer.is_global_zero:
            return
        if trainer.global_step == 0:
            self.probe.start(self._network(pl_module))
        else:
            self.probe.resume(self._network(pl_module), kept or self.probe.kept)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Measure and log."""
        if not trainer.is_global_zero or (trainer.current_epoch + 1) % self.every:
            return
        # Lightning's own log: to all loggers with its own step, and to `callback_metrics` for checkpoints to monitor.
        figures = self.probe.measure(self._network(pl_module), trainer.global_step)
        pl_module.log_dict(figures, rank_zero_only=True)

    def _network(self, pl_module: nn.Module) -> nn.Module:
        return pl_module.get_submodule(self.part)
