// One line at the foot: what has happened, and where the pointer is.
import { h } from './dom.js'

export class Status {
  constructor(app, element) {
    this.text = h('span', { class: 'text', role: 'status', 'aria-live': 'polite' })
    this.place = h('span', { class: 'place', 'aria-hidden': 'true' })
    element.append(this.text, this.place)
    this.app = app
  }

  say(text, kind) {
    this.text.textContent = text
    this.text.title = text
    this.text.classList.toggle('problem', kind === 'problem')
  }

  pointed({ x, y }) {
    const { doc } = this.app, inside = doc && x >= 0 && y >= 0 && x < doc.width && y < doc.height
    this.place.textContent = inside ? `${Math.floor(x)}, ${Math.floor(y)}` : ''
  }
}
