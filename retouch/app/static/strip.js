// Results side by side, and what can be done with the one that is shown.
import { api } from './api.js'
import { h, button, iconButton } from './dom.js'
import { decode } from './png.js'
import { S } from './strings.js'

export class Strip {
  constructor(app, element) {
    this.app = app
    this.list = h('div', { class: 'thumbs', role: 'group', 'aria-label': S.history })
    this.further = button(S.useAsSource, () => this.useAsSource())
    this.compare = button(S.compareFrom, () => {
      const doc = app.picture
      doc.before = doc.before === doc.shown ? null : doc.shown
      if (doc.before) app.show = 'split'
      app.changed()
    })
    this.remove = button(S.remove, () => this.drop())
    this.menu = h('div', { class: 'menu', role: 'menu', hidden: true })
    this.save = iconButton('download', S.download, () => this.toggle(), S.download)
    this.save.setAttribute('aria-haspopup', 'menu')
    this.actions = h('div', { class: 'actions' }, this.further, this.compare, this.remove, h('div', { class: 'anchor' }, this.save, this.menu))
    element.append(this.list, this.actions)
    this.element = element
    addEventListener('pointerdown', (event) => { if (!event.target.closest?.('.anchor')) this.toggle(false) })
    element.addEventListener('keydown', (event) => { if (event.key === 'Escape' && !this.menu.hidden) { this.toggle(false); this.save.focus(); event.stopPropagation() } })
    app.listen(() => this.draw())
  }

  draw() {
    const { app } = this, doc = app.picture
    this.element.hidden = !doc
    this.element.classList.toggle('bare', !doc?.results.length)
    if (!doc) return
    const key = [doc.id, ...doc.results.map((result) => result.id)].join()
    if (key !== this.built) {
      this.built = key
      this.list.replaceChildren(this.thumb(null, S.source, api.thumb('images', doc.id)),
        ...doc.results.map((result) => this.thumb(result, S.number(result.number), api.thumb('edits', result.id))))
      this.list.scrollLeft = this.list.scrollWidth
    }
    for (const one of this.list.children) {
      one.setAttribute('aria-pressed', one.result === doc.shown)
      one.classList.toggle('before', !!doc.before && one.result === doc.before)
    }
    for (const one of [this.further, this.compare, this.remove, this.save]) one.disabled = !doc.shown
    this.compare.textContent = doc.before && doc.before === doc.shown ? S.compareStop : S.compareFrom
  }

  thumb(result, name, src) {
    const one = h('button', { type: 'button', class: 'thumb', title: name, onclick: () => {
      this.app.showResult(result)
      if (result) this.app.say(S.status(result.answer))
    } }, h('img', { src, alt: '', draggable: 'false' }), h('span', {}, name))
    return Object.assign(one, { result })
  }

  // The mask of the result that is shown, once its tint is to be seen.
  async fetchMask() {
    const { app } = this, result = app.picture?.shown
    if (!result || result.mask || !app.tint) return
    try {
      result.mask = (await decode(await api.editMask(result.id))).values
      app.changed()
    } catch { /* the server no longer has it: there is only no tint */ }
  }

  async useAsSource() {
    const { app } = this, doc = app.picture
    try {
      const answer = await api.keepResult(doc.shown.id), next = app.add({ ...answer, notes: [] }, doc.name)
      next.exemplar = doc.exemplar
      app.go(app.docs.length - 1)
      app.say(S.opened(next.name, next.width, next.height))
    } catch (error) {
      app.say(error.status === 404 ? S.failed.lost : error.message, 'problem')
    }
  }

  drop() {
    const { app } = this, doc = app.picture, { shown } = doc
    api.deleteEdit(shown.id).catch(() => {})
    doc.results = doc.results.filter((result) => result !== shown)
    if (doc.before === shown) doc.before = null
    doc.shown = doc.results.at(-1) || null
    app.changed()
    this.fetchMask()
  }

  toggle(open = this.menu.hidden) {
    const result = this.app.picture?.shown
    this.menu.hidden = !open || !result
    this.save.setAttribute('aria-expanded', !this.menu.hidden)
    if (this.menu.hidden) return
    const stem = this.app.picture.name.replace(/\.[^.]*$/, '') || 'picture'
    const link = (text, what, suffix) => h('a', { role: 'menuitem', href: api.url(result.id, what), download: `${stem}-${suffix}.png`, onclick: () => this.toggle(false) }, text)
    this.menu.replaceChildren(link(S.withNote, 'result.png', 'edited'), link(S.withoutNote, 'result.png?note=false', 'edited'),
      link(S.maskFile, 'mask.png', 'mask'), link(S.heatFile, 'heat.png', 'change'))
    this.menu.firstChild.focus()
  }
}
