"""Trains one candidate. The output directory is a whole release: model, serving script, self-test."""

import json
import os
import pickle
import shutil

import numpy as np
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from common import FEATURES, features, input_file, labels, log_metrics, read_rows

kind = os.environ["KIND"]
rounds = int(os.environ["ROUNDS"])
rows = read_rows(input_file("train"))
x, y = features(rows), labels(rows)
if os.environ["DEGRADE"] == "true":
    y = np.random.default_rng(7).permutation(y)  # labels that say nothing: for showing a refusal

if kind == "logistic":
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(x, y)
    log_metrics(step=0, train_loss=log_loss(y, model.predict_proba(x)[:, 1]))
else:
    depth = {"shallow": 2, "deep": 4}[kind]
    model = GradientBoostingClassifier(
        n_estimators=rounds, max_depth=depth, learning_rate=0.1, subsample=0.8, random_state=1
    ).fit(x, y)
    for step, p in enumerate(model.staged_predict_proba(x)):
        if step % 5 == 0 or step == rounds - 1:
            log_metrics(step=step, train_loss=log_loss(y, p[:, 1]))

out = os.environ["SLUICE_OUT_model"]
os.makedirs(out)
with open(os.path.join(out, "model.pkl"), "wb") as f:
    pickle.dump(model, f, protocol=4)
shutil.copyfile("predict.py", os.path.join(out, "predict.py"))
sample = x[:: len(x) // 5][:5]
expected = model.predict_proba(sample)[:, 1]
with open(os.path.join(out, "selftest.json"), "w") as f:
    json.dump({"features": FEATURES, "rows": sample.tolist(), "expected": expected.tolist()}, f)
print(f"{kind}: trained on {len(rows)} rows")
