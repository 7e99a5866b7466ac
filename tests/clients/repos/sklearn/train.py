"""Trains a classifier on a table whose last column is the class, and reports how well it does on held-out rows."""
import argparse
import json
import pathlib

import joblib
import numpy
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--data", required=True)
    options.add_argument("--model", required=True)
    options.add_argument("--report", required=True)
    options.add_argument("--seed", type=int, default=0)
    options = options.parse_args()
    table = numpy.loadtxt(options.data, delimiter=",", skiprows=1)
    x, x_test, y, y_test = train_test_split(table[:, :-1], table[:, -1], test_size=0.3, random_state=options.seed,
                                            stratify=table[:, -1])
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    model.fit(x, y)
    report = {"accuracy": accuracy_score(y_test, model.predict(x_test)),
              "log_loss": log_loss(y_test, model.predict_proba(x_test))}
    joblib.dump(model, options.model)
    pathlib.Path(options.report).write_text(json.dumps(report), encoding="utf-8")
    print(report)


if __name__ == "__main__":
    main()
