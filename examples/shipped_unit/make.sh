#!/usr/bin/env bash
# The refinement unit that comes with epitool, made anew from motion capture: make.sh MOCAP.npz [PEOPLE]
#
# People of many shapes are rendered in mixed poses; BlazePose looks at them; the joints that it finds are triangulated
# by the exact cameras, so that what is learned is where this detector has its joints, and how it errs. Extras [mediapipe]
# and [synth]; 26 people take a quarter of an hour on two cores. PYTHON is the interpreter that has epitool.
set -euo pipefail

mocap=$(realpath "$1")
people=${2:-26}
here=$(cd "$(dirname "$0")" && pwd)
"${PYTHON:-python}" "$here/people.py" "$mocap" people "$people" 40
for person in people/*; do
    if [ ! -e "$person/labels.h5" ]; then
        seed=$((10#$(basename "$person")))
        epitool synth --quiet --out "$person/scene" --motion "$person/motion.npz" --rig "$person/rig.toml" --frames 40 --seed "$seed"
        epitool detect2d --quiet --views "$person"/scene/cam[0-9] --out "$person/keypoints.h5"
        epitool triangulate --quiet --min-confidence 0.1 --keypoints "$person/keypoints.h5" \
            --cameras "$person/rig.toml" --out "$person/labels.h5"
    fi
done
epitool refine --mocap "$mocap" --pairs people/*/labels.h5 --out shipped_refiner.pt
