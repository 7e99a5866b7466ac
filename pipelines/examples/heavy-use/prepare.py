"""Splits the experiment's rows into train and heldout, by person, so that nobody is in both."""

import csv
import hashlib
import os

from common import FEATURES, HEAVY_FROM, input_file, read_rows

HELDOUT_PERCENT = 25


def person_of(rows):
    """The file has a row per person and year, years together: equal covariates in a row are one person."""
    number, last = 0, None
    for row in rows:
        key = tuple(row[c] for c in FEATURES)
        if key != last:
            number, last = number + 1, key
        yield number


def bucket(person):
    return int(hashlib.sha256(str(person).encode()).hexdigest()[:8], 16) % 100


def write(name, rows):
    os.makedirs(os.environ["SLUICE_OUT_" + name])
    path = os.path.join(os.environ["SLUICE_OUT_" + name], "rows.csv")
    with open(path, "w", newline="") as f:
        out = csv.DictWriter(f, FEATURES + ["heavy"], lineterminator="\n")
        out.writeheader()
        out.writerows(rows)
    heavy = sum(r["heavy"] for r in rows)
    print(f"{name}: {len(rows)} person-years, {100 * heavy / len(rows):.1f} % heavy use")


rows = read_rows(input_file("randhie", "randhie.csv"))
train, heldout = [], []
for row, person in zip(rows, person_of(rows)):
    kept = {c: row[c] for c in FEATURES}
    kept["heavy"] = int(float(row["mdvis"]) >= HEAVY_FROM)
    (heldout if bucket(person) < HELDOUT_PERCENT else train).append(kept)
write("train", train)
write("heldout", heldout)
