"""A user study of two systems: a page that asks which of two edits is better, and what its answers say.

Two alternatives, one must be chosen, and every edit flickers with its input, as in the study of Kim et al. (ICCV 2021), which prints shares
and neither raters nor intervals. The page opens from a file, loads nothing and sends nothing.
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
from retouch.files import write_atomically
from retouch.model import Model
from retouch.report.page import pixels_to_url

KEY, PAGE = 'study.json', 'study.html'
Side = Literal['a', 'b']


class Trial(Config):
    """One comparison: Eyeglasses, asked as Eyeglasses=1, of one of the pictures."""

    picture: int
    edit: str
    asked: str


class Study(Config):
    """study.json: what the page compares, and which system is which. It stays with whoever asks."""

    id: str
    systems: dict[Side, str]
    weights: dict[Side, str]
    source: str
    seed: int
    trials: tuple[Trial, ...]

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


def write_study(out: Path, systems: dict[Side, tuple[str, Model]], inputs: np.ndarray, chosen: Sequence[tuple[int, Task, int]], source: str,
                seed: int = 0) -> Study:
    """Writes study.html, for raters, and study.json, which says what was compared.

    Systems a and b are names with models, which both answer the requests of `choose_trials`; inputs uint8 [n,S,S,3] are of `source` and, if
    drawn, of `seed`. Raises ValueError if the folder holds another study, whose answers could no longer be read.
    """
    trials, shown = [], []
    for row, task, m in chosen:
        pictures = {'input': pixels_to_url(inputs[row])}
        for side, (_, model) in systems.items():
            request = task.request(pictures_to_tensor(inputs[row:row + 1], model.device), slice(m, m + 1))
            with torch.no_grad():
                edit = to_uint8(model.method.translate(request).image)
            pictures[side] = pixels_to_url(edit[0].cpu().numpy())
        asked = asked_of(task, request, 0, model.data.attributes)
        text, _, value = asked.replace('_', ' ').partition('=')
        trials.append(Trial(picture=row, edit=task.name, asked=asked))
        shown.append({'asked': f'{text}: {({"1": "yes", "0": "no"}).get(value, value)}', **pictures})
    digest = hashlib.sha256(json.dumps(shown).encode()).hexdigest()[:12]
    if (out / KEY).exists() and Study.read(out).id != digest:
        raise ValueError(f'{out} holds another study, whose answers could no longer be read: choose another --out')
    study = Study(id=digest, systems={side: name for side, (name, _) in systems.items()}, source=source, seed=seed, trials=tuple(trials),
                  weights={side: model.weights_sha256 for side, (_, model) in systems.items()})
    out.mkdir(parents=True, exist_ok=True)
    payload = json.dumps({'id': digest, 'trials': shown}).replace('<', '\\u003c')
    write_atomically(out / PAGE, _PAGE.replace('STUDY', payload).encode())
    write_atomically(out / KEY, (study.model_dump_json(indent=2) + '\n').encode())
    return study


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
    """Kind of edit -> share of votes, and 'all edits' last; kinds without a vote are left out."""
    votes = np.full((len(answers), len(study.trials)), np.nan)
    for rater, given in enumerate(answers):
        for vote in given.answers:
            votes[rater, vote.trial] = vote.chosen == 'a'
    edits = np.array([trial.edit for trial in study.trials])
    groups = {name: votes[:, edits == name] for name in dict.fromkeys(edits.tolist())} | {'all edits': votes}
    return {name: votes_to_share(group) for name, group in groups.items() if not np.isnan(group).all()}


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


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline';
 script-src 'unsafe-inline'; form-action 'none'; base-uri 'none'"><title>Which edit is better?</title><style>
:root{color-scheme:light dark;--soft:color-mix(in srgb,CanvasText 62%,Canvas);--card:color-mix(in srgb,CanvasText 7%,Canvas);--mark:#6a78e8}
*{box-sizing:border-box}[hidden]{display:none!important}body{margin:0;font:16px/1.45 system-ui,sans-serif}
main{max-width:min(960px,125vh);margin:0 auto;padding:12px}p{margin:.3em 0 .7em}small,i{color:var(--soft);font:.85rem system-ui}
progress{width:100%}#asked{display:block;font-size:1.3rem}#sides{display:grid;grid-template-columns:1fr 1fr;gap:12px}
nav{display:flex;flex-wrap:wrap;gap:8px;margin:12px 0}button:disabled{opacity:.4}
button{font:inherit;color:inherit;background:var(--card);border:2px solid #0000;border-radius:10px;padding:8px 12px;cursor:pointer}
button:hover,button:focus-visible{border-color:var(--mark);outline:0}.flicker.after .input,.flicker:not(.after) .edit{visibility:hidden}
.side{min-width:0;padding:8px;display:grid;grid-template-columns:1fr 1fr;gap:6px}.side>b{grid-column:1/-1}
.side img{width:100%;aspect-ratio:1;display:block;border-radius:6px}.flicker .side>span{grid-area:1/1/2/3}
@media(max-width:560px){#sides{gap:6px}.side{padding:5px;grid-template-columns:1fr}.flicker .side>span{grid-area:1/1}}
</style></head><body><main><progress id="bar"></progress>
<section id="ask"><p aria-live="polite"><small id="at"></small><b id="asked"></b>Which side does this better and leaves everything else
as it was?</p><div id="sides"><button class="side" id="left"></button><button class="side" id="right"></button></div></section>
<section id="done" hidden><h1>Thank you</h1><p>Download your answers and give the file to whoever asked you.</p></section>
<nav><button id="back">Back</button><button id="view"></button><button id="save">Download answers</button>
<button id="again" hidden>New person</button></nav>
<p><small>Keys: ← and → choose, F changes the view, Backspace goes back. Nothing is sent: your choices, and the seconds they took, stay
in this browser until you download them. They do not say who you are.</small></p>
</main><script id="study" type="application/json">STUDY</script><script>
'use strict'; const $ = id => document.getElementById(id), study = JSON.parse($('study').textContent), N = study.trials.length
const key = 'retouch-study-' + study.id; let state, order, left, since, clock
const draws = seed => () => {                             // mulberry32
  seed = seed + 0x6D2B79F5 | 0; let t = Math.imul(seed ^ seed >>> 15, 1 | seed)
  t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t; return ((t ^ t >>> 14) >>> 0) / 4294967296 }
function shuffled(list, draw) {
  for (let i = list.length; i-- > 1;) { const j = Math.floor(draw() * (i + 1)); [list[i], list[j]] = [list[j], list[i]] } return list }
function start() {
  try { state = JSON.parse(localStorage.getItem(key)) } catch { state = null }
  state ??= {seed: crypto.getRandomValues(new Uint32Array(1))[0], answers: [], flicker: !matchMedia('(prefers-reduced-motion)').matches}
  const draw = draws(state.seed)
  order = shuffled([...Array(N).keys()], draw); left = shuffled(order.map((_, i) => 'ab'[i % 2]), draw); show() }
function keep(value) { try { localStorage.setItem(key, JSON.stringify(value)) } catch { /* kept in the page alone */ } }
function show() {
  const i = state.answers.length, done = i === N; keep(state)
  $('ask').hidden = $('view').hidden = done; $('done').hidden = $('again').hidden = !done; $('back').disabled = !i
  $('bar').max = N; $('bar').value = i; since = performance.now(); clearInterval(clock)
  $('sides').className = state.flicker ? 'flicker' : ''; $('view').textContent = state.flicker ? 'Side by side' : 'Flicker'
  if (done) return
  clock = setInterval(() => $('sides').classList.toggle('after'), 700)
  const trial = study.trials[order[i]]
  $('at').textContent = `${i + 1} of ${N}, asked for`; $('asked').textContent = trial.asked
  for (const [id, system] of [['left', left[i]], ['right', left[i] === 'a' ? 'b' : 'a']]) {
    const [input, edit] = $(id).querySelectorAll('img'); input.src = trial.input; edit.src = trial[system] } }
function choose(side) {
  const i = state.answers.length, seconds = Math.round(performance.now() - since) / 1000
  if (i === N || seconds < 0.3) return                    // the second half of a double click is no answer
  const chosen = (side === 'left') === (left[i] === 'a') ? 'a' : 'b'
  state.answers.push({trial: order[i], left: left[i], chosen, seconds, flicker: state.flicker}); show() }
function back() { state.answers.pop(); show() }
function view() { const kept = since; state.flicker = !state.flicker; show(); since = kept }
for (const [id, text] of [['left', '← left is better'], ['right', 'right is better →']]) {
  const pictures = ['input', 'edit'].map(what => `<span class="${what}"><img alt="${id} ${what}"><i>${what}</i></span>`)
  $(id).innerHTML = pictures.join('') + `<b>${text}</b>`; $(id).onclick = () => choose(id) }
$('back').onclick = back; $('view').onclick = view
$('save').onclick = () => {
  const file = JSON.stringify({study: study.id, seed: state.seed, answers: state.answers}), link = document.createElement('a')
  link.href = URL.createObjectURL(new Blob([file], {type: 'application/json'})); link.download = `answers-${state.seed}.json`
  link.click(); setTimeout(() => URL.revokeObjectURL(link.href), 10000) }
$('again').onclick = () => { if (confirm('Are your answers downloaded? They are forgotten now.')) { keep(null); start() } }
document.onkeydown = event => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return
  const act = {ArrowLeft: () => choose('left'), ArrowRight: () => choose('right'), Backspace: back, f: view, F: view}[event.key]
  if (act) { event.preventDefault(); act() } }
start()
</script></body></html>
"""
