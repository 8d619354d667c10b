// The right side: model, what to change, exemplar, strength, and Apply.
import { api } from './api.js'
import { button, h, slider } from './dom.js'
import { S, readable } from './strings.js'

export class Panel {
  constructor(app, sections, apply) {
    Object.assign(this, { app, sections, apply })
    this.built = null                                            // for which picture, model and reading the controls stand
    this.rows = {}
    this.main = button(S.apply, () => app.edits.apply(), 'primary')
    this.stop = button(S.cancel, () => app.edits.cancel(), 'button')
    this.progress = h('div', { class: 'progress', role: 'status' }, h('i'), h('span'))
    apply.append(this.progress, h('div', { class: 'buttons' }, this.main, this.stop))
    app.listen(() => this.draw())
  }

  // Asks what the model reads of the picture, once for each.
  async read() {
    const { app } = this, doc = app.picture, name = doc?.settings.model, key = doc?.readingKey
    if (!doc || !name || doc.readings[key]) { this.draw(); return }
    try {
      doc.readings[key] = await api.reading(doc.id, name, doc.settings.box)
    } catch (error) {
      app.say(error.message, 'problem')
    }
    app.changed()
  }

  draw() {
    const { app } = this, doc = app.picture, model = app.model, busy = !!app.busy
    const key = JSON.stringify([doc?.id, model?.name, doc?.readingKey, !!doc?.reading, doc?.exemplar?.id, app.info?.models.length, app.paintsExemplar])
    if (key !== this.built) { this.built = key; this.build(doc, model) }
    else this.refresh(doc, model)
    this.main.disabled = busy || !!app.edits.obstacle()
    this.main.textContent = app.stale || !doc?.shown ? S.apply : S.applyAgain
    this.main.classList.toggle('pending', !!doc && (app.stale || !doc.shown) && !this.main.disabled)
    this.stop.hidden = !busy
    this.progress.classList.toggle('on', busy)
    const told = busy ? app.busy.step : (doc && app.edits.obstacle()) || ''
    this.progress.lastChild.textContent = told
    this.progress.classList.toggle('quiet', !told)
  }

  build(doc, model) {
    const { app } = this
    this.rows = {}
    this.strength = null
    this.sections.replaceChildren(...[
      this.section(S.model, null, this.models(doc)),
      model?.kind === 'attributes' && this.attributes(doc, model),
      model && ['domains', 'pairs'].includes(model.kind) && this.section(S.domains, null, this.domains(doc, model)),
      model?.exemplar && doc && this.section(S.exemplar, null, this.exemplar(doc, model)),
      model && doc && this.section(null, null, this.strength = slider({ label: S.strength, min: 0, max: 2, step: 0.05, value: doc.settings.strength, mark: 1,
        digits: 0, unit: '%', factor: 100, change: (value) => app.set((settings) => { settings.strength = value }), done: () => app.commit(),
        reset: () => { app.set((settings) => { settings.strength = 1 }); app.commit() }, resetLabel: S.reset(S.strength) })),
      doc && model && this.seen(doc),
      doc && app.masks.element,
      doc && (this.notes = h('section', { class: 'notes' })),
      !doc && h('section', {}, h('p', { class: 'hint' }, S.openFirst)),
    ].filter(Boolean))
    this.refresh(doc, model)
  }

  section(title, aside, ...content) {
    return h('section', {}, title && h('div', { class: 'title' }, h('h2', {}, title), aside), ...content)
  }

  // The part of the picture that the model works on.
  seen(doc) {
    const { app } = this, frame = doc.reading?.frame, whole = frame && frame[2] === doc.width && frame[3] === doc.height
    const reset = button(S.resetAll, () => app.frame(null), 'plain')
    reset.hidden = !doc.settings.box
    return this.section(S.seen, reset, h('p', { class: 'hint' }, whole ? S.seenWhole : frame ? S.seenPart(frame[2], frame[3]) : ''),
      button(S.seenChoose, () => { app.choose('frame'); app.stage.canvas.focus() }))
  }

  models(doc) {
    const { app } = this, select = h('select', { 'aria-label': S.model, disabled: !doc, onchange: () => {
      app.set((settings) => Object.assign(settings, { model: select.value, set: {}, to: null, box: null }))
      app.commit()
      this.read()
    } }, app.editors.map((model) => h('option', { value: model.name }, model.name)))
    if (doc) select.value = doc.settings.model
    return h('div', { class: 'select' }, select)
  }

  attributes(doc, model) {
    const { app } = this, reading = doc?.reading?.attributes
    if (model.exclusive) {
      return this.section(S.classes, null, this.choices(model.attributes, (name) => doc?.settings.set[name] === 1, (name) => {
        app.set((settings) => { settings.set = { [name]: 1 } })
        app.commit()
      }, (name) => reading && reading[name] > 0.5))
    }
    const aside = button(S.resetAll, () => { app.set((settings) => { settings.set = {} }); app.commit() }, 'plain')
    this.resetAll = aside
    return this.section(S.attributes, aside, h('p', { class: 'hint' }, S.reads), ...model.attributes.map((name) => {
      const start = Math.round((reading?.[name] ?? 0) * 100) / 100
      const row = slider({ label: readable(name), min: 0, max: 1, step: 0.01, value: doc?.settings.set[name] ?? start, mark: start, unit: '%', factor: 100,
        change: (value) => app.set(({ set }) => { if (value === start) delete set[name]; else set[name] = value }), done: () => app.commit(),
        reset: () => { app.set(({ set }) => { delete set[name] }); app.commit() }, resetLabel: S.reset(readable(name)) })
      for (const input of row.querySelectorAll('input')) input.disabled = !reading
      this.rows[name] = { row, start }
      return row
    }))
  }

  domains(doc, model) {
    const { app } = this
    return this.choices(model.domains, (name) => (doc?.settings.to || model.domains.at(-1)) === name, (name) => {
      app.set((settings) => { settings.to = name })
      app.commit()
    })
  }

  // Buttons of which one is pressed; `reads` marks what the picture shows.
  choices(names, chosen, choose, reads = () => false) {
    const buttons = names.map((name) => Object.assign(h('button', { type: 'button', class: 'choice', onclick: () => choose(name) },
      readable(name), reads(name) && h('small', {}, S.readsAs)), { refresh() { this.setAttribute('aria-pressed', chosen(name)) } }))
    this.buttons = buttons
    return h('div', { class: 'choices' }, buttons)
  }

  exemplar(doc, model) {
    const { app } = this, other = doc.exemplar, picker = document.getElementById('exemplar-picker')
    picker.onchange = () => { app.files.openExemplar(picker.files[0]); picker.value = '' }
    const drop = (event) => { event.preventDefault(); app.files.openExemplar(event.dataTransfer.files[0]) }
    if (!other) return h('div', { class: 'exemplar empty', ondrop: drop }, h('p', {}, S.exemplarDrop), button(S.exemplarOpen, () => picker.click()))
    return h('div', { class: 'exemplar', ondrop: drop }, h('img', { src: api.thumb('images', other.id), alt: other.name }), h('div', { class: 'stack' },
      h('span', { class: 'file' }, other.name),
      model.exemplar_mask && button(app.paintsExemplar ? S.exemplarDone : S.exemplarPaint, () => {
        app.paintsExemplar = !app.paintsExemplar
        if (!other.view.touched) other.view.fit(other, app.stage.box)
        app.changed()
      }), h('div', { class: 'buttons' }, button(S.exemplarOpen, () => picker.click(), 'plain'),
        button(S.exemplarRemove, () => { doc.exemplar = null; app.paintsExemplar = false; app.changed() }, 'plain'))))
  }

  refresh(doc, model) {
    if (!doc || !model) return
    const { set, strength } = doc.settings
    for (const [name, { row, start }] of Object.entries(this.rows)) {
      row.show(set[name] ?? start)
      row.touch(name in set)
    }
    if (this.resetAll) this.resetAll.hidden = !Object.keys(set).length
    for (const one of this.buttons || []) one.refresh()
    const notes = (doc.shown ? doc.shown.answer.notes : doc.notes) || []
    this.notes.hidden = !notes.length
    this.notes.replaceChildren(h('div', { class: 'title' }, h('h2', {}, S.notes)), h('ul', {}, notes.map((note) => h('li', {}, note))))
    this.strength?.show(strength)
    this.strength?.touch(strength !== 1)
  }
}
