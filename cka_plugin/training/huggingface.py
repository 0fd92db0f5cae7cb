"""A callback for `transformers.Trainer` that logs CKA on a probe set, to whatever the trainer reports to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from cka_plugin.adapters.base import unwrap
from cka_plugin.training.probe import Probe
from cka_plugin.training.start import Kept


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
        """The state that training starts from; of training that resumes, as it was kept in the checkpoint's folder."""
        if not state.is_world_process_zero:
            return
        model = unwrap(kwargs["model"])[0]
        if state.global_step == 0:
            self.probe.start(model)
        else:
            given = args.resume_from_checkpoint
            folders = [Path(given)] if isinstance(given, str) else []
            found = (Kept.from_folder(folder) for folder in [*folders, _checkpoint(args, state)])
            self.probe.resume(model, next((kept for kept in found if kept is not None), None))

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Keep the start in the folder of the checkpoint that was just written."""
        folder = _checkpoint(args, state)
        if state.is_world_process_zero and self.probe.kept is not None and folder.is_dir():
            self.probe.kept.to_folder(folder)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Measure and log."""
        if not state.is_world_process_zero or round(state.epoch or 0) % self.every:
            return
        figures = self.probe.measure(unwrap(kwargs["model"])[0], state.global_step)
        pending = control.should_log  # which logging would take for done, and drop the loss of this epoch
        self.trainer.log(figures)
        control.should_log = pending


def _checkpoint(args: Any, state: Any) -> Path:
    """Where the Trainer writes the checkpoint of this step, and resumes from."""
    return Path(args.output_dir) / f"checkpoint-{state.global_step}"
