"""What the steps share: reading rows, features, metrics lines. No state, no side effects on import."""

import csv
import json
import os

import numpy as np

# Everything that is known about a person before the year begins. `mdvis`, the visits that are to be
# predicted, is not among them, and neither is the person's number, which only serves to split.
FEATURES = ["lncoins", "idp", "lpi", "fmde", "physlm", "disea", "hlthg", "hlthf", "hlthp"]
HEAVY_FROM = 5  # visits a year; about one person-year in five


def input_file(name, file="rows.csv"):
    """The file of an input: a version with one file is given as that file, others as a directory."""
    path = os.environ["SLUICE_IN_" + name]
    return os.path.join(path, file) if os.path.isdir(path) else path


def read_rows(path):
    with open(path, newline="") as f:
        return list(csv.DictReader(f))


def features(rows):
    return np.array([[float(r[c]) for c in FEATURES] for r in rows])


def labels(rows):
    return np.array([int(r["heavy"]) for r in rows])


def log_metrics(**fields):
    """One line of metrics, read while the step runs. NaN is written as it is."""
    path = os.environ.get("SLUICE_METRICS")
    if path:
        with open(path, "a") as f:
            f.write(json.dumps(fields) + "\n")
