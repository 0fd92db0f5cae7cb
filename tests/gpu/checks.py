"""(1) Right on the device: accuracy, settings left as found, no waiting in hooks, compiled models, streams, memory."""

from __future__ import annotations

import threading
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import cka_plugin as cka
from cka_plugin.capture.hooks import Capture
from tests.benchmarks.jobs import images
from tests.gpu.record import Record, wait
from tests.support import reference

EXACT = 1e-6
N, MINIBATCHES = 32, 3


def checks(record: Record) -> None:
    """All checks, in the order in which what they rely on is checked."""
    cases: list[tuple[str, str, dict[str, Any]]] = [
        ("resnet18", "block", {}),
        ("resnet18", "module", {}),
        ("vit_tiny_patch16_224", "module", {}),
        ("resnet18", "block", {"kernel": "rbf"}),
        ("resnet18", "block", {"precision": "bfloat16"}),
    ]
    for name, granularity, options in cases[: record.size.of(None, 2)]:
        said = " ".join([name, granularity, *map(str, options.values())])
        record.check(f"accuracy, {said}", lambda n=name, g=granularity, o=options: accuracy(record, n, g, **o))
    record.check("accuracy, layers of awkward scales and offsets", lambda: awkward(record))
    record.check("settings of precision and autocast are left as found", lambda: settings(record))
    record.check("TF32 that the user allows stays out of Gram products", lambda: tf32(record), cuda_only=True)
    record.check("no waiting inside hooks (sync debug mode 'error')", lambda: no_waiting(record), cuda_only=True)
    record.check("waits of a whole minibatch (sync debug mode 'warn')", lambda: waits(record), cuda_only=True)
    record.check("a compiled model", lambda: compiled(record))
    record.check("on a stream of the user's, beside another that is busy", lambda: streams(record), cuda_only=True)
    record.check("two threads, a stream each", lambda: threads(record), cuda_only=True)
    record.check("out of memory is a clear error, and the next run works", lambda: memory(record), cuda_only=True)


def built(record: Record, name: str, seed: int = 0) -> nn.Module:
    """A small model of timm with random weights that leave no layer dead."""
    import timm

    torch.manual_seed(seed)
    small = {"img_size": 64, "depth": 4} if name.startswith("vit") else {"zero_init_last": False}
    return timm.create_model(name, **small).eval().to(record.device)


def data(record: Record) -> Tensor:
    return images(N * MINIBATCHES, record.size.of(64, 32))


class Recorded:
    """Keeps what layers return, in float64 on the host, by the first example of the pass: as the model made it."""

    def __init__(self, model: nn.Module, paths: list[str]) -> None:
        self.kept: dict[tuple[float, str], np.ndarray] = {}
        self._first = 0.0
        self._handles = [model.register_forward_pre_hook(self._begin)]
        for path in paths:
            hook = model.get_submodule(path).register_forward_hook
            self._handles.append(hook(lambda module, args, out, path=path: self._keep(path, out)))

    def _begin(self, module: nn.Module, args: Any) -> None:
        self._first = _sign_of(args[0])

    def _keep(self, path: str, output: Any) -> None:
        first = output[0] if isinstance(output, tuple) else output
        self.kept[self._first, path] = first.detach().to("cpu", torch.float64, copy=True).numpy()

    def of(self, found: cka.Comparison, x: Tensor) -> list[list[np.ndarray]]:
        """What each layer of a comparison of one model with itself returned, a minibatch at a time."""
        net = found["net"]
        batches = [x[[net.example_ids[place] for place in minibatch.positions]] for minibatch in net.minibatches]
        return [[self.kept[_sign_of(batch), layer.path] for batch in batches] for layer in net.layers]

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()


def _sign_of(x: Tensor) -> float:
    """By which a minibatch is known again: the first number of its first example."""
    return float(x[(0,) * x.ndim])


def accuracy(record: Record, name: str, granularity: str, **options: Any) -> str:
    """The largest error of a model with itself, against float64 on the very activations that were taken."""
    model, x = built(record, name), data(record)
    if name.startswith("vit"):
        x = torch.nn.functional.interpolate(x, 64)
    paths = [layer.path for layer in cka.layers(model, granularity)]
    paths = paths[:: max(1, len(paths) // record.size.of(12, 4))]
    kept = Recorded(model, paths)
    try:
        found = run(record, {"net": model}, x, granularity=granularity, layers=paths, **options)
    finally:
        kept.remove()
    kernel = reference.rbf if options.get("kernel") == "rbf" else reference.linear
    taken = kept.of(found, x)
    truth = np.array([[reference.minibatch_cka(a, b, kernel) for b in taken] for a in taken])
    return held(float(np.abs(found.matrix() - truth).max()), f"{len(taken)} layers, largest error")


def run(record: Record, models: Any, x: Tensor, **options: Any) -> cka.Comparison:
    given = {"batch_size": N, "device": str(record.device), "progress": False, "granularity": "module", **options}
    return cka.compare(models, data=x, **given)


def held(error: float, what: str, limit: float = EXACT) -> str:
    if not error <= limit:
        raise AssertionError(f"{what} {error:.1e}, more than {limit:.0e}")
    return f"{what} {error:.1e}"


class Awkward(nn.Module):
    """Layers of every scale, and far from the origin."""

    scales = (1.0, 1e-30, 1e-12, 1e12, 1e25)
    offset = 1e4

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(24, 40, bias=False) for _ in range(2 * len(self.scales))])

    def forward(self, x: Tensor) -> Tensor:
        for place, layer in enumerate(self.layers):
            layer((x + self.offset * (place >= len(self.scales))) * self.scales[place % len(self.scales)])
        return self.layers[0](x)


def awkward(record: Record) -> str:
    torch.manual_seed(0)
    model, x = Awkward().to(record.device), torch.randn(N * MINIBATCHES, 24)
    paths = [f"layers.{place}" for place in range(1, len(model.layers))]
    kept = Recorded(model, paths)
    try:
        found = run(record, {"net": model}, x, layers=paths)
    finally:
        kept.remove()
    layers = kept.of(found, x)
    unit = [[part / np.abs(layer).max() for part in layer] for layer in layers]  # whose squares do not underflow
    truth = np.array([[reference.minibatch_cka(a, b) for b in unit] for a in unit])
    return held(float(np.abs(found.matrix() - truth).max()), f"{len(paths)} layers, largest error")


def settings(record: Record) -> str:
    kinds = [torch.backends.cuda.matmul, getattr(torch.backends.mkldnn, "matmul", None)]
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        asked = [getattr(kind, "fp32_precision", None) for kind in kinds]
        with torch.autocast(record.device.type, dtype=torch.bfloat16):
            run(record, {"net": built(record, "resnet18")}, data(record), granularity="block")
            assert torch.is_autocast_enabled(record.device.type), "autocast was switched off"
        assert torch.get_float32_matmul_precision() == "high", "the precision of products was changed"
        assert [getattr(kind, "fp32_precision", None) for kind in kinds] == asked, "a backend's precision was changed"
    finally:
        torch.set_float32_matmul_precision(before)
    return "float32_matmul_precision, fp32_precision of the backends, autocast"


def tf32(record: Record) -> str:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        x = torch.randn(64, 4096, device=record.device)
        exact = x.double() @ x.double().T
        rounded = float(((x @ x.T).double() - exact).abs().max() / exact.abs().max())
        said = accuracy(record, "resnet18", "block")
    finally:
        torch.set_float32_matmul_precision(before)
    return f"{said}; a product of the user's is off by {rounded:.0e}, so TF32 was on"


def no_waiting(record: Record) -> str:
    """From the second minibatch on, whatever waits for the device inside a hook raises."""
    calls, made = [0], Capture._hook

    def hook(self: Capture, position: int, layer: Any) -> Any:
        own = made(self, position, layer)

        def strict(*given: Any) -> None:
            if self._slots:  # known after the first minibatch
                calls[0] += 1
                torch.cuda.set_sync_debug_mode("error")
            try:
                own(*given)
            finally:
                torch.cuda.set_sync_debug_mode("default")

        return strict

    Capture._hook = hook  # type: ignore[method-assign]
    try:
        for name in ("resnet18", "vit_tiny_patch16_224"):
            run(record, {"net": built(record, name)}, _for(name, record))
    finally:
        Capture._hook = made  # type: ignore[method-assign]
        torch.cuda.set_sync_debug_mode("default")
    assert calls[0], "no hook ran after the first minibatch"
    return f"{calls[0]} calls of hooks"


def _for(name: str, record: Record) -> Tensor:
    x = data(record)
    return torch.nn.functional.interpolate(x, 64) if name.startswith("vit") else x


def waits(record: Record) -> str:
    """How often a whole run waits, model and package together, by where PyTorch says so."""
    model = built(record, "resnet18")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            run(record, {"net": model}, data(record))
        finally:
            torch.cuda.set_sync_debug_mode("default")
    where = [f"{one.filename.rpartition('/')[2]}:{one.lineno}" for one in caught if "synchroniz" in str(one.message)]
    often = sorted({place: where.count(place) for place in where}.items(), key=lambda pair: -pair[1])[:6]
    return f"{len(where)} in {MINIBATCHES} minibatches: {', '.join(f'{place} x {n}' for place, n in often) or 'none'}"


def compiled(record: Record) -> str:
    model, x = built(record, "resnet18"), data(record)
    plain = run(record, {"net": model}, x, granularity="block").matrix()
    found = run(record, {"net": torch.compile(model)}, x, granularity="block").matrix()
    return held(float(np.abs(found - plain).max()), "it runs eagerly; apart from the plain model's by at most")


def streams(record: Record) -> str:
    model, x = built(record, "resnet18"), data(record)
    plain = run(record, {"net": model}, x).matrix()
    wait(record.device)
    mine, other = torch.cuda.Stream(record.device), torch.cuda.Stream(record.device)
    busy = torch.randn(4096, 4096, device=record.device)
    wait(record.device)
    with torch.cuda.stream(other):
        for _ in range(20):
            busy = busy @ busy / 4096
    with torch.cuda.stream(mine):
        found = run(record, {"net": model}, x).matrix()
        assert torch.cuda.current_stream(record.device) == mine, "another stream is current now"
    wait(record.device)
    return held(float(np.abs(found - plain).max()), "apart from the default stream's by at most")


def threads(record: Record) -> str:
    models, x = [built(record, "resnet18", seed) for seed in (0, 1)], data(record)
    plain = [run(record, {"net": model}, x).matrix() for model in models]
    found: dict[int, np.ndarray] = {}

    def work(place: int) -> None:
        with torch.cuda.stream(torch.cuda.Stream(record.device)):
            found[place] = run(record, {"net": models[place]}, x).matrix()

    workers = [threading.Thread(target=work, args=(place,)) for place in (0, 1)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(found) == 2, "a thread failed"
    return held(max(float(np.abs(found[place] - plain[place]).max()) for place in (0, 1)), "apart by at most")


def memory(record: Record) -> str:
    model = built(record, "resnet18")
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(record.device).total_memory
    torch.cuda.set_per_process_memory_fraction(
        (torch.cuda.memory_reserved(record.device) + (64 << 20)) / total, record.device
    )
    try:
        run(record, {"net": model}, images(512, 128), batch_size=256)
    except RuntimeError as error:
        said = str(error)
    else:
        raise AssertionError("256 images of 128 px went into 64 MiB")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, record.device)
    assert "smaller batch_size" in said, f"the message does not say what may help: {said}"
    torch.cuda.empty_cache()
    run(record, {"net": model}, data(record))
    return said[:160]
