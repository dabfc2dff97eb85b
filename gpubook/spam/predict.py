"""Label messages with a saved classifier: loaded once, batched, the order kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gpubook.spam import batches
from gpubook.spam.checkpoint import check_result
from gpubook.spam.data import LABELS
from gpubook.spam.model import (
    Backend,
    ModelError,
    check_config,
    choose_backend,
    load_model,
    load_tokenizer,
)
from gpubook.spam.train import probabilities_of


@dataclass(frozen=True)
class Prediction:
    """One message's label. An empty message has none; ``note`` says what was unusual."""

    text: str
    label: str | None
    spam_probability: float | None
    note: str = ""


class Classifier:
    """A folder that ``spam_classify`` wrote, ready to predict."""

    def __init__(self, network, tokenizer, threshold: float, backend: Backend) -> None:
        self.network, self.tokenizer = network, tokenizer
        self.threshold, self.backend = threshold, backend

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        device: str = "auto",
        precision: str = "auto",
        threshold: float | None = None,
    ) -> Classifier:
        """Load model and tokenizer. ``threshold`` None takes the one chosen in training.

        Raises ModelError in one line when the folder is missing, incomplete or no classifier
        of ham and spam.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise ModelError(
                f"No model in {folder}: train one with `spam_classify --output {folder}`, or say "
                f"with --model where it is (in a container: the mounted folder)."
            )
        names = list(check_config(folder).get("id2label", {}).values())
        if sorted(names) != sorted(LABELS):
            raise ModelError(
                f"{folder} is no classifier of ham and spam (its labels are {', '.join(names)}); "
                f"give a folder that spam_classify wrote."
            )
        check_result(folder)
        backend = choose_backend(device, precision)  # loads torch, which takes seconds
        network = load_model(folder, trained=True).to(backend.device).eval()
        tokenizer = load_tokenizer(folder)
        if len(tokenizer) > network.config.vocab_size:
            raise ModelError(f"{folder}: its tokenizer has more words than its model")
        if threshold is None:
            threshold = float(getattr(network.config, "spam_threshold", 0.5))
        return cls(network, tokenizer, threshold, backend)

    def probabilities(self, texts: Sequence[str], *, batch_size: int | None = None) -> list[float]:
        """Probability of spam of each text, in the order given."""
        encoded = batches.encode(self.tokenizer, texts) if texts else []
        options = {"pad": self.tokenizer.pad_token_id or 0, "batch_size": batch_size}
        return probabilities_of(self.network, encoded, backend=self.backend, **options)

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """One prediction a text, in the order given. Blank texts are passed over, and said."""
        there = [i for i, text in enumerate(texts) if text.strip()]
        computed = iter(self.probabilities([texts[i] for i in there]))
        out = [Prediction(text, None, None, "empty") for text in texts]
        for i in there:
            p = next(computed)
            label = LABELS[1] if p >= self.threshold else LABELS[0]
            out[i] = Prediction(texts[i], label, p, self._note(texts[i]))
        return out

    def _note(self, text: str) -> str:
        pieces = self.tokenizer.tokenize(text)
        notes = []
        if len(pieces) + 2 > batches.MAX_LENGTH:
            notes.append(f"only the first {batches.MAX_LENGTH - 2} of {len(pieces)} tokens read")
        letters = [c for c in text if c.isalpha()]
        foreign = sum(not c.isascii() for c in letters)
        if pieces.count(self.tokenizer.unk_token) * 2 > len(pieces) or foreign * 2 > len(letters):
            notes.append("not in the alphabet of the training data: do not rely on this")
        if "\ufffd" in text:
            notes.append("bytes that are not UTF-8 were replaced")
        return "; ".join(notes)
