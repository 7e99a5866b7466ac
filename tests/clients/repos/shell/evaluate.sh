#!/bin/sh
# How many rows fall on the right side of the threshold.
set -eu
awk -F, -v limit="$(cat "$1")" 'NR > 1 { right += ($3 < limit) == ($5 == 0); n++ }
         END { printf "{\"accuracy\": %.6f}\n", right / n }' "$2"
