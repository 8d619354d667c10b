"""The user study: balanced comparisons, a page that hides which system is which and loads nothing, and intervals that know of clusters."""
from __future__ import annotations

import base64
import io
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from retouch.data.batches import DataSpec
from retouch.engine.update import AttributeRequest, DomainRequest, Translation
from retouch.evaluation.scoring import Task
from retouch.evaluation.tasks import domain_folder_tasks, folder_tasks
from retouch.model import Model
from retouch.report.study import Answers, Study, Vote, answers_to_shares, choose_trials, read_answers, votes_to_share, write_study

NASTY = '</script><b>Bangs'


class Shift:
    """A method that adds `by` grey levels, and takes them away where the attribute is to go."""

    def __init__(self, by: int, **data: tuple[str, ...]) -> None:
        self.nets, self.by, self.data = nn.ModuleDict({'G': nn.Linear(1, 1)}), by, DataSpec(size=4, **data)

    def translate(self, request: AttributeRequest | DomainRequest) -> Translation:
        sign = (request.target - request.source).sum() if isinstance(request, AttributeRequest) else 1
        return Translation(request.image + sign * self.by / 127.5, None)


def systems(**data: tuple[str, ...]) -> dict:
    return {side: (f'runs/secret-{side}', Model(Shift(by, **data), Path(), side * 64)) for side, by in (('a', 10), ('b', 20))}


def attribute_tasks(names: tuple[str, ...], labels: np.ndarray) -> list[Task]:
    """Flips of labels [n,K]; the last attribute only fits pictures without it."""
    tasks = []
    for k, name in enumerate(names):
        rows = np.arange(len(labels)) if k < len(names) - 1 else np.flatnonzero(labels[:, k] == 0)
        before = torch.from_numpy(labels[rows]).float()
        after = before.clone()
        after[:, k] = 1 - after[:, k]
        tasks.append(Task(name, None, rows, None, lambda x, part, b=before, a=after: AttributeRequest(x, b[part], a[part])))
    return tasks


@pytest.fixture
def study(tmp_path: Path) -> Study:
    labels = np.array([[0, 1], [1, 0], [0, 0], [1, 1]])
    chosen = choose_trials(attribute_tasks(('Eyeglasses', NASTY), labels), 4)
    inputs = np.arange(4, dtype=np.uint8)[:, None, None, None] + np.full((4, 4, 4, 3), 100, np.uint8)
    return write_study(tmp_path, systems(attributes=('Eyeglasses', NASTY)), inputs, chosen, 'faces', seed=3)


def page_of(folder: Path) -> tuple[str, dict]:
    page = (folder / 'study.html').read_text(encoding='utf-8')
    found = re.findall(r'<script id="study" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert len(found) == 1 and page.count('<script') == page.count('</script>') == 2
    return page, json.loads(found[0])


VOTE = {'trial': 1, 'left': 'a', 'chosen': 'b', 'seconds': 1, 'flicker': False}


def answers(of: Study, folder: Path, seed: int, **changes: object) -> Path:
    votes = [{**VOTE, 'trial': i} for i in range(len(of.trials))]
    path = folder / f'answers-{seed}.json'
    path.write_text(json.dumps({'study': of.id, 'seed': seed, 'answers': votes, **changes}))
    return path


def test_every_picture_is_asked_one_edit_and_every_edit_as_often() -> None:
    labels = np.random.default_rng(0).integers(0, 2, (60, 5))
    tasks = attribute_tasks(tuple('ABCDE'), labels)
    chosen = choose_trials(tasks, 60)
    assert [row for row, _, _ in chosen] == list(range(60))
    assert all(task.rows[m] == row for row, task, m in chosen)
    counts = [sum(task is t for _, t, _ in chosen) for task in tasks]
    assert sum(counts) == 60 and max(counts) - min(counts) <= 2, counts
    with pytest.raises(ValueError, match='4 pictures leave none for E: raise --n, or name fewer --edits'):
        choose_trials(tasks, 4)


def test_the_page_shows_both_edits_of_the_same_input(study: Study, tmp_path: Path) -> None:
    _, data = page_of(tmp_path)
    assert data['id'] == study.id and len(data['trials']) == 4
    assert [trial.asked for trial in study.trials] == ['Eyeglasses=1', f'{NASTY}=1', 'Eyeglasses=1', 'Eyeglasses=0']
    assert [trial['asked'] for trial in data['trials']] == ['Eyeglasses: yes', f'{NASTY}: yes', 'Eyeglasses: yes', 'Eyeglasses: no']
    for trial, shown, sign in zip(study.trials, data['trials'], (1, 1, 1, -1), strict=True):
        pictures = {k: np.asarray(Image.open(io.BytesIO(base64.b64decode(shown[k].partition(',')[2])))) for k in ('input', 'a', 'b')}
        grey = 100 + trial.picture
        assert {k: (p.min(), p.max()) for k, p in pictures.items()} == {
            'input': (grey, grey), 'a': (grey + 10 * sign,) * 2, 'b': (grey + 20 * sign,) * 2}


def test_the_page_is_blind_and_loads_and_sends_nothing(study: Study, tmp_path: Path) -> None:
    page, _ = page_of(tmp_path)
    assert 'secret' not in page and 'aaaa' not in page and study.systems == {'a': 'runs/secret-a', 'b': 'runs/secret-b'}
    assert not re.findall(r'(?:src|href)="(?!data:)|https?:|url\(|@import|fetch|XMLHttp|WebSocket|sendBeacon', page)
    assert "default-src 'none'; img-src data:" in page and "form-action 'none'" in page and 'width=device-width' in page


def test_the_script_names_only_what_the_page_has(study: Study, tmp_path: Path) -> None:
    page, _ = page_of(tmp_path)
    named = set(re.findall(r"\$\('(\w+)'\)", page))
    assert len(named) >= 10 and named == set(re.findall(r'\bid="(\w+)"', page)) - {'left', 'right'}
    vote = re.search(r'answers\.push\(\{(.*?)\}\)', page)
    assert vote and re.findall(r'(\w+)(?=[:,]|$)', re.sub(r': [^,]+', ':', vote[1])) == list(Vote.model_fields)
    assert all(f'{name}: s' in page for name in ('study', 'seed', 'answers')) and set(Answers.model_fields) == {'study', 'seed', 'answers'}


def test_a_folder_keeps_its_study(study: Study, tmp_path: Path) -> None:
    chosen = choose_trials(attribute_tasks(('Eyeglasses', NASTY), np.zeros((2, 2), int)), 2)
    pair, inputs = systems(attributes=('Eyeglasses', NASTY)), np.zeros((2, 4, 4, 3), np.uint8)
    with pytest.raises(ValueError, match='holds another study'):
        write_study(tmp_path, pair, inputs, chosen, 'faces')
    assert Study.read(tmp_path) == study
    assert write_study(tmp_path / 'other', pair, inputs, chosen, 'faces') == write_study(tmp_path / 'other', pair, inputs, chosen, 'faces')


def test_two_domains(tmp_path: Path) -> None:
    inputs, tasks = domain_folder_tasks(Shift(1, domains=('A', 'B')), np.zeros((2, 4, 4, 3), np.uint8), np.eye(2), None)
    study = write_study(tmp_path, systems(domains=('A', 'B')), inputs, choose_trials(tasks, 2), 'scenes')
    assert [trial.asked for trial in study.trials] == ['to=B', 'to=A'] and page_of(tmp_path)[1]['trials'][0]['asked'] == 'to: B'


def test_labelled_pictures_need_no_judge(tmp_path: Path) -> None:
    names, labels = ('Blond_Hair', 'Eyeglasses'), np.array([[1, 1], [0, 0]])
    inputs, tasks = folder_tasks(Shift(1, attributes=names), np.zeros((2, 4, 4, 3), np.uint8), labels, None)
    study = write_study(tmp_path, systems(attributes=names), inputs, choose_trials(tasks, 2), 'faces')
    assert [trial.asked for trial in study.trials] == ['Eyeglasses=0', 'Blond_Hair=1']


def test_answers_are_read_or_refused_with_the_file(study: Study, tmp_path: Path) -> None:
    (tmp_path / 'x').mkdir()
    first, second, copy = answers(study, tmp_path, 1), answers(study, tmp_path, 2), answers(study, tmp_path / 'x', 1)
    assert [given.seed for given in read_answers(study, [first, second])] == [1, 2]
    for paths, words in (([first, copy], 'same rater (seed 1): keep the later one'),
                         ([answers(study, tmp_path, 3, study='ab')], 'answers study ab: expected ' + study.id),
                         ([answers(study, tmp_path, 4, answers=[VOTE, VOTE])], 'answers comparison 1 2 times'),
                         ([answers(study, tmp_path, 5, answers=[{**VOTE, 'trial': 4}])], 'expected each of 0 to 3 once'),
                         ([answers(study, tmp_path, 6, answers=[{**VOTE, 'chosen': 'c'}])], 'no answers of a study: answers.0.chosen'),
                         ([tmp_path / 'study.json'], 'holds no answers of a study'),
                         ([tmp_path / 'study.html'], 'holds no answers of a study')):
        with pytest.raises(ValueError, match=re.escape(words)) as refused:
            read_answers(study, paths)
        assert str(paths[-1]) in str(refused.value)
    with pytest.raises(FileNotFoundError):
        read_answers(study, [tmp_path / 'nowhere.json'])
    with pytest.raises(ValueError, match='holds no study'):
        Study.read(tmp_path / 'x')


def test_shares_of_each_edit_and_of_all(study: Study) -> None:
    def given(seed: int, chosen: dict[int, str]) -> Answers:
        return Answers(study=study.id, seed=seed, answers=tuple(
            Vote(trial=t, left='a', chosen=side, seconds=1, flicker=True) for t, side in chosen.items()))      # type: ignore[arg-type]

    shares = answers_to_shares(study, [given(1, {0: 'a', 2: 'b', 3: 'a'}), given(2, {0: 'a'})])
    assert list(shares) == ['Eyeglasses', 'all edits'] and shares['all edits'].votes == 4 and shares['all edits'].a == 0.75
    shares = answers_to_shares(study, [given(1, {0: 'b', 1: 'a', 3: 'b'})])
    found = {name: (share.votes, share.a) for name, share in shares.items()}
    assert found == {'Eyeglasses': (2, 0), NASTY: (1, 1), 'all edits': (3, 1 / 3)}


def test_intervals_by_hand() -> None:
    unanimous = votes_to_share(np.ones((1, 10)))
    assert unanimous.low == pytest.approx(0.7225, abs=1e-4) and unanimous.high == pytest.approx(1)                  # Wilson's, 10 of 10
    # two raters of one mind each: four votes that are worth one. Errors +-1/2, alone 1; by rater (1 + 1) * 2 / (2 - 1) = 4
    stubborn = votes_to_share(np.array([[1.0, 1], [0, 0]]))
    half = 1.959964 * math.sqrt(0.25 + 1.959964**2 / 4) / (1 + 1.959964**2)
    assert stubborn.votes == 4 and (stubborn.low, stubborn.high) == (pytest.approx(0.5 - half), pytest.approx(0.5 + half))
    mirrored, other = np.array([[1, 0, np.nan], [1, 1, 0]]), votes_to_share(np.array([[0, 1, np.nan], [0, 0, 1]]))
    share = votes_to_share(mirrored)
    assert share.votes == other.votes == 5 and (share.low, share.high) == (pytest.approx(1 - other.high), pytest.approx(1 - other.low))


def test_intervals_cover_where_raters_and_pictures_differ() -> None:
    """Logits 0.7 + N(0,1) a rater + N(0,1.5) a picture: 200 votes are not 200 independent ones."""
    rng = np.random.default_rng(0)
    true = float((1 / (1 + np.exp(-0.7 - rng.normal(0, math.hypot(1, 1.5), 200_000)))).mean())
    covered, plain = 0, 0
    for _ in range(400):
        logits = 0.7 + rng.normal(0, 1, (10, 1)) + rng.normal(0, 1.5, (1, 20))
        votes = (rng.random((10, 20)) < 1 / (1 + np.exp(-logits))).astype(float)
        share = votes_to_share(votes)
        covered += share.low <= true <= share.high
        plain += abs(share.a - true) <= 1.96 * math.sqrt(share.a * (1 - share.a) / 200)
    assert covered / 400 > 0.87 and plain / 400 < 0.75


# ---- sides that are no system, one picture at a time, and examples

def trials_of(n: int = 4) -> tuple[np.ndarray, list]:
    labels = np.zeros((n, 1), int)
    tasks = attribute_tasks(('Eyeglasses',), np.concatenate([labels, labels], 1)[:, :1])
    inputs = np.arange(n, dtype=np.uint8)[:, None, None, None] + np.full((n, 4, 4, 3), 100, np.uint8)
    return inputs, choose_trials(tasks, n)


def grey(url: str) -> int:
    return int(np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(',')[2]))))[0, 0, 0])


def test_real_or_made_one_picture_at_a_time(tmp_path: Path) -> None:
    inputs, chosen = trials_of()
    pair = {'a': systems(attributes=('Eyeglasses',))['a'], 'b': ('real pictures', 'real')}
    study = write_study(tmp_path, pair, inputs, chosen, 'faces', kind='realism')                       # type: ignore[arg-type]
    page, data = page_of(tmp_path)
    assert [(trial.picture, trial.shown) for trial in study.trials] == [(0, 'a'), (1, 'b'), (2, 'a'), (3, 'b')]
    assert [grey(trial['picture']) for trial in data['trials']] == [110, 101, 112, 103], 'no picture is shown both ways'
    assert 'secret' not in page and 'shown' not in json.dumps(data) and study.kind == 'realism'
    named = set(re.findall(r"\$\('(\w+)'\)", page))
    assert named == set(re.findall(r'\bid="(\w+)"', page))
    vote = re.search(r'answers\.push\(\{(.*?)\}\)', page)
    assert vote and re.findall(r'(\w+)(?=[:,]|$)', re.sub(r': [^,]+', ':', vote[1])) == list(Vote.model_fields)

    def rater(seed: int, real: str) -> Answers:                  # one letter for each trial: r, taken for real
        votes = tuple(Vote(trial=i, left='a', chosen='b' if c == 'r' else 'a', seconds=1, flicker=False) for i, c in enumerate(real))
        return Answers(study=study.id, seed=seed, answers=votes)

    shares = answers_to_shares(Study.read(tmp_path), [rater(1, 'rrmr'), rater(2, 'mrmm')])
    assert {name: (share.votes, share.a) for name, share in shares.items()} == {
        'Eyeglasses': (4, 0.25), 'all edits': (4, 0.25), 'real pictures': (4, 0.75)}


def test_truth_and_copy_are_sides_of_a_study(tmp_path: Path) -> None:
    inputs, chosen = trials_of()
    system = systems(attributes=('Eyeglasses',))['a']
    write_study(tmp_path / 'copy', {'a': system, 'b': ('the input', 'copy')}, inputs, chosen, 'faces')
    assert [grey(trial['b']) - grey(trial['input']) for trial in page_of(tmp_path / 'copy')[1]['trials']] == [0] * 4
    with pytest.raises(ValueError, match='no true result of Eyeglasses is known'):
        write_study(tmp_path / 'none', {'a': system, 'b': ('the true result', 'truth')}, inputs, chosen, 'faces')
    truths = [(row, Task(**{**task.__dict__, 'truth': inputs + 50}), m) for row, task, m in chosen]
    study = write_study(tmp_path / 'truth', {'a': system, 'b': ('the true result', 'truth')}, inputs, truths, 'faces', question='realism')
    trial = page_of(tmp_path / 'truth')[1]['trials'][0]
    assert (grey(trial['a']), grey(trial['b'])) == (110, 150) and 'input' not in trial and trial['asked'] == ''
    assert study.weights == {'a': 'a' * 64, 'b': ''} and study.question == 'Which side looks more like a real picture?'


def test_examples_are_shown_and_both_kinds_of_systems_are_asked_the_same(tmp_path: Path) -> None:
    from retouch.evaluation.exemplars import ByExemplar, transfer_task
    from retouch.evaluation.transfers import folder_pairs

    inputs = np.full((4, 4, 4, 3), 100, np.uint8) + np.arange(4, dtype=np.uint8)[:, None, None, None]
    pairs = folder_pairs(('Smiling',), inputs, np.array([[0], [1], [0], [1]]))
    asked: list[str] = []

    class Two(Shift):
        def translate(self, request: object) -> Translation:
            asked.append(request.to)                             # type: ignore[attr-defined]
            return Translation(request.exemplar)                 # type: ignore[attr-defined]

    class Style(Shift):
        def translate(self, request: object) -> Translation:
            return Translation(request.exemplar)                 # type: ignore[attr-defined]

    pair = {'a': ('lomit', Model(Style(1, attributes=('Smiling',)), Path(), 'a' * 64)),                 # type: ignore[arg-type]
            'b': ('munit', Model(ByExemplar(Two(1, domains=('A', 'B'))), Path(), 'b' * 64))}            # type: ignore[arg-type]
    write_study(tmp_path, pair, inputs, choose_trials([transfer_task(pairs)], 4), 'faces', question='style', exemplars=pairs.exemplars)
    data = page_of(tmp_path)[1]
    assert asked == ['B', 'A', 'B', 'A'], 'to the side of the example'
    for trial, row in zip(data['trials'], pairs.exemplars[:], strict=True):
        assert grey(trial['a']) == grey(trial['b']) == grey(trial['example']) == row[0, 0, 0]
    assert data['question'].startswith('Which side has taken over more') and data['trials'][0]['asked'] == 'as the example'
