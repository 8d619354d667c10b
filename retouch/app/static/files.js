// Pictures by picker, drop and paste; what a reload brings back.
import { api } from './api.js'
import { Doc } from './doc.js'
import { S } from './strings.js'

const KEY = 'retouch-pictures'

export class Files {
  constructor(app, input, target) {
    Object.assign(this, { app, input })
    input.addEventListener('change', () => { this.open([...input.files]); input.value = '' })
    addEventListener('dragover', (event) => { event.preventDefault(); target.classList.add('over') })
    addEventListener('dragleave', (event) => { if (!event.relatedTarget) target.classList.remove('over') })
    addEventListener('drop', (event) => {
      event.preventDefault()
      target.classList.remove('over')
      if (!event.target.closest?.('.exemplar')) this.open([...event.dataTransfer.files])
    })
    addEventListener('paste', (event) => {
      const files = [...(event.clipboardData?.files || [])]
      if (files.length) { event.preventDefault(); this.open(files) }
    })
  }

  pick() { this.input.click() }

  async open(files) {
    const { app } = this
    let first = -1
    const problems = []
    for (const file of files) {
      const name = file.name || 'picture'
      app.say(S.opening(name))
      try {
        const doc = app.add(await api.addImage(file), name)
        if (first < 0) { first = app.docs.length - 1; app.go(first) }
        app.say([S.opened(name, doc.width, doc.height), ...doc.notes].join('. '))
      } catch (error) {
        problems.push(S.notOpened(name, error.message))
      }
    }
    if (files.length - problems.length > 1) app.say(S.openedMany(files.length - problems.length))
    if (problems.length) app.say(problems.join(' · '), 'problem')
    app.changed()
    this.remember()
  }

  async openExemplar(file) {
    const { app } = this, doc = app.picture
    if (!file || !doc) return
    try {
      doc.exemplar = new Doc(await api.addImage(file), file.name || 'exemplar')
      app.say(S.opened(doc.exemplar.name, doc.exemplar.width, doc.exemplar.height))
    } catch (error) {
      app.say(S.notOpened(file.name, error.message), 'problem')
    }
    app.changed()
  }

  close() {
    const { app } = this, doc = app.picture
    if (!doc) return
    api.deleteImage(doc.id).catch(() => {})
    app.docs.splice(app.index, 1)
    app.go(Math.max(0, Math.min(app.index, app.docs.length - 1)))
    this.remember()
  }

  // Of this tab alone; the server forgets pictures by and by.
  remember() {
    try {
      sessionStorage.setItem(KEY, JSON.stringify(this.app.docs.map(({ id, name, width, height, alpha, notes }) => ({ id, name, width, height, alpha, notes }))))
    } catch { /* a browser that keeps nothing */ }
  }

  async restore() {
    let kept = []
    try { kept = JSON.parse(sessionStorage.getItem(KEY) || '[]') } catch { /* likewise */ }
    for (const answer of kept) {
      try {
        await api.imagePreview(answer.id, 16)
        this.app.add(answer, answer.name)
      } catch { /* no longer there */ }
    }
    if (this.app.docs.length) this.app.go(0)
    else this.remember()
  }
}
