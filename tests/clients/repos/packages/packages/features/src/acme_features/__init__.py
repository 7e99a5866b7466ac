"""Rows of a table as numbers."""
import csv


def rows(path):
    with open(path, newline="", encoding="utf-8") as table:
        for row in list(csv.reader(table))[1:]:
            yield [float(value) for value in row[:-1]], int(float(row[-1]))
