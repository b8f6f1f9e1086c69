#!/usr/bin/env bash
# The rows of the paper's own methods in its Table 4, on MPI-INF-3DHP:
#
#     examples/mpi_inf_3dhp/tables.sh /data/mpi_inf_3dhp /data/mpii
#
# As ../h36m/tables.sh. Columns: MPJPE NMPJPE PCK NPCK mPSS@50 mPSS@100.
set -euo pipefail
[ $# -eq 2 ] || { echo "usage: $0 MPI_INF_3DHP MPII" >&2; exit 2; }
source "$(dirname "$0")/../common.sh"

made 3dhp/test.h5 epitool import mpi-inf-3dhp "$1" --every "${EVERY:-5}" --out 3dhp
made s1/train.h5 epitool import mpi-inf-3dhp "$1" --every "${EVERY:-5}" --subjects 1 --out s1
made mpii/train.h5 epitool import mpii "$2" --out mpii

network mpii mpii/train.h5 2d
detected mpii-2d.h5 3dhp/train.h5 runs/mpii/model.pt
detected s1-2d.h5 s1/train.h5 runs/mpii/model.pt
labels ss.h5 mpii-2d.h5 3dhp/train.h5
labels s1.h5 s1-2d.h5 s1/train.h5
cameras_without_r s1-no-r.toml s1-2d.h5 s1/train.h5
labels s1-no-r.h5 s1-2d.h5 s1-no-r.toml

made pss.npz epitool pss-fit --poses 3dhp/train.h5 --k 50,100
test=(--truth 3dhp/test.h5 --split all)
network fs 3dhp/train.h5 full runs/mpii/model.pt
network s1 s1.h5 self runs/mpii/model.pt
network s1-no-r s1-no-r.h5 self runs/mpii/model.pt
network ss ss.h5 self runs/mpii/model.pt
row "Table 4, FS" "108.99 106.38 77.5 78.1 87.15 82.21" --model runs/fs/model.pt "${test[@]}"
row "Table 4, S1" "n/a 115.37 n/a 74.4 75.64 73.15" --model runs/s1/model.pt "${test[@]}"
row "Table 4, S1 without R" "n/a 119.86 n/a 73.5 73.41 70.97" --model runs/s1-no-r/model.pt "${test[@]}"
row "Table 4, SS" "126.79 125.65 64.7 71.9 70.94 67.58" --model runs/ss/model.pt "${test[@]}"
