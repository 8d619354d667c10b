// Elements without markup in strings.
import { icon } from './icons.js'

// h('button', {class: 'x', onclick, 'aria-label': '…'}, child, …)
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag)
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value)
    else if (key === 'value' || key === 'checked' || key === 'disabled' || key === 'hidden') element[key] = value
    else element.setAttribute(key, value === true ? '' : value)
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false))
  return element
}

// A button with an icon; `label` is read out and shown as a tip, `text` is seen.
export function iconButton(name, label, onclick, text) {
  return h('button', { type: 'button', class: text ? 'button' : 'icon', 'aria-label': label, title: label, onclick }, icon(name), text && h('span', {}, text))
}

export const button = (text, onclick, kind = 'button') => h('button', { type: 'button', class: kind, onclick }, text)

// A slider with a number that can be typed, a mark, and a reset. `change(value)` while it moves, `done()` when it is let go.
export function slider({ label, min, max, step, value, mark, digits = 0, unit = '', factor = 1, change, done, reset, resetLabel }) {
  const range = h('input', { type: 'range', min, max, step, value, 'aria-label': label })
  const number = h('input', { type: 'number', min: min * factor, max: max * factor, step: step * factor, 'aria-label': `${label}, number` })
  const shown = (v) => (v * factor).toFixed(digits)
  const back = reset && h('button', { type: 'button', class: 'icon small', 'aria-label': resetLabel, title: resetLabel, onclick: () => reset() }, icon('reset'))
  const paint = (v) => {
    const share = (v - min) / (max - min)
    element.style.setProperty('--at', share)
    if (document.activeElement !== number) number.value = shown(v)
    range.value = v
  }
  range.addEventListener('input', () => { paint(+range.value); change(+range.value) })
  range.addEventListener('change', () => done())
  number.addEventListener('change', () => {
    const v = Math.min(max, Math.max(min, (Number.isFinite(number.valueAsNumber) ? number.valueAsNumber : min * factor) / factor))
    number.value = shown(v)
    paint(v)
    change(v)
    done()
  })
  const element = h('div', { class: 'slider' },
    h('div', { class: 'line' }, h('span', { class: 'name' }, label), back, h('span', { class: 'number' }, number, unit && h('span', { class: 'unit' }, unit))),
    h('div', { class: 'track' }, range))
  if (mark !== undefined) element.style.setProperty('--mark', (mark - min) / (max - min))
  element.classList.toggle('marked', mark !== undefined)
  paint(value)
  return Object.assign(element, { show: paint, touch(touched) { element.classList.toggle('touched', touched); if (back) back.hidden = !touched } })
}
