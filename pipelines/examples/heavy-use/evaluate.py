"""Measures models on the heldout rows, takes the best, and writes its numbers, also per slice.

With one model in (the champion, when the gate asks for its numbers) it is measured alone.
"""

import os
import pickle
import shutil

import numpy as np
from sklearn.metrics import brier_score_loss, roc_auc_score

from common import features, input_file, labels, log_metrics, read_rows

FLAGGED = 0.25  # the share of people who could be offered a care manager
BINS = 10


def expected_calibration_error(y, p):
    """Mean gap between predicted and observed share, over bins of equal counts."""
    order = np.argsort(p, kind="stable")
    parts = np.array_split(order, BINS)
    return sum(len(i) * abs(p[i].mean() - y[i].mean()) for i in parts) / len(y)


def measure(y, p, threshold):
    heavy = y == 1
    return {
        "auc": roc_auc_score(y, p) if 0 < heavy.sum() < len(y) else float("nan"),
        "recall": (p[heavy] >= threshold).mean() if heavy.any() else float("nan"),
        "n": len(y),
    }


def slices(rows):
    yield "health=excellent", [r["hlthg"] == r["hlthf"] == r["hlthp"] == "0" for r in rows]
    yield "health=good", [r["hlthg"] == "1" for r in rows]
    yield "health=fair or poor", [r["hlthf"] == "1" or r["hlthp"] == "1" for r in rows]
    yield "limitation=yes", [float(r["physlm"]) > 0 for r in rows]
    yield "chronic=many", [float(r["disea"]) >= 15 for r in rows]
    yield "plan=free care", [float(r["lncoins"]) == 0 for r in rows]
    yield "plan=cost sharing", [float(r["lncoins"]) > 0 for r in rows]


def load(directory):
    with open(os.path.join(directory, "model.pkl"), "rb") as f:
        return pickle.load(f)


rows = read_rows(input_file("heldout"))
x, y = features(rows), labels(rows)
root = os.environ["SLUICE_IN_models"]
single = os.path.exists(os.path.join(root, "model.pkl"))
found = {"": root} if single else {d: os.path.join(root, d) for d in sorted(os.listdir(root))}

predictions = {name: load(path).predict_proba(x)[:, 1] for name, path in found.items()}
for name, p in predictions.items():
    print(f"{name or 'model'}: auc {roc_auc_score(y, p):.4f}")
best = max(predictions, key=lambda name: roc_auc_score(y, predictions[name]))
p = predictions[best]
threshold = np.quantile(p, 1 - FLAGGED)

whole = measure(y, p, threshold)
whole["ece"] = expected_calibration_error(y, p)
whole["brier"] = brier_score_loss(y, p)
log_metrics(**whole)
for name, mask in slices(rows):
    mask = np.array(mask)
    log_metrics(slice=name, **measure(y[mask], p[mask], threshold))

out = os.environ["SLUICE_OUT_best"]
os.makedirs(out)
for name in sorted(os.listdir(found[best])):  # inputs are read-only: the bytes are copied, not the modes
    shutil.copyfile(os.path.join(found[best], name), os.path.join(out, name))
print(f"best: {best or 'model'}")
