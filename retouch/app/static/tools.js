// The bar above, the tools at the left, and what is shown at the foot of the stage.
import { button, h, iconButton } from './dom.js'
import { S } from './strings.js'

export class Tools {
  constructor(app, { bar, rail, views, chip, empty }) {
    this.app = app
    this.name = h('span', { class: 'file' })
    this.position = h('span', { class: 'position' })
    this.previous = iconButton('left', S.previous, () => app.go(app.index - 1))
    this.next = iconButton('right', S.next, () => app.go(app.index + 1))
    this.close = iconButton('close', S.closePicture, () => app.files.close())
    this.queue = h('div', { class: 'queue' }, this.previous, this.position, this.next)
    bar.append(h('h1', {}, S.title), h('div', { class: 'current' }, this.queue, this.name, this.close),
      iconButton('open', S.openLong, () => app.files.pick(), S.open), iconButton('keys', S.help, () => app.help.showModal()))

    const tool = (name) => Object.assign(iconButton(name, S[name], () => app.choose(name)), { tool: name })
    this.choice = ['move', 'brush', 'eraser', 'frame'].map(tool)
    this.undo = iconButton('undo', S.undo, () => app.undo())
    this.redo = iconButton('redo', S.redo, () => app.redo())
    rail.append(...this.choice, h('hr'), this.undo, this.redo)
    rail.setAttribute('aria-label', S.brush)

    const look = (name) => Object.assign(button(S[name], () => app.look(name), 'segment'), { look: name })
    this.looks = ['split', 'result', 'heat'].map(look)
    this.original = h('button', { type: 'button', class: 'segment', onpointerdown: (event) => { event.target.setPointerCapture(event.pointerId); app.hold(true) },
      onpointerup: () => app.hold(false), onpointercancel: () => app.hold(false), onlostpointercapture: () => app.hold(false),
      onkeydown: (event) => { if (event.key === 'Enter' || event.key === ' ') { event.preventDefault(); app.hold(true) } },
      onkeyup: () => app.hold(false), onblur: () => app.hold(false), oncontextmenu: (event) => event.preventDefault() }, S.original)
    this.tint = button(S.tint, () => { app.tint = !app.tint; app.changed(); app.strip.fetchMask() }, 'segment')
    this.scale = h('button', { type: 'button', class: 'segment scale', title: '100 %', onclick: () => app.zoomTo(1 / app.stage.ratio) })
    this.segments = h('div', { class: 'segments', role: 'group', 'aria-label': S.views }, this.original, ...this.looks)
    views.append(this.segments, h('div', { class: 'segments' }, this.tint),
      h('div', { class: 'segments zoom' }, iconButton('minus', S.zoomOut, () => app.zoom(0.8)), this.scale, iconButton('plus', S.zoomIn, () => app.zoom(1.25)),
        iconButton('fit', S.fit, () => app.fit())))
    chip.textContent = S.stale
    empty.append(h('div', { class: 'card' }, h('p', { class: 'lead' }, S.empty), h('p', {}, S.emptyMore, ' ',
      button(S.openLong.toLowerCase(), () => app.files.pick(), 'link')), h('p', { class: 'hint' }, S.emptyFormats), h('p', { class: 'hint' }, S.consent)))
    Object.assign(this, { views, chip, empty, rail })
    app.listen(() => this.draw())
  }

  draw() {
    const { app } = this, { picture, doc } = app, has = !!doc
    this.empty.hidden = has
    this.views.hidden = !has
    document.body.classList.toggle('empty', !has)
    this.chip.hidden = !app.stale || !!app.painting || app.show === 'original' || !!app.busy
    this.name.replaceChildren(...picture ? [picture.name, h('small', {}, S.dimensions(picture.width, picture.height))] : [])
    this.queue.hidden = app.docs.length < 2
    this.position.textContent = S.position(app.index + 1, app.docs.length)
    this.close.hidden = !picture
    for (const one of this.choice) { one.setAttribute('aria-pressed', app.tool === one.tool); one.disabled = !has }
    this.undo.disabled = !doc?.steps[doc.at - 1]
    this.redo.disabled = !doc?.steps[doc.at + 1]
    this.segments.hidden = !picture?.shown || !!app.painting
    for (const one of this.looks) one.setAttribute('aria-pressed', app.show === one.look)
    this.tint.hidden = !doc?.mask && !doc?.shown
    this.tint.setAttribute('aria-pressed', app.tint)
    this.held()
    this.zoomed()
    app.stage?.canvas.classList.toggle('paints', has && ['brush', 'eraser'].includes(app.tool))
    app.stage?.canvas.classList.toggle('frames', has && app.tool === 'frame')
  }

  held() { this.original.setAttribute('aria-pressed', this.app.holding) }

  zoomed() {
    const { doc, stage } = this.app
    if (doc && stage) this.scale.textContent = `${Math.round(doc.view.scale * stage.ratio * 100)} %`
  }
}
