"""Reader of COCO's keypoint annotations."""

from __future__ import annotations

import numpy as np

from epitool.io.foreign.joints.format import FileFormat, JointFile, has, view_of_rows
from epitool.io.foreign.joints.seen_view import Array, SeenView, frame_number, row_of
from epitool.skeleton import Skeleton


def _read(file: JointFile, given: Skeleton | None) -> list[SeenView]:
    content = file.json
    images = {image["id"]: image for image in content["images"]}
    names = next((c["keypoints"] for c in content.get("categories", []) if c.get("keypoints")), None)
    by_frame: dict[int, list[Array]] = {frame_number(image["file_name"]): [] for image in images.values()}
    if len(by_frame) != len(images):
        raise ValueError("two images with the same number at the end of their names")
    for one in content["annotations"]:
        if one.get("keypoints"):
            if one["image_id"] not in images:
                raise ValueError(f"joints of image {one['image_id']}, which is not among the images")
            row = row_of(one["keypoints"])
            row[2::3] = np.minimum(row[2::3], 1)  # visibility 1 (occluded) and 2 (visible) both become confidence 1
            by_frame[frame_number(images[one["image_id"]]["file_name"])].append(row)
    sizes = {(int(i["width"]), int(i["height"])) for i in images.values() if "width" in i and "height" in i}
    size = sizes.pop() if len(sizes) == 1 else None
    return [view_of_rows(file.path, by_frame, names, size, "COCO", given)]


ANNOTATIONS = FileFormat(".json", "COCO's annotations", lambda file: has(file.json, "images", "annotations"), _read)
