// One picture: what the server keeps of it, what was painted and set for it, and what came of it.
import { api } from './api.js'
import { Mask } from './mask.js'
import { View } from './view.js'

const STEPS = 200                                                // that can be undone

export class Doc {
  constructor(answer, name) {
    Object.assign(this, { id: answer.id, name, width: answer.width, height: answer.height, alpha: answer.alpha, notes: answer.notes })
    this.view = new View()
    this.mask = null                                             // a Mask once something was painted
    this.settings = { model: null, set: {}, to: null, strength: 1, box: null }
    this.exemplar = null                                         // another Doc
    this.readings = {}                                           // by model and box
    this.results = []
    this.shown = null                                            // a result
    this.before = null                                           // a result that it is compared with; null: the picture itself
    this.sent = null                                             // the mask as the server has it: {version, id}
    this.steps = [this.state()]
    this.at = 0
  }

  // All that undo brings back. Masks are runs, and equal masks are one object.
  state() {
    const kept = this.steps?.[this.at]
    const same = kept && kept.version === (this.mask ? this.mask.version : -1)
    return { settings: JSON.stringify(this.settings), version: this.mask ? this.mask.version : -1,
      mask: same ? kept.mask : this.mask && this.mask.snapshot() }
  }

  // After every stroke, and after a setting has been moved.
  commit() {
    const next = this.state(), kept = this.steps[this.at]
    if (next.settings === kept.settings && next.version === kept.version) return
    this.steps.splice(this.at + 1)
    this.steps.push(next)
    if (this.steps.length > STEPS) this.steps.shift()
    this.at = this.steps.length - 1
  }

  go(by) {
    const to = this.steps[this.at + by]
    if (!to) return false
    this.at += by
    this.settings = JSON.parse(to.settings)
    if (to.version !== (this.mask ? this.mask.version : -1)) {
      this.mask = to.mask && (this.mask || new Mask(this.width, this.height))
      if (to.mask) {
        this.mask.restore(to.mask)
        this.mask.version = to.version                           // what was sent to the server of this version still holds
      }
    }
    return true
  }

  get reading() { return this.readings[this.readingKey] }
  get readingKey() { return `${this.settings.model} ${this.settings.box || ''}`.trim() }

  // Back to the last step, as if nothing had been begun.
  reload() { this.go(0) }

  // A mask to paint on. It begins as what is seen: the mask of the result that is shown, or nothing; an eraser has all to take from.
  paintable(erase) {
    if (!this.mask) {
      this.mask = new Mask(this.width, this.height)
      if (this.shown?.mask) this.mask.take(this.shown.mask)
      else if (erase) this.mask.fill(255)
    }
    return this.mask
  }

  // What an edit depends on, to see whether a result is still that of the settings.
  asked() {
    return JSON.stringify([this.settings, this.mask ? this.mask.version : null, this.exemplar?.id, this.exemplar?.mask?.version])
  }

  async sentMask() {
    if (!this.mask) return null
    if (this.sent?.version !== this.mask.version) {
      const { version } = this.mask
      this.sent = { version, id: (await api.addMask(this.id, await this.mask.toPng())).id }
    }
    return this.sent.id
  }
}
