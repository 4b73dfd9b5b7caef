"""What a trained model leaves behind: a folder of data files that any process scores with NumPy alone.

A folder holds `manifest.json`, `items.json` (external item ids, position = internal id) and one `NAME.npy` per array.
The manifest names the *kind* from a short closed list; whoever serves knows kinds, never models. Nothing is pickled:
arrays are read with `allow_pickle=False` and memory-mapped, so processes of one host share their pages.

| kind | arrays | a query's scores |
| --- | --- | --- |
| `static` | `scores` (n,), more by name | the array named like `query.type`, else `scores` |
| `item_item` | CSR `indptr` (n+1,), `indices`, `data`, or dense `weights` (n, n) | input weights times rows |
| `two_tower` | `vectors` (n, d) | weighted mean of the history's vectors times all vectors |
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from ml_models.core import flat
from ml_models.core.errors import ArtifactError
from ml_models.core.query import Interaction, Query

__all__ = ["FORMAT", "KINDS", "Artifact", "LoadedArtifact", "history_inputs", "largest", "load", "verify", "write"]

FORMAT = 1
"""Version of the folder's layout; a reader refuses a newer one."""

MANIFEST = "manifest.json"
ITEMS = "items.json"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_BLOCK = 128


@dataclass(frozen=True, slots=True)
class Artifact:
    """A folder as its manifest describes it."""

    directory: Path
    kind: str
    model: str
    config: Mapping[str, Any]
    params: Mapping[str, Any]
    """What the kind needs besides arrays, such as the weight of each event type."""
    items: int
    """Number of items."""
    files: Mapping[str, Mapping[str, Any]]
    """File name -> `bytes` and `sha256`."""


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(
    directory: Path,
    *,
    kind: str,
    model: str,
    config: Mapping[str, Any],
    item_ids: Sequence[str],
    arrays: Mapping[str, NDArray[Any]],
    params: Mapping[str, Any],
) -> Artifact:
    """Write an artifact into an empty (or new) folder; the manifest comes last.

    Equal input gives equal bytes: no time and no path is written. Raises `ArtifactError` when the folder holds
    anything, the kind is unknown or the arrays do not fit it.
    """
    directory = Path(directory)
    if kind not in KINDS:
        raise ArtifactError(f"Unknown artifact kind {kind!r}. Known kinds: {', '.join(KINDS)}.")
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise ArtifactError(f"The folder {directory} is not empty. Export into a new folder.")
    ids = list(item_ids)
    if len(set(ids)) != len(ids):
        raise ArtifactError(f"The item ids of {model} are not unique. Merge the duplicates before training.")
    for name in arrays:
        if not _NAME.fullmatch(name):
            raise ArtifactError(f"{name!r} cannot be the name of an array. Use lower-case letters, digits and _.")
    KINDS[kind].check(model, len(ids), arrays)
    (directory / ITEMS).write_bytes(msgspec.json.encode(ids))
    for name, array in arrays.items():
        np.save(directory / f"{name}.npy", np.ascontiguousarray(array), allow_pickle=False)
    files = {path.name: {"bytes": path.stat().st_size, "sha256": _sha256(path)} for path in sorted(directory.iterdir())}
    manifest = {
        "format": FORMAT,
        "kind": kind,
        "model": model,
        "config": dict(config),
        "params": dict(params),
        "items": len(ids),
        "files": files,
    }
    (directory / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return Artifact(directory, kind, model, dict(config), dict(params), len(ids), files)


def _remedy(model: str = "") -> str:
    name = model or "NAME"
    return f"Train it again (python manage.py ml_train --model {name}) or go back to an earlier version."


def read_manifest(directory: Path) -> Artifact:
    """The manifest of a folder, checked against the files' sizes. Raises `ArtifactError`."""
    directory = Path(directory)
    try:
        manifest = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
        number = manifest["format"]
        if number != FORMAT:
            raise ArtifactError(
                f"The artifact in {directory} has format {number}, this release reads format {FORMAT}. "
                "Update the package on this host or train the model again."
            )
        artifact = Artifact(
            directory,
            manifest["kind"],
            manifest["model"],
            manifest["config"],
            manifest["params"],
            int(manifest["items"]),
            manifest["files"],
        )
        sizes = {name: int(entry["bytes"]) for name, entry in artifact.files.items()}
    except FileNotFoundError as error:
        raise ArtifactError(f"There is no artifact in {directory}: {MANIFEST} is missing. {_remedy()}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"The manifest in {directory} cannot be read ({error!r}). {_remedy()}") from error
    if artifact.kind not in KINDS:
        raise ArtifactError(
            f"The artifact in {directory} is of the unknown kind {artifact.kind!r}; this release serves "
            f"{', '.join(KINDS)}. Update the package on this host or train the model again."
        )
    for name, size in sizes.items():
        if name != ITEMS and not (name.endswith(".npy") and _NAME.fullmatch(name[:-4])):
            raise ArtifactError(f"The manifest in {directory} names the odd file {name!r}. {_remedy(artifact.model)}")
        path = directory / name
        found = path.stat().st_size if path.is_file() else None
        if found != size:
            what = "is missing" if found is None else f"has {found} bytes instead of {size}"
            raise ArtifactError(f"The artifact in {directory} is damaged: {name} {what}. {_remedy(artifact.model)}")
    return artifact


def verify(directory: Path) -> Artifact:
    """Check every file against its sha256 (reads everything once). Raises `ArtifactError`."""
    artifact = read_manifest(directory)
    for name, entry in artifact.files.items():
        if _sha256(artifact.directory / name) != entry["sha256"]:
            raise ArtifactError(
                f"The artifact in {artifact.directory} is damaged: {name} does not match its checksum. "
                f"{_remedy(artifact.model)}"
            )
    return artifact


def load(directory: Path) -> LoadedArtifact:
    """Open an artifact for scoring: manifest, format and sizes checked, arrays memory-mapped read-only.

    Raises `ArtifactError` with the remedy when anything is missing, damaged, newer or does not fit together.
    """
    artifact = read_manifest(directory)
    try:
        ids = msgspec.json.decode((artifact.directory / ITEMS).read_bytes(), type=list[str])
        arrays = {
            name[:-4]: np.load(artifact.directory / name, mmap_mode="r", allow_pickle=False)
            for name in artifact.files
            if name.endswith(".npy")
        }
    except (OSError, ValueError, msgspec.DecodeError) as error:
        raise ArtifactError(
            f"The artifact in {artifact.directory} is damaged: {error}. {_remedy(artifact.model)}"
        ) from error
    if len(ids) != artifact.items:
        raise ArtifactError(
            f"The artifact in {artifact.directory} is damaged: {len(ids)} item ids instead of {artifact.items}. "
            f"{_remedy(artifact.model)}"
        )
    loaded = KINDS[artifact.kind]
    loaded.check(artifact.model, len(ids), arrays)
    return loaded(artifact, ids, arrays)


def largest(scores: NDArray[np.float32], k: int) -> NDArray[np.intp]:
    """Positions of the `k` largest of `scores` (n,), best first, equal scores by position; NaN never.

    Exact. The k-th largest of the blocks' maxima is a lower bound of the k-th largest value, so one pass of maxima and
    one comparison leave few candidates (six times faster than `argpartition` at n = 100,000, k = 200, and not slowed
    down by ties).
    """
    n = len(scores)
    if k <= 0 or n == 0:
        return np.empty(0, dtype=np.intp)
    block = min(128, n // (2 * k))
    if block >= 4:
        maxima = np.fmax.reduce(scores[: n // block * block].reshape(-1, block), axis=1)
        maxima = maxima[~np.isnan(maxima)]
        if len(maxima) > k:
            bound = np.partition(maxima, len(maxima) - k)[len(maxima) - k]
            above = np.flatnonzero(scores > bound)
            if len(above) < k:  # the k-th largest value is the bound itself
                level = np.flatnonzero(scores == bound)[: k - len(above)]
                return _ordered(scores, np.concatenate([above, level]))
            return _ordered(scores, above)[:k]
    return _ordered(scores, np.flatnonzero(~np.isnan(scores)))[:k]


def _ordered(scores: NDArray[np.float32], places: NDArray[np.intp]) -> NDArray[np.intp]:
    return places[np.lexsort((places, -scores[places]))]


def history_inputs(
    history: Iterable[Interaction], index: Mapping[str, int], params: Mapping[str, Any]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The history as model input: internal item ids `(m,)`, newest item first, and their weights `(m,)`.

    An event weighs `params["weights"][event_type]` (0 leaves it out), halved every `half_life_days` before the newest
    event of the history (0 = no decay). Events of one item are summed, or the strongest counts (`combine` = `sum`,
    `max`); then each item weighs `step_decay` (0 to 1, 1 = no decay) per item that came after it. Scale-free on
    purpose: decay counts from the visitor's newest event, so that the answer does not drift with the clock.
    `ml_models.core.data_loader.Dataset.inputs` is the same calculation for all visitors at once.
    """
    weights: Mapping[str, float] = params.get("weights", {})
    half_life = float(params.get("half_life_days", 0.0))
    step = float(params.get("step_decay", 1.0))
    strongest = params.get("combine", "sum") == "max"
    events = [
        (found, weights.get(event.event_type, 0.0), event.at.timestamp())
        for event in history
        if (found := index.get(event.item_id)) is not None and weights.get(event.event_type, 0.0) > 0
    ]
    if not events:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
    newest = max(at for _, _, at in events)
    values: dict[int, float] = {}
    last: dict[int, tuple[float, int]] = {}
    for place, (item, weight, at) in enumerate(events):
        value = weight * 0.5 ** ((newest - at) / (86400.0 * half_life)) if half_life > 0 else weight
        values[item] = max(values.get(item, 0.0), value) if strongest else values.get(item, 0.0) + value
        last[item] = max(last.get(item, (at, place)), (at, place))
    items = sorted(values, key=last.__getitem__, reverse=True)
    result = np.array([values[item] for item in items], dtype=np.float64)
    if step < 1.0:
        result *= step ** np.arange(len(items))
    return np.array(items, dtype=np.int64), result.astype(np.float32)


class LoadedArtifact:
    """An opened artifact. Thread-safe: nothing changes after opening."""

    required: ClassVar[tuple[frozenset[str], ...]] = ()

    def __init__(self, artifact: Artifact, item_ids: list[str], arrays: Mapping[str, NDArray[Any]]) -> None:
        self.kind = artifact.kind
        self.model = artifact.model
        self.config = artifact.config
        self.params = artifact.params
        self.item_ids = item_ids
        """External ids; position = internal id."""
        self.arrays = arrays
        self.index: dict[str, int] = {item: place for place, item in enumerate(item_ids)}

    @classmethod
    def check(cls, model: str, items: int, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Raise `ArtifactError` unless the arrays fit the kind and each other."""
        raise NotImplementedError

    def vector(self, query: Query) -> NDArray[np.float32] | None:
        """Scores of all items `(n,)` for the query, possibly read-only; None when the query gives nothing to go by."""
        raise NotImplementedError

    def score(self, query: Query, items: Sequence[str]) -> NDArray[np.float32]:
        """Scores `(len(items),)`; NaN for an item the model does not know, or when nothing is known of the visitor."""
        result = np.full(len(items), np.nan, dtype=np.float32)
        places = np.array([self.index.get(item, -1) for item in items], dtype=np.int64)
        known = places >= 0
        vector = self.vector(query) if known.any() else None
        if vector is not None:
            result[known] = vector[places[known]]
        return result

    def top(self, query: Query, k: int, exclude: frozenset[str] = frozenset()) -> tuple[list[str], NDArray[np.float32]]:
        """The best `k` items not in `exclude`, best first, with their scores; fewer (or none) where no more are known.

        A list of items similar to `query.product_id` leaves that product out.
        """
        vector = self.vector(query)
        if vector is None:
            return [], np.empty(0, dtype=np.float32)
        banned = self._banned(query, exclude)
        if banned:
            vector = vector.copy() if not vector.flags.writeable else vector
            vector[banned] = np.nan
        best = self._best(vector, k)
        return [self.item_ids[place] for place in best], np.asarray(vector[best], dtype=np.float32)

    def _banned(self, query: Query, exclude: frozenset[str]) -> list[int]:
        """Positions of the items that may not be listed, each once."""
        banned = [place for item in exclude if (place := self.index.get(item)) is not None]
        if query.type == "similar" and query.product_id is not None and query.product_id not in exclude:
            place = self.index.get(query.product_id)
            banned += [] if place is None else [place]
        return banned

    def _best(self, vector: NDArray[np.float32], k: int) -> NDArray[np.intp]:
        """Positions of the `k` best items worth listing."""
        return largest(vector, k)

    def _inputs(self, query: Query) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Items that speak for the query and their weights: the product of a similar list, else the history."""
        if query.type == "similar" and query.product_id is not None:
            place = self.index.get(query.product_id)
            items = np.empty(0, dtype=np.int64) if place is None else np.array([place], dtype=np.int64)
            return items, np.ones(len(items), dtype=np.float32)
        return history_inputs(query.history, self.index, self.params)


def _fit(
    model: str, items: int, arrays: Mapping[str, NDArray[Any]], shapes: Mapping[str, tuple[int | None, ...]]
) -> None:
    for name, shape in shapes.items():
        array = arrays.get(name)
        found = None if array is None else array.shape
        if (
            found is None
            or len(found) != len(shape)
            or any(w is not None and w != f for w, f in zip(shape, found, strict=True))
        ):
            raise ArtifactError(
                f"The artifact of {model} does not fit together: {name} should have the shape {shape} for {items} "
                f"items and is {found or 'missing'}. {_remedy(model)}"
            )


class StaticArtifact(LoadedArtifact):
    """The same scores for everybody: `scores`, or the array named like the query's type (such as `trending`)."""

    @classmethod
    def check(cls, model: str, items: int, arrays: Mapping[str, NDArray[Any]]) -> None:
        _fit(model, items, arrays, dict.fromkeys(["scores", *arrays], (items,)))

    def vector(self, query: Query) -> NDArray[np.float32]:
        array: NDArray[np.float32] = self.arrays.get(query.type, self.arrays["scores"])[:]
        array.flags.writeable = False  # whoever leaves items out must copy: these are everybody's scores
        return array


class ItemItemArtifact(LoadedArtifact):
    """Row i says what item i recommends. Items without evidence (a score of 0 or less) are scored, never listed.

    `popularity` (n,), where there is one, is a prior of a visitor's list: it is added in units of the best score that
    the history gives, so it decides among what the history says nothing or little of. No history, no list, as ever;
    lists similar to a product do without it.
    """

    @classmethod
    def check(cls, model: str, items: int, arrays: Mapping[str, NDArray[Any]]) -> None:
        if "popularity" in arrays:
            _fit(model, items, arrays, {"popularity": (items,)})
        if "weights" in arrays:
            _fit(model, items, arrays, {"weights": (items, items)})
            return
        _fit(model, items, arrays, {"indptr": (items + 1,), "indices": (None,), "data": (None,)})
        entries = int(arrays["indptr"][-1])
        _fit(model, items, arrays, {"indices": (entries,), "data": (entries,)})

    def vector(self, query: Query) -> NDArray[np.float32] | None:
        items, weights = self._inputs(query)
        if not len(items):
            return None
        scores = self._evidence(items, weights)
        popularity = self.arrays.get("popularity")
        if popularity is not None and query.type != "similar":
            best = scores.max(initial=0.0)
            if best > 0:
                scores += best * popularity
        return scores

    def _evidence(self, items: NDArray[np.int64], weights: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the items say of every item, (n,)."""
        dense = self.arrays.get("weights")
        if dense is not None:
            return np.asarray(weights @ np.asarray(dense[items]), dtype=np.float32)
        indptr, indices, data = self.arrays["indptr"], self.arrays["indices"], self.arrays["data"]
        scores = np.zeros(len(self.item_ids), dtype=np.float32)
        for item, weight in zip(items, weights, strict=True):
            row = slice(indptr[item], indptr[item + 1])
            scores[indices[row]] += weight * data[row]  # an item occurs once in a row
        return scores

    def _best(self, vector: NDArray[np.float32], k: int) -> NDArray[np.intp]:
        positive = np.flatnonzero(vector > 0)
        return positive[largest(vector[positive], k)]


class TwoTowerArtifact(LoadedArtifact):
    """The query's vector is the weighted mean of its history's item vectors; scores are inner products."""

    @classmethod
    def check(cls, model: str, items: int, arrays: Mapping[str, NDArray[Any]]) -> None:
        _fit(model, items, arrays, {"vectors": (items, None)})

    def query_vector(self, query: Query) -> NDArray[np.float32] | None:
        """The query's vector (d,), or None without a known item."""
        items, weights = self._inputs(query)
        if not len(items):
            return None
        mean: NDArray[np.float32] = (weights @ np.asarray(self.arrays["vectors"][items])) / weights.sum()
        return mean.astype(np.float32)

    def vector(self, query: Query) -> NDArray[np.float32] | None:
        user = self.query_vector(query)
        if user is None:
            return None
        return np.asarray(np.asarray(self.arrays["vectors"]) @ user, dtype=np.float32)

    def top(self, query: Query, k: int, exclude: frozenset[str] = frozenset()) -> tuple[list[str], NDArray[np.float32]]:
        """As for every kind; by FAISS where it is installed, exactly as well and at half the time."""
        user = self.query_vector(query)
        if user is None:
            return [], np.empty(0, dtype=np.float32)
        banned = self._banned(query, exclude)
        found = flat.nearest(self.arrays["vectors"], user, k + len(banned))
        if found is None:
            return super().top(query, k, exclude)
        places, scores = found[0].tolist(), found[1]
        if banned:
            out = set(banned)
            kept = [row for row, place in enumerate(places) if place not in out]
            places, scores = [places[row] for row in kept], scores[kept]
        return [self.item_ids[place] for place in places[:k]], scores[:k]


KINDS: dict[str, type[LoadedArtifact]] = {
    "static": StaticArtifact,
    "item_item": ItemItemArtifact,
    "two_tower": TwoTowerArtifact,
}
"""The closed list of kinds."""
