// The picture, its result and the mask under one view.
import { load, pictureOf, ready, resultOf } from './bitmaps.js'
import { Overlay } from './overlay.js'

const SHARP = 2                                                  // device pixels a pixel from which on pixels are shown as squares

export class Stage {
  constructor(app, canvas, wipe) {
    Object.assign(this, { app, canvas, wipe })
    this.context = canvas.getContext('2d')
    this.overlay = new Overlay()
    this.box = { width: 0, height: 0 }
    this.ratio = 1
    this.cursor = null                                           // {x, y} of the brush in CSS pixels
    this.dirty = true                                            // the overlay is to be drawn anew
    this.checks = checkerboard()
    new ResizeObserver(() => this.resize()).observe(canvas.parentElement)
    matchMedia('(resolution: 1dppx)').addEventListener('change', () => this.resize())
    this.resize()
  }

  resize() {
    const { width, height } = this.canvas.parentElement.getBoundingClientRect()
    this.ratio = devicePixelRatio || 1
    const before = this.box
    this.box = { width, height }
    this.canvas.width = Math.max(1, Math.round(width * this.ratio))
    this.canvas.height = Math.max(1, Math.round(height * this.ratio))
    const doc = this.app.doc
    if (doc && !doc.view.touched) doc.view.fit(doc, this.box)
    else if (doc && before.width) doc.view.pan((width - before.width) / 2, (height - before.height) / 2)
    this.changed()
  }

  // A mask or the view has changed.
  changed() { this.dirty = true; this.request() }

  request() {
    if (this.waiting) return
    this.waiting = true
    requestAnimationFrame(() => { this.waiting = false; this.draw() })
  }

  // Pixels of a preview's longer side.
  get side() { return Math.min(2048, Math.max(512, Math.ceil(Math.max(this.box.width, this.box.height) * this.ratio / 256) * 256)) }

  bitmap(what, doc) {
    const entry = ready(what.key)
    load(what, this.side, doc.view.scale * this.ratio).then((found) => { if (found !== entry) this.request() }, () => {})
    return entry?.bitmap
  }

  draw() {
    const { app, context: c, ratio, box } = this, doc = app.doc
    c.setTransform(1, 0, 0, 1, 0, 0)
    c.clearRect(0, 0, this.canvas.width, this.canvas.height)
    this.wipe.hidden = true
    if (!doc) return
    doc.view.hold(doc, box)
    const { scale, x, y } = doc.view, w = doc.width * scale, h = doc.height * scale
    c.setTransform(ratio, 0, 0, ratio, 0, 0)
    c.imageSmoothingEnabled = scale * ratio < SHARP
    c.imageSmoothingQuality = 'high'
    if (doc.alpha) this.ground(x, y, w, h)
    const show = app.painting || !doc.shown ? 'original' : app.holding ? 'original' : app.show
    const before = doc.before && show !== 'original' ? this.bitmap(resultOf(doc, doc.before), doc) : this.bitmap(pictureOf(doc), doc)
    const after = show === 'original' ? null : this.bitmap(resultOf(doc, doc.shown, show === 'heat' ? 'heat' : 'result'), doc)
    const border = x + w * app.wipeAt
    if (show === 'split' && after && before) {
      this.part(before, x, y, w, h, -1e6, border)
      if (doc.alpha) this.ground(border, y, x + w - border, h)
      this.part(after, x, y, w, h, border, 1e6)
      this.placeWipe(border)
    } else {
      const picture = after || before
      if (picture) c.drawImage(picture, x, y, w, h)
    }
    const mask = this.mask(doc, show)
    if (mask) {
      if (this.dirty) this.overlay.draw(mask, doc.width, doc.height, doc.view, box, app.colour)
      this.dirty = false
      c.imageSmoothingEnabled = false
      c.drawImage(this.overlay.canvas, 0, 0)
    }
    if (!app.painting) this.frame(doc)
    if (this.cursor && ['brush', 'eraser'].includes(app.tool)) this.circle(doc)
    this.canvas.dataset.shown = after ? show : before ? 'original' : ''
  }

  mask(doc, show) {
    if (!this.app.tint || this.app.holding || show === 'heat') return null
    return doc.mask ? doc.mask.values : doc.shown?.mask || null
  }

  // The part that the model sees, where that is not the whole picture.
  frame(doc) {
    const frame = this.app.framing || doc.reading?.frame, c = this.context, { scale, x, y } = doc.view
    if (!frame || (frame[2] === doc.width && frame[3] === doc.height)) return
    const [left, top, w, h] = frame
    for (const [colour, offset] of [['#000a', 0], ['#fffc', 4]]) {
      c.strokeStyle = colour
      c.lineWidth = 1
      c.setLineDash([4, 4])
      c.lineDashOffset = offset
      c.strokeRect(Math.round(x + left * scale) + 0.5, Math.round(y + top * scale) + 0.5, Math.round(w * scale) - 1, Math.round(h * scale) - 1)
    }
    c.setLineDash([])
  }

  part(bitmap, x, y, w, h, left, right) {
    const c = this.context
    c.save()
    c.beginPath()
    c.rect(left, -1e6, right - left, 2e6)
    c.clip()
    c.drawImage(bitmap, x, y, w, h)
    c.restore()
  }

  ground(x, y, w, h) {
    const c = this.context
    c.fillStyle = this.pattern ||= c.createPattern(this.checks, 'repeat')
    c.fillRect(x, y, w, h)
  }

  placeWipe(border) {
    this.wipe.hidden = false
    this.wipe.style.transform = `translateX(${Math.min(this.box.width, Math.max(0, border))}px)`
    this.wipe.setAttribute('aria-valuenow', Math.round(this.app.wipeAt * 100))
  }

  circle(doc) {
    const c = this.context, r = Math.max(1.5, this.app.size / 2 * doc.view.scale)
    for (const [colour, width] of [['#000', 3], ['#fff', 1.25]]) {
      c.strokeStyle = colour
      c.lineWidth = width
      c.beginPath()
      c.arc(this.cursor.x, this.cursor.y, r, 0, 2 * Math.PI)
      c.stroke()
    }
  }
}

function checkerboard() {
  const canvas = Object.assign(document.createElement('canvas'), { width: 16, height: 16 }), c = canvas.getContext('2d')
  c.fillStyle = '#fff'
  c.fillRect(0, 0, 16, 16)
  c.fillStyle = '#d5d5d5'
  c.fillRect(0, 0, 8, 8)
  c.fillRect(8, 8, 8, 8)
  return canvas
}
