"""A callback for `transformers.Trainer` that logs CKA on a probe set, to whatever the trainer reports to."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

from cka_plugin.adapters.base import unwrap
from cka_plugin.training.probe import Probe


class CKACallback(TrainerCallback):
    """Logs CKA to the start, to the previous epoch and to a baseline, at the end of each epoch.

        trainer = Trainer(model, args, train_dataset=data)
        trainer.add_callback(CKACallback(trainer, Probe(texts)))

    The figures go through `trainer.log`, and so to TensorBoard, Weights & Biases, `state.log_history` and all else that
    is configured. Only the first process measures; the others go on.

    Args:
        trainer: whose log is written to.
        probe: what is measured; see `Probe`.
        every: measure at the end of every so many epochs.
    """

    def __init__(self, trainer: Any, probe: Probe, every: int = 1) -> None:
        if every < 1:
            raise ValueError(f"every = {every}: expected 1 or more epochs")
        self.trainer = trainer
        self.probe = probe
        self.every = every

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The state that training starts from."""
        if state.is_world_process_zero:
            self.probe.start(unwrap(kwargs["model"])[0])

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Measure and log."""
        if not state.is_world_process_zero or round(state.epoch or 0) % self.every:
            return
        figures = self.probe.measure(unwrap(kwargs["model"])[0])
        pending = control.should_log  # which logging would take for done, and drop the loss of this epoch
        self.trainer.log(figures)
        control.should_log = pending
