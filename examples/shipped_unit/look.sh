#!/usr/bin/env bash
# Renders the people that people.py wrote, looks at them and triangulates the joints: look.sh FOLDER FRAMES
#
# Each folder FOLDER/SEED then has labels.h5; one that has it already is left as it is. Extras [mediapipe] and [synth].
set -euo pipefail

for person in "$1"/*; do
    if [ ! -e "$person/labels.h5" ]; then
        seed=$((10#$(basename "$person")))
        epitool synth --quiet --out "$person/scene" --motion "$person/motion.npz" --rig "$person/rig.toml" \
            --frames "$2" --seed "$seed"
        epitool detect2d --quiet --views "$person"/scene/cam[0-9] --out "$person/keypoints.h5"
        epitool triangulate --quiet --min-confidence 0.1 --keypoints "$person/keypoints.h5" \
            --cameras "$person/rig.toml" --out "$person/labels.h5"
    fi
done
