"""The independent computation of `history-accuracy`: RecTools' models and metrics on the raw files, no line of ours.

Runs in an environment of its own: `python _rectools.py JOB.json`; prints one JSON object, model -> metric -> value.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from implicit.nearest_neighbours import CosineRecommender, NearestNeighboursScorer
from rectools import Columns
from rectools.dataset import Dataset
from rectools.metrics import NDCG, CatalogCoverage, HitRate, calc_metrics
from rectools.models import EASEModel, ImplicitItemKNNWrapperModel, PopularModel


def retailrocket(folder):
    """Events with the weight of their type, and the given held-out buys."""
    events = pd.read_parquet(f"{folder}/retailrocket_events/events.parquet")
    events = pd.DataFrame(
        {
            Columns.User: events["user_id"].astype(str),
            Columns.Item: events["item_id"].astype(str),
            Columns.Datetime: pd.to_datetime(events["timestamp"], unit="s"),
            Columns.Weight: events["event"].map({"view": 1.0, "cart": 2.0, "buy": 3.0}),
        }
    )
    held = pd.read_csv(f"{folder}/retailrocket_events/test_buys.csv").astype(str)
    return events, held.rename(columns={"user_id": Columns.User, "item_id": Columns.Item})


def online_retail(folder, days):
    """Cleaned invoice lines of the newest `days` days."""
    lines = pd.read_parquet(f"{folder}/online_retail/invoices.parquet")
    lines = lines[
        ~lines["InvoiceNo"].str.startswith("C")
        & (lines["Quantity"] > 0)
        & (lines["UnitPrice"] > 0)
        & lines["CustomerID"].notna()
        & lines["StockCode"].str.match(r"^\d{5}")
    ]
    events = pd.DataFrame(
        {
            Columns.User: lines["CustomerID"].astype(int).astype(str),
            Columns.Item: lines["StockCode"],
            # the wholesaler's clock is London's
            Columns.Datetime: lines["InvoiceDate"]
            .dt.tz_localize("Europe/London", ambiguous=True, nonexistent="shift_forward")
            .dt.tz_convert("UTC")
            .dt.tz_localize(None),
            Columns.Weight: 3.0,
        }
    )
    return events[events[Columns.Datetime] >= events[Columns.Datetime].max() - pd.Timedelta(days=days)]


def strongest(events):
    """One row a visitor and item, with the strongest weight."""
    keys = [Columns.User, Columns.Item]
    return events.groupby(keys, as_index=False).agg({Columns.Weight: "max", Columns.Datetime: "max"})


class OtherItems(CosineRecommender):
    """implicit counts an item among its own K neighbours, with cosine 1: leave it out."""

    def fit(self, *args, **kwargs):
        """Fit, then forget the diagonal."""
        super().fit(*args, **kwargs)
        self.similarity.setdiag(0.0)
        self.similarity.eliminate_zeros()
        self.scorer = NearestNeighboursScorer(self.similarity)  # it keeps arrays of its own


class PaperEASE(EASEModel):
    """RecTools' EASE, scored as the paper does: scores = X B (Steck 2019, equation 2).

    RecTools 0.19 learns B as the paper does, B_ij = -P_ij / P_jj, and then ranks by X B': its ranker takes the rows of
    B as the items' factors, where column j holds what speaks for item j.
    """

    def _fit(self, dataset):
        super()._fit(dataset)
        self.weight = np.ascontiguousarray(self.weight.T)


def main(job):
    if job["set"] == "retailrocket":
        train, test = retailrocket(job["data"])
        if job["cutoff"]:
            later = train[Columns.Datetime] >= pd.Timestamp(job["cutoff"])
            train, test = train[~later], train[later]
    else:
        events = online_retail(job["data"], job["history_days"])
        later = events[Columns.Datetime] >= pd.Timestamp(job["cutoff"])
        train, test = events[~later], events[later]
    test = test[test[Columns.User].isin(train[Columns.User])]
    test = test[[Columns.User, Columns.Item]].drop_duplicates()
    test[Columns.Weight], test[Columns.Datetime] = 1.0, pd.Timestamp("2020-01-01")
    counts = train[Columns.Item].value_counts()

    def frequent(model):
        """Items with enough events for the model."""
        return strongest(train[train[Columns.Item].isin(counts.index[counts >= job["min_events"][model]])])

    full = strongest(train)
    catalogue = full[Columns.Item].unique()
    metrics = {
        "hr": HitRate(k=10),
        "ndcg": NDCG(k=10, divide_by_achievable=True),
        "coverage": CatalogCoverage(k=10, normalize=True),
    }
    candidates = {
        "popular": (PopularModel(popularity="sum_weight"), full),
        "item_knn": (ImplicitItemKNNWrapperModel(OtherItems(K=job["neighbours"] + 1)), frequent("item_knn")),
        "ease": (PaperEASE(regularization=job["regularization"]), frequent("ease")),
        "ease_as_shipped": (EASEModel(regularization=job["regularization"]), frequent("ease")),
    }
    found = {}
    for name in job["models"]:
        model, interactions = candidates[name]
        dataset = Dataset.construct(interactions)
        model.fit(dataset)
        known = set(interactions[Columns.User])
        users = [user for user in test[Columns.User].unique() if user in known]
        lists = model.recommend(users, dataset, k=10, filter_viewed=False)
        found[name] = {
            key: float(value)
            for key, value in calc_metrics(metrics, reco=lists, interactions=test, catalog=catalogue).items()
        }
        found[name]["n"] = int(test[Columns.User].nunique())
    print(json.dumps(found))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
