"""The pages of user studies: two edits beside each other, one must be chosen; or one picture at a time, real or made.

Each opens from a file, loads nothing and sends nothing; STUDY stands for the pictures.
"""
from __future__ import annotations

_DRAWS = """const draws = seed => () => {                             // mulberry32
  seed = seed + 0x6D2B79F5 | 0; let t = Math.imul(seed ^ seed >>> 15, 1 | seed)
  t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t; return ((t ^ t >>> 14) >>> 0) / 4294967296 }
function shuffled(list, draw) {
  for (let i = list.length; i-- > 1;) { const j = Math.floor(draw() * (i + 1)); [list[i], list[j]] = [list[j], list[i]] } return list }
"""
_KEEP = """function keep(value) { try { localStorage.setItem(key, JSON.stringify(value)) } catch { /* kept in the page alone */ } }
"""
_SAVE = """$('save').onclick = () => {
  const file = JSON.stringify({study: study.id, seed: state.seed, answers: state.answers}), link = document.createElement('a')
  link.href = URL.createObjectURL(new Blob([file], {type: 'application/json'})); link.download = `answers-${state.seed}.json`
  link.click(); setTimeout(() => URL.revokeObjectURL(link.href), 10000) }
$('again').onclick = () => { if (confirm('Are your answers downloaded? They are forgotten now.')) { keep(null); start() } }
"""

PAGE_OF_TWO = """<!doctype html>
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
#example{width:min(180px,30vw);border-radius:6px;display:block}
.side img{width:100%;aspect-ratio:1;display:block;border-radius:6px}.flicker .side>span{grid-area:1/1/2/3}
@media(max-width:560px){#sides{gap:6px}.side{padding:5px;grid-template-columns:1fr}.flicker .side>span{grid-area:1/1}}
</style></head><body><main><progress id="bar"></progress>
<section id="ask"><p aria-live="polite"><small id="at"></small><b id="asked"></b><img id="example" alt="the example" hidden><span
id="question"></span></p><div id="sides"><button class="side" id="left"></button><button class="side" id="right"></button></div></section>
<section id="done" hidden><h1>Thank you</h1><p>Download your answers and give the file to whoever asked you.</p></section>
<nav><button id="back">Back</button><button id="view"></button><button id="save">Download answers</button>
<button id="again" hidden>New person</button></nav>
<p><small>Keys: ← and → choose, F changes the view, Backspace goes back. Nothing is sent: your choices, and the seconds they took, stay
in this browser until you download them. They do not say who you are.</small></p>
</main><script id="study" type="application/json">STUDY</script><script>
'use strict'; const $ = id => document.getElementById(id), study = JSON.parse($('study').textContent), N = study.trials.length
const key = 'retouch-study-' + study.id; let state, order, left, since, clock
""" + _DRAWS + """function start() {
  try { state = JSON.parse(localStorage.getItem(key)) } catch { state = null }
  state ??= {seed: crypto.getRandomValues(new Uint32Array(1))[0], answers: [], flicker: !matchMedia('(prefers-reduced-motion)').matches}
  const draw = draws(state.seed)
  order = shuffled([...Array(N).keys()], draw); left = shuffled(order.map((_, i) => 'ab'[i % 2]), draw); show() }
""" + _KEEP + """function show() {
  const i = state.answers.length, done = i === N; keep(state)
  $('ask').hidden = $('view').hidden = done; $('done').hidden = $('again').hidden = !done; $('back').disabled = !i
  $('bar').max = N; $('bar').value = i; since = performance.now(); clearInterval(clock)
  const trial = study.trials[order[i]]
  $('sides').className = state.flicker || (trial && !trial.input) ? 'flicker' : ''
  $('view').textContent = state.flicker ? 'Side by side' : 'Flicker'
  if (done) return
  clock = setInterval(() => $('sides').classList.toggle('after'), 700)
  $('at').textContent = `${i + 1} of ${N}${trial.asked ? ', asked for' : ''}`; $('asked').textContent = trial.asked
  $('question').textContent = study.question; $('example').hidden = !trial.example; $('view').hidden = !trial.input
  if (trial.example) $('example').src = trial.example
  for (const [id, system] of [['left', left[i]], ['right', left[i] === 'a' ? 'b' : 'a']]) {
    const [input, edit] = $(id).querySelectorAll('img'); input.src = trial.input ?? trial[system]; edit.src = trial[system] } }
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
""" + _SAVE + """document.onkeydown = event => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return
  const act = {ArrowLeft: () => choose('left'), ArrowRight: () => choose('right'), Backspace: back, f: view, F: view}[event.key]
  if (act) { event.preventDefault(); act() } }
start()
</script></body></html>
"""

PAGE_OF_ONE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline';
 script-src 'unsafe-inline'; form-action 'none'; base-uri 'none'"><title>Real or made?</title><style>
:root{color-scheme:light dark;--soft:color-mix(in srgb,CanvasText 62%,Canvas);--card:color-mix(in srgb,CanvasText 7%,Canvas);--mark:#6a78e8}
*{box-sizing:border-box}[hidden]{display:none!important}body{margin:0;font:16px/1.45 system-ui,sans-serif}
main{max-width:min(560px,80vh);margin:0 auto;padding:12px}p{margin:.3em 0 .7em}small{color:var(--soft);font:.85rem system-ui}
progress{width:100%}#picture{width:100%;aspect-ratio:1;display:block;border-radius:6px}
nav{display:flex;flex-wrap:wrap;gap:8px;margin:12px 0}button:disabled{opacity:.4}
button{font:inherit;color:inherit;background:var(--card);border:2px solid #0000;border-radius:10px;padding:8px 12px;cursor:pointer}
button:hover,button:focus-visible{border-color:var(--mark);outline:0}
</style></head><body><main><progress id="bar"></progress>
<section id="ask"><p aria-live="polite"><small id="at"></small> Is this a real picture, or was it made by a computer?</p>
<img id="picture" alt="a picture, real or made"><nav><button id="real">← real</button><button id="made">made →</button></nav></section>
<section id="done" hidden><h1>Thank you</h1><p>Download your answers and give the file to whoever asked you.</p></section>
<nav><button id="back">Back</button><button id="save">Download answers</button><button id="again" hidden>New person</button></nav>
<p><small>Keys: ← real, → made, Backspace goes back. Nothing is sent: your answers, and the seconds they took, stay in this browser until
you download them. They do not say who you are.</small></p>
</main><script id="study" type="application/json">STUDY</script><script>
'use strict'; const $ = id => document.getElementById(id), study = JSON.parse($('study').textContent), N = study.trials.length
const key = 'retouch-study-' + study.id; let state, order, since
""" + _DRAWS + """function start() {
  try { state = JSON.parse(localStorage.getItem(key)) } catch { state = null }
  state ??= {seed: crypto.getRandomValues(new Uint32Array(1))[0], answers: []}
  order = shuffled([...Array(N).keys()], draws(state.seed)); show() }
""" + _KEEP + """function show() {
  const i = state.answers.length, done = i === N; keep(state)
  $('ask').hidden = done; $('done').hidden = $('again').hidden = !done; $('back').disabled = !i
  $('bar').max = N; $('bar').value = i; since = performance.now()
  if (done) return
  $('at').textContent = `${i + 1} of ${N}.`; $('picture').src = study.trials[order[i]].picture }
function choose(chosen) {
  const i = state.answers.length, seconds = Math.round(performance.now() - since) / 1000
  if (i === N || seconds < 0.3) return                    // the second half of a double click is no answer
  state.answers.push({trial: order[i], left: 'a', chosen, seconds, flicker: false}); show() }
function back() { state.answers.pop(); show() }
$('real').onclick = () => choose('b'); $('made').onclick = () => choose('a'); $('back').onclick = back
""" + _SAVE + """document.onkeydown = event => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return
  const act = {ArrowLeft: () => choose('b'), ArrowRight: () => choose('a'), Backspace: back}[event.key]
  if (act) { event.preventDefault(); act() } }
start()
</script></body></html>
"""
