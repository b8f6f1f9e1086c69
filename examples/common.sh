# What the scripts of h36m/ and mpi_inf_3dhp/ share. Files that are there already are not made again.
#
#     GEOMETRY=paper (default): fundamental matrix, polynomial triangulation, vector median; epitool: its own defaults
#     PRESET=paper (default) or small, EPOCHS: of the networks, if another number than the preset's

GEOMETRY=${GEOMETRY:-paper}
PRESET=${PRESET:-paper}

made() { # FILE COMMAND...: runs the command unless the file is there
    local file=$1
    shift
    [ -e "$file" ] || "$@"
}

labels() { # OUT KEYPOINTS CAMERAS
    local combine=robust
    [ "$GEOMETRY" = paper ] && combine=vector-median
    made "$1" epitool triangulate --keypoints "$2" --cameras "$3" --combine $combine --out "$1"
}

cameras_without_r() { # OUT KEYPOINTS LENSES
    local method=essential
    [ "$GEOMETRY" = paper ] && method=fundamental
    made "$1" epitool calibrate --keypoints "$2" --intrinsics "$3" --method $method --out "$1"
}

network() { # NAME LABELS SUPERVISION [INITIAL]
    made "runs/$1/finished" epitool train --name "$1" --pairs "$2" --supervision "$3" --preset "$PRESET" \
        ${EPOCHS:+--epochs "$EPOCHS"} ${4:+--initial "$4"}
    touch "runs/$1/finished"
}

detected() { # OUT IMAGES MODEL
    made "$1" epitool detect2d --images "$2" --detector "$3" --out "$1"
}

# PSS= before it: clusters of its own joints
row() { # NAME EXPECTED evaluate's options...: a row of a table, and the paper's beside it
    local name=$1 expected=$2
    shift 2
    echo
    echo "== $name; the paper: $expected"
    epitool evaluate --pss 50,100 ${PSS---pss-file pss.npz} --out "$(tr ' ,()' '----' <<< "$name").json" "$@"
}
