"""A user study of two systems: a page that asks which of two edits is better, and what its answers say.

Two alternatives, one must be chosen, and every edit flickers with its input, as in the study of Kim et al. (ICCV 2021), which prints shares
and neither raters nor intervals. One side may be the true result, or the input itself. Or pictures are shown one at a time, and it is asked
whether they are real, as the papers asked raters on Amazon Mechanical Turk ("AMT"). The page opens from a file, loads nothing and sends
nothing.
"""
from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import ValidationError

from retouch.config import Config
from retouch.data.transforms import to_uint8
from retouch.errors import one_line
from retouch.evaluation.scoring import Task, pictures_to_tensor
from retouch.evaluation.tasks import asked_of
from retouch.files import Pictures, write_atomically
from retouch.model import Model
from retouch.report.page import pixels_to_url
from retouch.report.study_pages import PAGE_OF_ONE, PAGE_OF_TWO

KEY, PAGE = 'study.json', 'study.html'
Side = Literal['a', 'b']
Kind = Literal['choice', 'realism']
Reference = Literal['truth', 'copy', 'real']               # sides that are no system: the true result, the input, and pictures as they are
QUESTIONS = {'edit': 'Which side does this better and leaves everything else as it was?',
             'realism': 'Which side looks more like a real picture?',
             'style': 'Which side has taken over more of what is asked for from the example?',
             'background': 'Which side keeps everything else of the picture better?'}


class Trial(Config):
    """One comparison: Eyeglasses, asked as Eyeglasses=1, of one of the pictures."""

    picture: int
    edit: str
    asked: str
    shown: Side | None = None
    """Of a study of realism: the system's edit (a) or the picture as it is (b)."""


class Study(Config):
    """study.json: what the page compares, and which system is which. It stays with whoever asks."""

    id: str
    systems: dict[Side, str]
    weights: dict[Side, str]
    source: str
    seed: int
    trials: tuple[Trial, ...]
    kind: Kind = 'choice'
    question: str = QUESTIONS['edit']

    @classmethod
    def read(cls, folder: Path) -> Study:
        """Reads the study in a folder. Raises ValueError if there is none."""
        try:
            return cls.model_validate_json((folder / KEY).read_bytes())
        except (OSError, ValidationError) as error:
            raise ValueError(f'{folder} holds no study ({one_line(error)}): `retouch evaluate A --study B --out DIR` writes one') from error


class Vote(Config):
    """One answer: the system on the left, the chosen one, seconds, and whether the pictures flickered."""

    trial: int
    left: Side
    chosen: Side
    seconds: float
    flicker: bool


class Answers(Config):
    """answers-*.json: what one rater downloads. The seed drew the order and the sides, and tells raters apart."""

    study: str
    seed: int
    answers: tuple[Vote, ...]


class Share(Config):
    """The share of votes for system a with its 95 % interval."""

    votes: int
    a: float
    low: float
    high: float


def choose_trials(tasks: Sequence[Task], n: int) -> list[tuple[int, Task, int]]:
    """One edit for each of n pictures, always the kind that was asked least often so far: (picture, its task, which of the task's M it is).

    Raises ValueError if a kind is never asked.
    """
    places = [{row: m for m, row in enumerate(task.rows.tolist())} for task in tasks]
    asked, chosen = [0] * len(tasks), []
    for row in range(n):
        fits = [k for k in range(len(tasks)) if row in places[k]]
        if fits:
            k = min(fits, key=asked.__getitem__)
            asked[k] += 1
            chosen.append((row, tasks[k], places[k][row]))
    if 0 in asked:
        raise ValueError(f'{n} pictures leave none for {tasks[asked.index(0)].name}: raise --n, or name fewer --edits')
    return chosen


def write_study(out: Path, systems: dict[Side, tuple[str, Model | Reference]], inputs: Pictures, chosen: Sequence[tuple[int, Task, int]],
                source: str, seed: int = 0, kind: Kind = 'choice', question: str = 'edit', exemplars: Pictures | None = None) -> Study:
    """Writes study.html, for raters, and study.json, which says what was compared.

    Args:
        out: folder, made if missing.
        systems: a and b, names with models, which both answer the requests of `choose_trials`, or with what stands in for one.
        inputs: uint8 [n,S,S,3].
        chosen: of `choose_trials`.
        source: of the pictures.
        seed: which of them, if drawn.
        kind: 'choice' of one of two sides, or 'realism', of which b are the pictures as they are.
        question: of QUESTIONS; for realism the input is not shown.
        exemplars: uint8 [n,S,S,3], the example of each picture, for systems that take one.

    Raises:
        ValueError: the folder holds another study, whose answers could no longer be read; a true result of pictures that have none.
    """
    trials, shown = [], []
    first = next(model for _, model in systems.values() if isinstance(model, Model))
    for i, (row, task, m) in enumerate(chosen):
        request = task.request(pictures_to_tensor(inputs[row:row + 1], first.device), slice(m, m + 1))
        asked = asked_of(task, request, 0, first.data.attributes)
        if kind == 'realism':
            side: Side = 'b' if i % 2 else 'a'                  # every other picture as it is; none is shown both ways
            trials.append(Trial(picture=row, edit=task.name, asked=asked, shown=side))
            shown.append({'picture': pixels_to_url(_side(systems[side][1], task, row, m, inputs))})
            continue
        pictures = {name: pixels_to_url(_side(model, task, row, m, inputs)) for name, (_, model) in systems.items()}
        given = {} if question == 'realism' else {'input': pixels_to_url(np.asarray(inputs[row]))}
        if exemplars is not None and question != 'realism':
            given['example'] = pixels_to_url(np.asarray(exemplars[row]))
        trials.append(Trial(picture=row, edit=task.name, asked=asked))
        shown.append({'asked': '' if question == 'realism' else _as_words(asked), **given, **pictures})
    digest = hashlib.sha256(json.dumps(shown).encode()).hexdigest()[:12]
    if (out / KEY).exists() and Study.read(out).id != digest:
        raise ValueError(f'{out} holds another study, whose answers could no longer be read: choose another --out')
    study = Study(id=digest, systems={side: name for side, (name, _) in systems.items()}, source=source, seed=seed, trials=tuple(trials),
                  weights={side: model.weights_sha256 if isinstance(model, Model) else '' for side, (_, model) in systems.items()},
                  kind=kind, question='real or made' if kind == 'realism' else QUESTIONS[question])
    out.mkdir(parents=True, exist_ok=True)
    payload = json.dumps({'id': digest, 'question': study.question, 'trials': shown}).replace('<', '\\u003c')
    page = PAGE_OF_ONE if kind == 'realism' else PAGE_OF_TWO
    write_atomically(out / PAGE, page.replace('STUDY', payload).encode())
    write_atomically(out / KEY, (study.model_dump_json(indent=2) + '\n').encode())
    return study


def _side(model: Model | Reference, task: Task, row: int, m: int, inputs: Pictures) -> np.ndarray:
    """What one side shows of a picture: uint8 [S,S,3]."""
    if model == 'truth':
        if task.truth is None:
            raise ValueError(f'no true result of {task.name} is known: expected drawn faces, or another side of the study')
        return np.asarray(task.truth[m])
    if not isinstance(model, Model):
        return np.asarray(inputs[row])
    request = task.request(pictures_to_tensor(inputs[row:row + 1], model.device), slice(m, m + 1))
    with torch.no_grad():
        return to_uint8(model.method.translate(request).image)[0].cpu().numpy()


def _as_words(asked: str) -> str:
    """'Eyeglasses=1, to=B' -> 'Eyeglasses: yes, to: B'."""
    words = []
    for part in asked.split(', '):
        text, told, value = part.replace('_', ' ').partition('=')
        words.append(f'{text}: {({"1": "yes", "0": "no"}).get(value, value)}' if told else text)
    return ', '.join(words)


def read_answers(study: Study, paths: Sequence[Path]) -> list[Answers]:
    """The answers of every rater. Raises ValueError for a file of something else or of another study, or for a rater's second one."""
    found: dict[int, tuple[Path, Answers]] = {}
    for path in paths:
        try:
            answers = Answers.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise ValueError(f'{path} holds no answers of a study: {one_line(error)}') from error
        if answers.study != study.id:
            raise ValueError(f'{path} answers study {answers.study}: expected {study.id}')
        for trial, times in Counter(vote.trial for vote in answers.answers).items():
            if times > 1 or not 0 <= trial < len(study.trials):
                raise ValueError(f'{path} answers comparison {trial} {times} times: expected each of 0 to {len(study.trials) - 1} once')
        if answers.seed in found:
            raise ValueError(f'{found[answers.seed][0]} and {path} are of the same rater (seed {answers.seed}): keep the later one')
        found[answers.seed] = path, answers
    return [answers for _, answers in found.values()]


def answers_to_shares(study: Study, answers: Sequence[Answers]) -> dict[str, Share]:
    """Kind of edit -> share of votes, and 'all edits' last; kinds without a vote are left out.

    Of realism: the share of pictures taken for real, of each kind of edit, of all, and of the real ones, which says what raters can tell.
    """
    if study.kind == 'realism':
        return _taken_for_real(study, answers)
    votes = np.full((len(answers), len(study.trials)), np.nan)
    for rater, given in enumerate(answers):
        for vote in given.answers:
            votes[rater, vote.trial] = vote.chosen == 'a'
    edits = np.array([trial.edit for trial in study.trials])
    groups = {name: votes[:, edits == name] for name in dict.fromkeys(edits.tolist())} | {'all edits': votes}
    return {name: votes_to_share(group) for name, group in groups.items() if not np.isnan(group).all()}


def _taken_for_real(study: Study, answers: Sequence[Answers]) -> dict[str, Share]:
    votes = np.full((len(answers), len(study.trials)), np.nan)
    for rater, given in enumerate(answers):
        for vote in given.answers:
            votes[rater, vote.trial] = vote.chosen == 'b'
    edits, made = np.array([trial.edit for trial in study.trials]), np.array([trial.shown == 'a' for trial in study.trials])
    groups = {name: votes[:, (edits == name) & made] for name in dict.fromkeys(edits.tolist())}
    groups |= {'all edits': votes[:, made], 'real pictures': votes[:, ~made]}
    return {name: votes_to_share(group) for name, group in groups.items() if group.size and not np.isnan(group).all()}


def votes_to_share(votes: np.ndarray) -> Share:
    """Votes [R,T] of R raters on T pictures, 1 for system a, 0 for b, NaN for none -> their share with Wilson's interval.

    Votes of one rater are alike, and so are votes on one picture. The number of votes that enters the interval is therefore divided by the
    design effect, at least 1: the two-way clustered variance of the mean (Cameron, Gelbach, Miller 2011) over that of independent votes.
    """
    seen = ~np.isnan(votes)
    n, p, z = int(seen.sum()), float(votes[seen].mean()), 1.959964
    error = np.where(seen, votes - p, 0)
    alone = float((error ** 2).sum())
    rater, picture = (float((error.sum(axis) ** 2).sum()) * groups / (groups - 1) if groups > 1 else alone
                      for axis, groups in ((axis, int(seen.any(axis).sum())) for axis in (1, 0)))
    m = n * alone / max(alone, rater, picture, rater + picture - alone) if alone else n
    centre, half = p + z * z / (2 * m), z * math.sqrt(p * (1 - p) / m + z * z / (4 * m * m))
    return Share(votes=n, a=p, low=max((centre - half) / (1 + z * z / m), 0), high=min((centre + half) / (1 + z * z / m), 1))
