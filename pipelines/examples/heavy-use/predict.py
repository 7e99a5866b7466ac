"""Serving side, part of every model version: loads the model beside it and predicts.

`predict.py --warm-up` loads the model once, so that the files are in memory before traffic comes.
`predict.py --self-test` predicts the rows kept at training and compares: the health check of the target.
`predict.py 4.6 0 6.9 0 0 13.7 1 0 0` predicts one person.
"""

import json
import os
import pickle
import sys

here = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(here, "model.pkl"), "rb") as f:
    model = pickle.load(f)
with open(os.path.join(here, "selftest.json")) as f:
    test = json.load(f)

if sys.argv[1:] == ["--warm-up"]:
    model.predict_proba(test["rows"])
elif sys.argv[1:] == ["--self-test"]:
    for got, want in zip(model.predict_proba(test["rows"])[:, 1], test["expected"]):
        if abs(got - want) > 1e-9:
            sys.exit(f"predicts {got}, expected {want}")
    print(f"{len(test['rows'])} predictions as expected")
else:
    row = [float(v) for v in sys.argv[1:]]
    if len(row) != len(test["features"]):
        sys.exit("expected " + " ".join(test["features"]))
    print(f"{model.predict_proba([row])[0, 1]:.4f}")
