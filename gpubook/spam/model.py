"""The classifier: a BERT with one linear layer on top, loaded and saved with its tokenizer."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpubook import files
from gpubook.errors import BookError, UsageError
from gpubook.spam.data import LABELS
from gpubook.spam.distributed import local_rank

if TYPE_CHECKING:
    import torch


_TOKENIZERS = ("tokenizer.json", "vocab.txt")


class ModelError(BookError):
    """A model folder is missing, incomplete or another kind of model."""


@dataclass(frozen=True)
class Backend:
    """Where and how to compute: ``device`` "cpu" or "cuda…", ``precision`` "fp32" or "bf16"."""

    device: str
    precision: str

    @property
    def on_gpu(self) -> bool:
        return self.device.startswith("cuda")

    @property
    def kind(self) -> str:
        """``"cuda"`` or ``"cpu"``, whichever of several GPUs it is."""
        return "cuda" if self.on_gpu else "cpu"

    @contextmanager
    def computing(self) -> Iterator[None]:
        """The precision and the attention kernels of this backend, for the block under it."""
        import torch

        autocast = torch.autocast(self.kind, torch.bfloat16, enabled=self.precision == "bf16")
        with autocast, self.attention():
            yield

    def attention(self) -> AbstractContextManager:
        """Attention kernels that need no plan for each new shape.

        cuDNN's do: on an H100 the first batch of each length then takes about a second.
        """
        from torch.nn.attention import SDPBackend, sdpa_kernel

        if not self.on_gpu:
            return nullcontext()
        return sdpa_kernel(
            [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
        )


def choose_backend(device: str = "auto", precision: str = "auto") -> Backend:
    """Resolve "auto": the GPU if there is one, BF16 where the device has units for it.

    On a CPU without such instructions BF16 is emulated and slower than FP32.
    Raises UsageError for a GPU that is not there.
    """
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError(
            "--device cuda: torch sees no GPU here; start the container with --gpus all, "
            "or use --device cpu"
        )
    if precision == "auto":
        if device.startswith("cuda"):
            fast = torch.cuda.get_device_capability(device) >= (8, 0)
        else:
            fast = cpu_has_bf16()
        precision = "bf16" if fast else "fp32"
    return Backend(device, precision)


def freeze_embeddings(network: torch.nn.Module) -> None:
    """Keep the first layer, with its tables of words and positions, as it was pretrained.

    The tables are half of a small BERT's weights. A batch holds few words, so most rows would
    get no gradient; the layers that follow learn as well from rows that stay.
    """
    first = getattr(network.base_model, "embeddings", None) or network.get_input_embeddings()
    first.requires_grad_(False)


@cache
def wake(backend: Backend) -> threading.Thread:
    """Let a GPU set itself up in the background, while data are read and the model is loaded.

    CUDA, its matrix library and the kernels are loaded by what first needs them. Join the thread
    before random numbers of the GPU matter: it uses some.
    """
    thread = threading.Thread(target=_first_step, args=(backend,), name="wake")
    thread.start()
    return thread


def _first_step(backend: Backend) -> None:
    """What a step of a BERT does, on very little."""
    if not backend.on_gpu:
        return
    import torch
    from torch.nn import functional

    device = torch.device(backend.device)
    if device.index is None:
        device = torch.device("cuda", local_rank())
    dtype = torch.bfloat16 if backend.precision == "bf16" else torch.float32
    new = {"device": device, "dtype": dtype, "requires_grad": True}
    with suppress(RuntimeError):  # a GPU that is full or broken: the training itself will say so
        rows, square, one = (torch.zeros(*shape, **new) for shape in ((32, 64), (64, 64), (64,)))
        values = functional.gelu(functional.linear(rows, square, one))
        values = functional.layer_norm(functional.dropout(values, 0.1) + rows, (64,), one, one)
        heads = values.view(2, 1, 16, 64)
        mask = torch.zeros(2, 1, 16, 16, device=device, dtype=dtype)
        with backend.attention():
            values = functional.scaled_dot_product_attention(
                heads, heads, heads, mask, dropout_p=0.1
            )
        label = torch.zeros(32, dtype=torch.int64, device=device)
        functional.cross_entropy(values.reshape(32, 64).float(), label).backward()
        with torch.inference_mode(), backend.computing():  # scoring uses other kernels
            functional.scaled_dot_product_attention(heads, heads, heads, mask == 0)
            functional.linear(rows.float(), square, one).softmax(dim=-1)
        torch.cuda.synchronize(device)


def cpu_has_bf16() -> bool:
    """True when the processor multiplies BF16 itself (AVX-512 BF16 or AMX)."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return bool(re.search(r"\b(avx512_bf16|amx_bf16)\b", flags))


def quiet() -> None:
    """Keep transformers from printing bars and the expected note about the new head."""
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


def load_tokenizer(source: str | Path):
    """The tokenizer of a folder, or of a name on the model hub. ModelError when it is none."""
    if Path(source).is_dir() and not any((Path(source) / n).is_file() for n in _TOKENIZERS):
        raise _unusable(source, f"there is neither {' nor '.join(_TOKENIZERS)}")
    return _load("AutoTokenizer", source)


def load_model(source: str | Path, *, trained: bool = False, **settings) -> torch.nn.Module:
    """A classifier of two labels in FP32: from a folder, or by a name on the model hub.

    Every weight must be there and finite, but for the head, which training makes; with
    ``trained`` the head, too, and nothing else may be there. Raises ModelError otherwise.
    """
    if Path(source).is_dir():
        check_config(Path(source))
    names = dict(enumerate(LABELS))
    network, report = _load(
        "AutoModelForSequenceClassification",
        source,
        id2label=names,
        label2id={name: i for i, name in names.items()},
        output_loading_info=True,
        **settings,
    )
    wrong = report["missing_keys"] if trained else filter(_of_the_body, report["missing_keys"])
    if missing := sorted(wrong):
        raise _unusable(source, f"{len(missing)} weights are missing, such as {missing[0]}")
    if trained and (unknown := sorted(report["unexpected_keys"])):
        raise _unusable(source, f"{len(unknown)} weights have no place, such as {unknown[0]}")
    if bad := [name for name, value in network.state_dict().items() if not value.isfinite().all()]:
        raise _unusable(source, f"{bad[0]} holds numbers that are not finite")
    return network


def _of_the_body(name: str) -> bool:
    heads = {"classifier", "pre_classifier", "classification_head", "score", "pooler"}
    return heads.isdisjoint(name.split("."))


def check_config(folder: Path) -> dict[str, Any]:
    """A model folder's config.json, whole: its sizes, labels and threshold. ModelError else."""
    try:
        config = files.read_json(folder / "config.json")
        reason = files.broken_rule(config, "gpubook.spam", "config.schema.json")
    except (OSError, files.Malformed) as error:
        reason = getattr(error, "strerror", None) or str(error)
    if reason:
        raise ModelError(
            f"{folder} holds no readable config.json ({reason}); give a folder that "
            f"spam_classify wrote."
        )
    return config


def _load(kind: str, source: str | Path, **settings):
    import torch
    import transformers

    quiet()
    if kind != "AutoTokenizer":
        settings["dtype"] = torch.float32
    local = Path(source).is_dir()
    try:
        return getattr(transformers, kind).from_pretrained(
            str(source), local_files_only=local, trust_remote_code=False, **settings
        )
    except Exception as error:  # a damaged folder raises half a dozen types
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise _unusable(source, reason) from error


def _unusable(source: str | Path, reason: str) -> ModelError:
    return ModelError(
        f"Cannot load a model from {source}: {reason}; give a folder that holds "
        f"config.json, model.safetensors and the tokenizer, or a name on the model hub."
    )
