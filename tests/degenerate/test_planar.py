"""All joints in one plane: two views alone cannot tell two poses apart in theory; movement and noise decide."""

from outcomes import detected, outcome, scene, solved, worst_deg


def flat():
    xyz = scene().poses.xyz.copy()
    xyz[..., 1] = 0
    return xyz


def test_four_views_place_themselves_and_doubt_the_body():
    """Joints pressed into a plane change the lengths of bones, which is said."""
    labels = scene(4, flat())
    found = solved(detected(labels), labels.rig)
    assert worst_deg(found, labels.rig) < 1
    assert "bones change their length" in outcome(detected(labels), labels.rig)


def test_two_views_are_right_or_not_trusted():
    labels = scene(2, flat())
    assert outcome(detected(labels), labels.rig).startswith(("pass", "warn", "fail"))
