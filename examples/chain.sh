#!/usr/bin/env bash
# From footage to a network of one's own, and its measure, as a shell script:
#
#     SCALE=height=1.78m examples/chain.sh cam1.mp4 cam2.mp4 cam3.mp4
#
# Works in the current directory; run again, it goes on where it stopped. Options of `calibrate` and `train` come from
# the environment: SCALE, INTRINSICS, EPOCHS.
set -euo pipefail

if [ $# -lt 2 ]; then
    echo "usage: $0 VIEW VIEW..." >&2
    exit 2
fi

epitool detect2d --views "$@"
epitool calibrate --views "$@" ${SCALE:+--scale "$SCALE"} ${INTRINSICS:+--intrinsics "$INTRINSICS"}
epitool triangulate
epitool pss-fit
epitool train --pairs labels.h5 ${EPOCHS:+--epochs "$EPOCHS"}
epitool predict "$@" --boxes keypoints.h5 --no-refiner --out pose.json

# programs read the summary as JSON, and the exit status
error=$(epitool evaluate --pss 50,100 --json | python3 -c '
import json, sys
metrics = {m["name"]: m["value"] for m in json.load(sys.stdin)["rows"][0]["metrics"]}
print(round(metrics["NMPJPE"], 1))')
echo "NMPJPE of the network on frames it has not seen: $error"
