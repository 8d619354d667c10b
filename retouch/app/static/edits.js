// From Apply to a result that is seen.
import { api, follow } from './api.js'
import { load, resultOf } from './bitmaps.js'
import { S } from './strings.js'

export class Edits {
  constructor(app) { this.app = app }

  // Why nothing can be applied, or null.
  obstacle() {
    const { picture, model } = this.app
    if (!picture || !model) return S.nothing
    if (model.exemplar_mask && !picture.exemplar) return S.needsExemplar
    if (model.kind === 'attributes' && !Object.keys(picture.settings.set).length) return S.nothing
    return null
  }

  // What POST /edits takes, without the masks.
  request(doc, model) {
    const { set, to, strength, box } = doc.settings
    const asked = { model: model.name, image: doc.id, strength, box }
    if (model.kind === 'attributes') asked.set = set
    else if (!model.exemplar_mask) asked.to = to || model.domains.at(-1)
    if (model.exemplar && doc.exemplar) asked.exemplar = doc.exemplar.id
    return asked
  }

  async apply() {
    const { app } = this, doc = app.picture, { model } = app, began = performance.now()
    const obstacle = this.obstacle()
    if (app.busy) return
    if (obstacle) { app.say(obstacle, 'problem'); return }
    const edit = app.busy = { id: null, cancelled: false, step: S.steps.sending, doc }
    const asked = doc.asked()
    app.changed()
    try {
      const request = this.request(doc, model), mask = await doc.sentMask()
      if (mask) request.mask = mask
      if (model.exemplar_mask && doc.exemplar?.mask) request.exemplar_mask = await doc.exemplar.sentMask()
      if (edit.cancelled) { app.say(S.cancelled); return }
      edit.id = (await api.addEdit(request)).id
      if (edit.cancelled) api.deleteEdit(edit.id).catch(() => {})
      const answer = await follow(edit.id, (state) => { edit.step = this.step(state); app.changed() })
      if (edit.cancelled || answer.state === 'cancelled') { app.say(S.cancelled); return }
      if (answer.state === 'failed') throw new Error(answer.error)
      await this.arrived(doc, answer, asked, began)
    } catch (error) {
      app.say(error.status === 404 ? S.failed.lost : error.message, 'problem')
    } finally {
      app.busy = null
      app.changed()
    }
  }

  async arrived(doc, answer, asked, began) {
    const { app } = this, result = { id: answer.id, answer, asked, number: (doc.count = (doc.count || 0) + 1), mask: null }
    app.busy.step = S.steps.showing
    await load(resultOf(doc, result), app.stage.side, 0)
    doc.results.push(result)
    doc.shown = result
    app.tint = false                                             // what is new is seen as it is
    if (app.picture === doc) app.paintsExemplar = false
    result.seconds = (performance.now() - began) / 1000
    app.busy = null
    app.changed()
    requestAnimationFrame(() => { document.body.dataset.applied = `${result.number} ${((performance.now() - began) / 1000).toFixed(3)}` })
    app.say(`${S.status(answer)}, ${S.seconds(result.seconds)}`)
    app.strip.fetchMask()
  }

  step(state) {
    if (state.state === 'queued' && state.ahead) return S.ahead(state.ahead)
    return S.steps[state.step] || state.step
  }

  cancel() {
    const edit = this.app.busy
    if (!edit) return
    edit.cancelled = true
    if (edit.id) api.deleteEdit(edit.id).catch(() => {})
  }
}
