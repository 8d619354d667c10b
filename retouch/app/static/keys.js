// The keyboard. Keys of one letter work while the stage has the focus, so that they never get in the way of typing.
export function attachKeys(app, canvas, pointer) {
  const scope = () => app.doc

  addEventListener('keydown', (event) => {
    const command = event.ctrlKey || event.metaKey, key = event.key.toLowerCase()
    if (document.querySelector('dialog[open]')) return
    if (command && key === 'enter') { event.preventDefault(); app.edits.apply(); return }
    if (command && key === 'o') { event.preventDefault(); app.files.pick(); return }
    if (command && !typing(event.target) && (key === 'z' || key === 'y')) {
      event.preventDefault()
      if (key === 'y' || event.shiftKey) app.redo()
      else app.undo()
      return
    }
    if (key === 'escape' && app.busy) { app.edits.cancel(); return }
    if (document.activeElement !== canvas || command || event.altKey) return
    if (key === ' ') { event.preventDefault(); pointer.space = true; return }
    const action = KEYS[event.key] || KEYS[key] || (key.startsWith('arrow') && arrow)
    if (action && (scope() || event.key === '?')) {
      event.preventDefault()
      action(app, event)
    }
  })

  addEventListener('keyup', (event) => {
    if (event.key === ' ') pointer.space = false
    if (event.key === '\\') app.hold(false)
  })
  addEventListener('blur', () => { pointer.release(); app.hold(false) })
  canvas.addEventListener('blur', () => { pointer.space = false; app.hold(false) })
}

const typing = (element) => element.matches?.('input[type=number], input[type=text], textarea')

const KEYS = {
  v: (app) => app.choose('move'),
  b: (app) => app.choose('brush'),
  e: (app) => app.choose('eraser'),
  f: (app) => app.choose('frame'),
  '[': (app) => app.resize(Math.min(app.size - 1, app.size / 1.15)),
  ']': (app) => app.resize(Math.max(app.size + 1, app.size * 1.15)),
  0: (app) => app.fit(),
  1: (app) => app.zoomTo(1 / app.stage.ratio),
  '+': (app) => app.zoom(1.25),
  '=': (app) => app.zoom(1.25),
  '-': (app) => app.zoom(0.8),
  '\\': (app) => app.hold(true),
  r: (app) => app.look('result'),
  w: (app) => app.look('split'),
  h: (app) => app.look('heat'),
  t: (app) => { app.tint = !app.tint; app.changed() },
  m: (app) => app.masks.takeModel(),
  i: (app) => app.paint((mask) => mask.invert()),
  x: (app) => app.clear(),
  PageUp: (app) => app.go(app.index - 1),
  PageDown: (app) => app.go(app.index + 1),
  '?': (app) => app.help.showModal(),
  Enter: dab,
}

// Arrows move the picture, or with a brush in hand the brush: by half its size, with Shift by a pixel.
function arrow(app, event) {
  const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key]
  const { stage, doc } = app
  if (app.tool === 'move' || app.tool === 'frame') {
    doc.view.pan(-40 * dx, -40 * dy)
    app.viewed()
    return
  }
  const step = event.shiftKey ? doc.view.scale : Math.max(doc.view.scale, app.size / 2 * doc.view.scale)
  const from = stage.cursor || { x: stage.box.width / 2, y: stage.box.height / 2 }
  stage.cursor = { x: Math.min(stage.box.width, Math.max(0, from.x + dx * step)), y: Math.min(stage.box.height, Math.max(0, from.y + dy * step)) }
  app.pointed(doc.view.toPicture(stage.cursor.x, stage.cursor.y))
  stage.request()
}

function dab(app, event) {
  const { stage, doc } = app
  if (app.tool === 'move' || app.tool === 'frame') return
  stage.cursor ||= { x: stage.box.width / 2, y: stage.box.height / 2 }
  const point = doc.view.toPicture(stage.cursor.x, stage.cursor.y)
  app.strokeEnd(app.strokeBegin(point, app.tool === 'eraser', event.shiftKey))
}
