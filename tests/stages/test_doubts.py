"""Doubts about cameras in words: what was found, from where on it is too much, and what helps."""

from __future__ import annotations

import re

import pytest

from epitool.geometry import doubts
from epitool.geometry.calibration.verdict import Verdict
from epitool.geometry.doubts import Doubt, Kind, doubt_if_large, doubt_of_unplaced
from epitool.stages.shared.doubts import (
    Asked,
    doubt_text,
    omission_text,
    passed_on,
    refusal_text,
    select_first,
    sentences,
    shortened,
    word_verdict,
)

PLACE = doubt_if_large(Kind.PLACE, 0.05, doubts.PLACE, "walk_back", length=0.5)
TURNED = doubt_if_large(Kind.ROTATION, 1.4, doubts.ROTATION_DEG, "walk_back")
LOST = doubt_if_large(Kind.ROTATION, 6.2, doubts.ROTATION_DEG, "door")
NUMBERS = dict.fromkeys(("joints", "degrees", "closer", "factor", "span", "length", "off", "known"), 2.0)


def test_a_place_is_uncertain_by_millimetres_where_the_scale_is_known():
    assert word_verdict(Verdict((PLACE,)), Asked(millimetres=490.0)).reasons == (
        "camera walk_back: position uncertain by 245 mm (limit for 'pass': 3% of the camera spacing)",
        "Even with uncertain cameras the shape of the poses is nearly right; the positions and directions of the"
        " cameras are uncertain by the stated amounts; more movement or --intrinsics helps",
    )


def test_and_by_a_share_where_it_is_not():
    assert word_verdict(Verdict((PLACE,)), Asked(lenses_given=True)).reasons == (
        "camera walk_back: position uncertain by 5.0% of the camera spacing (limit for 'pass': 3%)",
        "Even with uncertain cameras the shape of the poses is nearly right; the positions and directions of the"
        " cameras are uncertain by the stated amounts; more movement or more views help",
    )


def test_a_camera_has_one_line_that_joins_its_doubts():
    said = word_verdict(Verdict((PLACE, TURNED)), Asked())
    assert len([reason for reason in said.reasons if reason.startswith("camera")]) == 1
    assert "position uncertain by 5.0%" in said.reasons[0]
    assert "rotation uncertain by 1.4 degrees (limit for 'pass': 1 degree)" in said.reasons[0]


def test_the_worst_comes_first_and_nothing_is_called_usable_beside_it():
    said = word_verdict(Verdict((TURNED, LOST), {"roof": doubt_of_unplaced("roof", "it shows nobody")}), Asked())
    assert said.level == "fail"
    assert said.reasons[0] == "camera door: rotation uncertain by 6.2 degrees (limit: 4 degrees)"
    assert said.reasons[1] == "view roof: is left out: it shows nobody"
    assert "nearly right" not in said.text


def test_of_several_cameras_the_worst_is_named_in_one_line_which_says_how_many_there_are():
    also = [doubt_if_large(Kind.ROTATION, value, doubts.ROTATION_DEG, name) for name, value in (("a", 1.2), ("b", 3.9))]
    noise = doubt_if_large(Kind.NOISE, 0.05, doubts.NOISE)
    reasons = word_verdict(Verdict((TURNED, *also, noise)), Asked()).reasons
    assert [reason.split()[1] for reason in reasons[:3]] == ["b:", "walk_back:", "a:"]
    worst = "3 cameras are doubtful, most of all b: rotation uncertain by 3.9 degrees (limit for 'pass': 1 degree)"
    line, means, scatter = shortened(reasons, "it has the others")
    assert line == f"{worst}; it has the others"
    assert means.startswith("Even with uncertain cameras the shape of the poses is nearly right")
    assert passed_on(reasons, "") == [worst, scatter]
    assert select_first(reasons, "look there") == f"{worst}; look there. 1 more reason: look there"
    assert shortened(reasons[1:2], "there") == [reasons[1]]  # a single camera is stated as it is


def test_reasons_are_joined_with_one_full_stop_each():
    assert sentences(["more movement helps.", "is it in sync?", "bones change"]) == (
        "more movement helps. Is it in sync? Bones change."
    )
    assert select_first([], "nowhere") == "no reason is stated"


def test_cameras_that_fail_say_that_nothing_is_written_and_two_things_to_try():
    text = refusal_text(Verdict((LOST,)), Asked())
    assert "(limit: 4 degrees)" in text
    assert "nothing is written" in text
    assert text.endswith(
        "Try: let the person walk through more of the space that all views see; give the lenses (--intrinsics)"
    )
    assert "--intrinsics" not in refusal_text(Verdict((LOST,)), Asked(lenses_given=True))


def test_values_are_not_rounded_to_their_limits():
    text = doubt_text(Doubt(Kind.VERTICAL, "warn", (), 3.2, 3.0))
    assert "uncertain by 3.2 degrees (limit for 'pass': 3 degrees)" in text
    assert "scatter by 4.3% of the person's size (limit for 'pass': 4%)" in doubt_text(
        Doubt(Kind.NOISE, "warn", (), 0.043, 0.04)
    )


def test_views_that_do_not_fit_are_no_matter_of_lenses():
    text = refusal_text(Verdict((doubt_if_large(Kind.NOISE, 0.2, doubts.NOISE),)), Asked(lenses_given=True))
    assert "joints scatter by 20% of the person's size (limit: 8%); are the views in sync?" in text
    assert "same time (--sync finds offsets)" in text


@pytest.mark.parametrize("kind", [Kind.LENSES, Kind.WIDE])
def test_lenses_that_nobody_has_measured_are_named_with_what_measuring_them_would_give(kind):
    lenses = Doubt(kind, "warn", (), -0.2, -0.14, {"known": 0.24})
    camera, means, cause = word_verdict(Verdict((TURNED, lenses)), Asked()).reasons
    assert "rotation uncertain by 1.4 degrees" in camera
    assert means.endswith("by the stated amounts")  # the cure is in the next line
    assert passed_on([camera, means, cause], "") == [camera]
    assert cause.startswith("the likely cause is the lenses: ")
    assert cause.endswith(
        "With lenses measured on a calibration pattern (--intrinsics), rotations would be uncertain by 0.24 degrees"
    )


def test_what_passes_is_not_said():
    verdict = Verdict((doubt_if_large(Kind.PLACE, 0.01, doubts.PLACE, "walk_back", length=0.1),))
    assert word_verdict(verdict, Asked(), [("pass", "all is well")]) == word_verdict(Verdict(), Asked())
    assert word_verdict(verdict, Asked()).level == verdict.level == "pass"


def test_a_view_left_out_is_a_warning():
    assert Verdict(left_out={"roof": doubt_of_unplaced("roof", "it shows nobody")}).level == "warn"


def test_a_commands_own_doubts_count():
    said = word_verdict(Verdict((TURNED,)), Asked(), [("fail", "bones are odd")])
    assert (said.level, said.reasons[0]) == ("fail", "bones are odd")


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_words(kind):
    item = Doubt(kind, "warn", ("one", "two"), 0.5, 0.25, NUMBERS, "for its own reason")
    try:
        said = omission_text(item, Asked())
    except KeyError:
        said = word_verdict(Verdict((item,)), Asked()).text
    assert not re.search("[{}]|nan", said)
    assert len(said) > 15


def test_how_far_a_camera_stands_from_where_the_file_says_is_in_the_files_unit_or_millimetres():
    item = Doubt(Kind.ELSEWHERE, "warn", ("one",), 0.5, numbers={"degrees": 3.0})
    assert "stood 0.5 units of the file from" in omission_text(item, Asked())
    assert "stood 600 mm from where the file says, turned by 3.0 degrees" in omission_text(
        item, Asked(millimetres=1200.0)
    )
