// What the page knows, and all that can be done on it. The parts around it show this and call it.
import { Doc } from './doc.js'

export class App {
  constructor() {
    this.info = null
    this.docs = []
    this.index = -1
    this.paintsExemplar = false
    this.tool = 'move'
    this.size = 32                                               // of the brush, pixels of the picture
    this.colour = '#ff3db5'
    this.tint = false                                            // shown from the first stroke on
    this.show = 'result'
    this.wipeAt = 0.5
    this.holding = false
    this.framing = null                                          // a frame that is being drawn
    this.busy = null                                             // an edit on its way
    this.listeners = new Set()
  }

  // ---- what is there

  get picture() { return this.docs[this.index] || null }
  get painting() { return this.paintsExemplar && this.picture?.exemplar ? this.picture.exemplar : null }
  get doc() { return this.painting || this.picture }             // what lies on the stage
  get model() { return this.info?.models.find((model) => model.name === this.picture?.settings.model) || null }
  get editors() { return this.info ? this.info.models.filter((model) => !model.regions.length) : [] }
  get parsers() { return this.info ? this.info.models.filter((model) => model.regions.length) : [] }
  get stale() { return !!this.picture?.shown && this.picture.shown.asked !== this.picture.asked() }

  listen(listener) { this.listeners.add(listener) }

  // Tells all parts; they draw what they show anew.
  changed() {
    for (const listener of this.listeners) listener()
    this.stage?.changed()
  }

  viewed() { this.stage.changed(); this.tools?.zoomed() }
  say(text, kind = '') { this.status?.say(text, kind) }
  pointed(point) { this.status?.pointed(point) }

  // ---- pictures

  add(answer, name) {
    const doc = new Doc(answer, name)
    const model = this.picture?.settings.model || this.editors[0]?.name || null
    doc.settings.model = model
    doc.steps = [doc.state()]
    this.docs.push(doc)
    return doc
  }

  go(index) {
    if (!this.docs.length) { this.index = -1; this.changed(); return }
    this.index = (index + this.docs.length) % this.docs.length
    this.paintsExemplar = false
    const doc = this.picture
    if (!doc.view.touched) doc.view.fit(doc, this.stage.box)
    this.size = doc.size ||= Math.max(1, Math.round(Math.max(doc.width, doc.height) / 20))
    this.changed()
    this.panel.read()
    this.files.remember()
  }

  // ---- tools

  choose(tool) { this.tool = tool; this.changed() }
  resize(size) {
    const longest = Math.max(this.doc?.width || 512, this.doc?.height || 512)
    this.size = Math.min(Math.max(1, Math.round(size)), Math.max(2, Math.round(longest / 2)))
    if (this.picture) this.picture.size = this.size
    this.changed()
  }

  look(show) { this.show = show; this.changed() }
  hold(down) { if (this.holding !== down) { this.holding = down; this.stage.changed(); this.tools.held() } }
  fit() { if (this.doc) { this.doc.view.fit(this.doc, this.stage.box); this.viewed() } }
  zoom(factor) { this.zoomTo(this.doc && this.doc.view.scale * factor) }
  zoomTo(scale) {
    if (!this.doc) return
    const { width, height } = this.stage.box
    this.doc.view.zoomTo(scale, width / 2, height / 2)
    this.viewed()
  }

  // ---- the part that the model works on: [x, y, width, height], or null for the model's own choice

  frame(box) {
    this.framing = null
    this.set((settings) => { settings.box = box })
    this.commit()
    this.panel.read()
  }

  // From one corner to another, in whole pixels inside the picture.
  between(a, b) {
    const { width, height } = this.picture, clip = (value, most) => Math.min(most, Math.max(0, Math.round(value)))
    const x = clip(Math.min(a.x, b.x), width), y = clip(Math.min(a.y, b.y), height)
    return [x, y, clip(Math.max(a.x, b.x), width) - x, clip(Math.max(a.y, b.y), height) - y]
  }

  // ---- painting

  strokeBegin(point, erase, line) {
    const doc = this.doc, mask = doc.paintable(erase)
    this.tint = true
    const from = line && doc.last ? doc.last : point
    mask.segment(from.x, from.y, point.x, point.y, this.size / 2, erase)
    doc.last = point
    this.stage.changed()
    return { doc, erase, last: point }
  }

  strokeGo(stroke, point) {
    stroke.doc.mask.segment(stroke.last.x, stroke.last.y, point.x, point.y, this.size / 2, stroke.erase)
    stroke.last = stroke.doc.last = point
    this.stage.changed()
  }

  strokeEnd(stroke) { stroke.doc.commit(); this.changed() }
  strokeAbandon(stroke) { stroke.doc.reload(); this.changed() }

  // One change of the whole mask, as one step.
  paint(change, erase = false) {
    if (!this.doc) return
    change(this.doc.paintable(erase))
    this.tint = true
    this.doc.commit()
    this.changed()
  }

  clear() {
    if (!this.doc?.mask) return
    this.doc.mask = null
    this.doc.commit()
    this.changed()
  }

  // ---- settings

  set(change) { change(this.picture.settings); this.changed() }
  commit() { this.picture.commit(); this.changed() }
  undo() { if (this.doc?.go(-1)) { this.changed(); this.panel.read() } }
  redo() { if (this.doc?.go(1)) { this.changed(); this.panel.read() } }

  // ---- results

  showResult(result) {
    this.picture.shown = result
    this.changed()
    this.strip.fetchMask()
  }
}
