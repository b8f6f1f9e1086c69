#!/usr/bin/env bash
# The refinement unit that comes with epitool, made anew from motion capture: make.sh MOCAP.npz [PEOPLE]
#
# People of many shapes are rendered in mixed poses; BlazePose looks at them; the joints that it finds are triangulated
# by the exact cameras, so that what is learned is where this detector has its joints, and how it errs. Extras [mediapipe]
# and [synth]; 26 people take a quarter of an hour on two cores. PYTHON is the interpreter that has epitool. clips.txt
# lists the clips that the shipped unit was made from.
set -euo pipefail

mocap=$(realpath "$1")
people=${2:-26}
here=$(cd "$(dirname "$0")" && pwd)
"${PYTHON:-python}" "$here/people.py" "$mocap" people "$people" 40
"$here/look.sh" people 40
epitool refine --mocap "$mocap" --pairs people/*/labels.h5 --out shipped_refiner.pt
