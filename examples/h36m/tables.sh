#!/usr/bin/env bash
# The rows of the paper's own methods in its Tables 1 to 3, on Human3.6M:
#
#     examples/h36m/tables.sh /data/h36m /data/mpii
#
# The folders are those of `epitool import`; work is left in the current directory, and what is there is not done again.
# GEOMETRY, PRESET and EPOCHS: see ../common.sh. EVERY (default 5): every so many training frames.
# Columns: MPJPE NMPJPE PMPJPE mPSS@50 mPSS@100.
set -euo pipefail
[ $# -eq 2 ] || { echo "usage: $0 HUMAN36M MPII" >&2; exit 2; }
source "$(dirname "$0")/../common.sh"

made h36m/test.h5 epitool import h36m "$1" --every "${EVERY:-5}" --out h36m
made s1/train.h5 epitool import h36m "$1" --every "${EVERY:-5}" --subjects 1 --out s1
made mpii/train.h5 epitool import mpii "$2" --out mpii
made pss.npz epitool pss-fit --poses h36m/train.h5 --k 50,100

# the frozen 2D branch: trained on MPII, as the paper's, and on Human3.6M after that
network mpii mpii/train.h5 2d
network h36m-2d h36m/train.h5 2d runs/mpii/model.pt
detected mpii-2d.h5 h36m/train.h5 runs/mpii/model.pt
detected h36m-2d.h5 h36m/train.h5 runs/h36m-2d/model.pt

# Table 1: labels of the training subjects
cameras_without_r no-r.toml h36m/train.h5 h36m/train.h5
cameras_without_r mpii-no-r.toml mpii-2d.h5 h36m/train.h5
labels gt.h5 h36m/train.h5 h36m/train.h5
labels gt-no-r.h5 h36m/train.h5 no-r.toml
labels h36m-2d-labels.h5 h36m-2d.h5 h36m/train.h5
labels mpii-2d-labels.h5 mpii-2d.h5 h36m/train.h5
labels mpii-no-r.h5 mpii-2d.h5 mpii-no-r.toml
truth=(--truth h36m/train.h5 --split train)
row "Table 1, GT 2D" "4.38 2.87 2.13 98.93 97.16" --predictions gt.h5 "${truth[@]}"
row "Table 1, GT 2D without R" "n/a 22.46 15.06 98.83 96.03" --predictions gt-no-r.h5 "${truth[@]}"
row "Table 1, H36M 2D" "28.37 26.28 25.19 95.08 94.2" --predictions h36m-2d-labels.h5 "${truth[@]}"
row "Table 1, MPII 2D" "45.86 37.79 36.83 90.06 85.96" --predictions mpii-2d-labels.h5 "${truth[@]}"

# Table 2: networks, measured on subjects 9 and 11
test=(--truth h36m/test.h5 --split all)
network fs h36m/train.h5 full runs/mpii/model.pt
network ss mpii-2d-labels.h5 self runs/mpii/model.pt
network ss-no-r mpii-no-r.h5 self runs/mpii/model.pt
row "Table 2, FS" "51.83 51.58 45.04 84.44 78.67" --model runs/fs/model.pt "${test[@]}"
row "Table 2, SS" "76.60 75.25 67.45 73.09 64.03" --model runs/ss/model.pt "${test[@]}"
row "Table 2, SS without R" "n/a 77.75 70.67 70.67 62.05" --model runs/ss-no-r/model.pt "${test[@]}"

# the refinement unit learns from the training subjects' true poses, hinted at by what the network sees of them
made ss-train.json epitool predict h36m/train.h5 --model runs/ss/model.pt --no-refiner --out ss-train.json
made runs/ss/refiner.pt epitool refine --predictions ss-train.json --pairs h36m/train.h5 --name ss
made ss-refined.json epitool predict h36m/test.h5 --model runs/ss/model.pt --refiner runs/ss/refiner.pt \
    --out ss-refined.json
row "Table 2, SS + RU" "60.56 60.04 47.48 80.42 75.41" --predictions ss-refined.json "${test[@]}"

# Table 3
cameras_without_r s1-no-r.toml s1/train.h5 s1/train.h5
labels s1-no-r.h5 s1/train.h5 s1-no-r.toml
network ss-gt gt.h5 self runs/mpii/model.pt
network s1 s1/train.h5 full runs/mpii/model.pt
network s1-no-r s1-no-r.h5 self runs/mpii/model.pt
row "Table 3, SS with GT 2D" "55.08 54.90 47.91 83.9 78.69" --model runs/ss-gt/model.pt "${test[@]}"
row "Table 3, S1" "65.35 64.76 57.22 81.91 75.2" --model runs/s1/model.pt "${test[@]}"
row "Table 3, S1 without R" "n/a 66.98 60.16 77.65 72.4" --model runs/s1-no-r/model.pt "${test[@]}"
PSS= row "Table 3, SS over 14 joints" "69.94 67.90 60.24 n/a n/a" --model runs/ss/model.pt --joints 14 "${test[@]}"
