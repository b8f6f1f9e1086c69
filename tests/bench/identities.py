"""Identities of crowds before known cameras: whether everyone keeps one number, and how many numbers are nobody's.

Run as `python tests/bench/identities.py --count 20 --people 4 --views 4`.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from crowds import Scene, crowd_scene
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from epitool.camera import Rig
from epitool.geometry.people.association import People, match_people
from epitool.skeleton import skeleton
from epitool.synthetic import random_rig

Indices = NDArray[np.intp]
NOBODY = -1


@dataclass(frozen=True)
class Score:
    """How well identities are kept.

    Attributes:
        idf1: Share of frames of people in which each is the one number that serves them best, of true and found ones.
        switches: Changes of somebody's number from one frame in which they are found to the next.
        identities: Numbers given.
        people: People whom two views show in any frame.
        ghosts: Groups that are nobody, or somebody a second time, as a share of all groups.
        ghost_identities: Numbers most of whose groups are nobody.
    """

    idf1: float
    switches: int
    identities: int
    people: int
    ghosts: float
    ghost_identities: int


def score(people: People, who: Indices, frames_of: Indices) -> Score:
    """Compares people with the truth.

    Args:
        people: As found.
        who: Person of each candidate `(C,)`, negative for nobody.
        frames_of: Views that show each person in each frame, `(N, F)`.
    """
    owner, there = owners(people, who), frames_of >= 2
    named = people.names >= 0
    count = np.zeros((len(people), len(there)), dtype=np.intp)
    found = named & (owner >= 0)
    np.add.at(count, (people.names[found], owner[found]), 1)
    rows, columns = linear_sum_assignment(-count)
    kept = count[rows, columns].sum()
    total = np.bincount(people.names[named], minlength=len(people))
    return Score(
        float(2 * kept / max(named.sum() + there.sum(), 1)),
        sum(switches(people.names, owner, person) for person in range(len(there))),
        len(people),
        int(there.any(axis=1).sum()),
        float((named & (owner < 0)).sum() / max(named.sum(), 1)),
        int((count.sum(axis=1) < total / 2).sum()),
    )


def owners(people: People, who: Indices) -> Indices:
    """Who each group `(F, K)` is: the person of two members or more, and of more than half; of two the larger group."""
    members = np.where(people.candidates >= 0, who[people.candidates], -9)
    owner, size = np.full(members.shape[:2], NOBODY), (members != -9).sum(axis=-1)
    most = np.zeros(owner.shape, dtype=np.intp)
    for person in range(int(who.max(initial=-1)) + 1):
        votes = (members == person).sum(axis=-1)
        mine = (votes >= 2) & (2 * votes > size)
        owner[mine], most[mine] = person, votes[mine]
    for frame, person in itertools.product(range(len(owner)), range(int(who.max(initial=-1)) + 1)):
        twice = np.flatnonzero(owner[frame] == person)
        if len(twice) > 1:
            owner[frame, np.delete(twice, most[frame, twice].argmax())] = NOBODY
    return owner


def switches(names: Indices, owner: Indices, person: int) -> int:
    """How often somebody's number changes."""
    frame, group = np.nonzero((owner == person) & (names >= 0))
    return int((np.diff(names[frame, group]) != 0).sum())


def shown(scene: Scene) -> Indices:
    """Views that show each person in each frame, `(N, F)`."""
    candidates, (people, frames) = scene.crowd.candidates, scene.xyz.shape[:2]
    seen = np.zeros((people, frames, len(scene.rig)), dtype=bool)
    real = scene.who >= 0
    seen[scene.who[real], candidates.frame_index[real], candidates.view_index[real]] = True
    return seen.sum(axis=-1)


def few_views(scene: Scene, views: list[int]) -> Scene:
    """The scene before these of its cameras only."""
    rig = Rig(tuple(scene.rig.cameras[v] for v in views), "mm", "none")
    candidates, empty = scene.crowd.candidates.select_views(views), scene.crowd.empty.select_views(rig.names)
    kept = np.isin(scene.crowd.candidates.view_index, views)
    crowd = replace(scene.crowd, candidates=candidates, empty=empty)
    return replace(scene, rig=rig, crowd=crowd, who=scene.who[kept])


def scenes(first: int, count: int, people: int, views: int, frames: int | None) -> Iterator[tuple[int, Scene]]:
    """Scenes with so many people, of the first seeds whose rigs have enough cameras."""
    seeds = (seed for seed in itertools.count(first) if len(random_rig(seed)) >= views)
    for seed in itertools.islice(seeds, count):
        scene = crowd_scene(seed, people, frames)
        yield seed, few_views(scene, np.linspace(0, len(scene.rig) - 1, views).astype(int).tolist())


def judge(scene: Scene) -> tuple[Score, float]:
    """Matches and follows everyone; the score, and seconds."""
    begin = time.process_time()
    found = match_people(scene.crowd.candidates, scene.rig, scene.crowd.frames, skeleton("h36m17"))
    seconds = time.process_time() - begin
    return score(found, scene.who, shown(scene)), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--people", type=int, default=4)
    parser.add_argument("--views", type=int, default=4)
    parser.add_argument("--frames", type=int, help="by default drawn by the seed")
    options = parser.parse_args()
    found = []
    for seed, scene in scenes(options.seed, options.count, options.people, options.views, options.frames):
        each, seconds = judge(scene)
        found.append((each, seconds / scene.crowd.frames))
        print(f"seed {seed}: {each}; {scene.words}; {seconds:.2f} s", flush=True)
    every = [each for each, _ in found]
    print(
        f"{len(every)} crowds of {options.people}, {options.views} views: IDF1 mean"
        f" {np.mean([e.idf1 for e in every]):.4f}, median {np.median([e.idf1 for e in every]):.4f}, least"
        f" {min(e.idf1 for e in every):.4f}; {sum(e.switches for e in every)} switches;"
        f" {sum(e.identities for e in every)} identities of {sum(e.people for e in every)} people,"
        f" {sum(e.ghost_identities for e in every)} of them ghosts;"
        f" ghosts {np.mean([e.ghosts for e in every]):.2%} of groups; {1000 * np.mean([s for _, s in found]):.2f} s"
        " per 1000 frames"
    )


if __name__ == "__main__":
    main()
