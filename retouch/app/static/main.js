// Puts the parts together.
import { api } from './api.js'
import { App } from './app.js'
import { button, h } from './dom.js'
import { Edits } from './edits.js'
import { Files } from './files.js'
import { attachKeys } from './keys.js'
import { Masks } from './masks.js'
import { Panel } from './panel.js'
import { attach, attachWipe } from './pointer.js'
import { Stage } from './stage.js'
import { Status } from './status.js'
import { S } from './strings.js'
import { Strip } from './strip.js'
import { Tools } from './tools.js'

const $ = (id) => document.getElementById(id)
const canvas = document.querySelector('#stage canvas'), wipe = document.querySelector('.wipe')
const app = window.retouch = new App()

canvas.setAttribute('aria-label', S.stage)
wipe.setAttribute('aria-label', S.wipe)
app.help = $('help')
app.help.setAttribute('aria-label', S.help)
app.help.append(h('h2', {}, S.help), h('dl', {}, S.keys.map(([keys, what]) => h('div', {}, h('dt', {}, keys), h('dd', {}, what)))), h('p', { class: 'hint' }, S.keysNote),
  button(S.close, () => app.help.close(), 'primary'))
app.edits = new Edits(app)
app.status = new Status(app, $('status'))
app.files = new Files(app, $('picker'), $('stage'))
app.tools = new Tools(app, { bar: $('bar'), rail: $('rail'), views: $('views'), chip: $('chip'), empty: $('empty') })
app.masks = new Masks(app)
app.panel = new Panel(app, document.querySelector('#panel .sections'), document.querySelector('#panel .apply'))
app.strip = new Strip(app, $('strip'))
app.stage = new Stage(app, canvas, wipe)
attachWipe(app, app.stage, wipe)
attachKeys(app, canvas, attach(app, app.stage, canvas))
app.changed()

// On a phone, results and status scroll with the panel, below the stage.
const phone = matchMedia('(max-width: 760px)'), slot = document.querySelector('#panel .phone')
const place = () => (phone.matches ? slot.append($('status'), $('strip')) : document.querySelector('#panel').before($('strip'), $('status')))
phone.addEventListener('change', place)
place()

try {
  app.info = await api.info()
  await app.files.restore()
} catch (error) {
  app.say(error.message, 'problem')
}
app.changed()
document.body.dataset.ready = 'yes'
