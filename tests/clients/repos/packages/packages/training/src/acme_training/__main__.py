"""fit TABLE MODEL | score MODEL TABLE"""
import json
import sys

import distances  # third party

from acme_features import rows


def fit(table, target):
    sums = {}
    for values, label in rows(table):
        total, n = sums.get(label, ([0.0] * len(values), 0))
        sums[label] = ([a + b for a, b in zip(total, values)], n + 1)
    model = {"library": distances.version, "centroids": {str(k): [v / n for v in t] for k, (t, n) in sums.items()}}
    with open(target, "w", encoding="utf-8") as out:
        json.dump(model, out)


def score(path, table):
    with open(path, encoding="utf-8") as text:
        centroids = json.load(text)["centroids"]
    right = total = 0
    for values, label in rows(table):
        nearest = min(centroids, key=lambda k: sum((a - b) ** 2 for a, b in zip(values, centroids[k])))
        right, total = right + (int(nearest) == label), total + 1
    print(json.dumps({"accuracy": right / total}))


if __name__ == "__main__":
    {"fit": fit, "score": score}[sys.argv[1]](*sys.argv[2:])
