// The panel's section on the mask: what paints it, and what changes all of it.
import { api } from './api.js'
import { button, h, slider } from './dom.js'
import { decode } from './png.js'
import { S, percent, readable } from './strings.js'

export class Masks {
  constructor(app) {
    this.app = app
    this.seen = null                                             // the version of the mask whose share is shown
    this.share = h('p', { class: 'hint' })
    this.size = slider({ label: S.size, min: 0, max: 1, step: 0.005, value: 0.4, change: (v) => app.resize(this.toSize(v)), done: () => {} })
    this.number = this.size.querySelector('input[type=number]')
    this.number.replaceWith(this.shown = h('output'))
    this.by = h('input', { type: 'number', min: 1, max: 500, step: 1, value: 8, 'aria-label': `${S.amount}, px` })
    this.regions = h('div', { class: 'row', hidden: true })
    this.colours = h('div', { class: 'swatches', role: 'radiogroup', 'aria-label': S.colour }, Object.entries(S.colours).map(([colour, name]) => {
      const swatch = h('input', { type: 'radio', name: 'colour', value: colour, 'aria-label': name, title: name, checked: colour === app.colour,
        onchange: () => { app.colour = colour; app.tint = true; app.changed() } })
      swatch.style.setProperty('--colour', colour)
      return swatch
    }))
    const px = () => Math.min(500, Math.max(1, Math.round(this.by.valueAsNumber || 1)))
    this.element = h('section', {}, h('div', { class: 'title' }, h('h2', {}, S.mask)), this.share,
      this.model = button(S.maskModel, () => this.takeModel()), this.regions, this.size,
      h('div', { class: 'row' }, this.invert = button(S.maskInvert, () => app.paint((mask) => mask.invert())), this.clear = button(S.maskClear, () => app.clear())),
      h('div', { class: 'row by' }, h('label', { class: 'number' }, h('span', {}, S.amount), this.by, h('span', { class: 'unit' }, 'px')),
        ...this.needs = [button(S.grow, () => app.paint((mask) => mask.grow(px()))), button(S.shrink, () => app.paint((mask) => mask.grow(-px()))),
          button(S.feather, () => app.paint((mask) => mask.feather(px())))]), h('div', { class: 'title' }, h('h3', {}, S.colour), this.colours))
    app.listen(() => this.draw())
  }

  // The slider moves the logarithm of the size.
  get longest() { return Math.max(4, Math.max(this.app.doc?.width || 512, this.app.doc?.height || 512) / 2) }
  toSize(v) { return Math.exp(v * Math.log(this.longest)) }

  draw() {
    const { app } = this, doc = app.doc
    if (!doc) return
    if (this.seen !== doc.mask?.version) {
      this.seen = doc.mask?.version
      this.share.textContent = doc.mask ? S.maskSome(percent(doc.mask.share())) : S.maskNone
    }
    this.size.show(Math.log(app.size) / Math.log(this.longest))
    this.shown.textContent = `${app.size} px`
    for (const one of [this.invert, this.clear, ...this.needs]) one.disabled = !doc.mask
    this.model.disabled = !!app.painting || !!app.edits.obstacle()
    if (app.parsers.length && !this.regions.children.length) this.regions.replaceChildren(...this.offer(app.parsers[0]))
    this.regions.hidden = !app.parsers.length
  }

  offer(parser) {
    const select = h('select', { 'aria-label': S.region }, parser.regions.map((name) => h('option', { value: name }, readable(name))))
    return [h('div', { class: 'select' }, select), button(S.regionTake, async () => {
      const found = await this.suggested({ model: parser.name, region: select.value })
      if (found) this.app.paint((mask) => mask.add(found))
    })]
  }

  async takeModel() {
    const { app } = this, { picture, model } = app
    if (app.edits.obstacle() || app.painting) return
    const asked = app.edits.request(picture, model), query = [['model', model.name]]
    for (const [name, value] of Object.entries(asked.set || {})) query.push(['set', `${name}=${value}`])
    if (asked.to) query.push(['to', asked.to])
    if (asked.box) query.push(['box', asked.box])
    if (asked.exemplar) query.push(['exemplar', asked.exemplar])
    const found = await this.suggested(query)
    if (found) app.paint((mask) => mask.take(found))
  }

  async suggested(query) {
    try {
      return (await decode(await api.suggestMask(this.app.picture.id, query))).values
    } catch (error) {
      this.app.say(error.message, 'problem')
      return null
    }
  }
}
