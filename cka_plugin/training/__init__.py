"""CKA while a model trains: callbacks for Hugging Face `Trainer` and Lightning, and a metric in torchmetrics' manner.

    cka_plugin.training.probe           what is measured: CKA to the start, to the previous epoch, to a baseline
    cka_plugin.training.start           what is compared with, kept beside the checkpoints
    cka_plugin.training.huggingface     CKACallback for transformers.Trainer
    cka_plugin.training.lightning       CKACallback for Lightning
    cka_plugin.training.metric          CKA of two streams of activations, a torchmetrics.Metric where that is installed

Each is imported by its own name: none drags in the others' frameworks.
"""
