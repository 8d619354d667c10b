// Mouse, pen and fingers on the stage: painting, moving, pinching.
export function attach(app, stage, canvas) {
  const fingers = new Map()
  let stroke = null, drag = null, pinch = null, framed = null, space = false

  const place = (event) => {
    const box = canvas.getBoundingClientRect()
    return { x: event.clientX - box.left, y: event.clientY - box.top }
  }

  canvas.addEventListener('pointerdown', (event) => {
    const doc = app.doc
    if (!doc) return
    canvas.focus({ preventScroll: true })
    const at = place(event)
    if (event.pointerType === 'touch') {
      fingers.set(event.pointerId, at)
      if (fingers.size === 2) {                                  // a second finger: what the first has begun was the start of a pinch
        if (stroke) app.strokeAbandon(stroke)
        stroke = drag = framed = app.framing = null
        pinch = spread(fingers)
        return
      }
      if (fingers.size > 2) return
    }
    try { canvas.setPointerCapture(event.pointerId) } catch { /* a pointer that has gone again */ }
    if (event.button === 1 || space || (app.tool === 'move' && event.button === 0)) {
      drag = { id: event.pointerId, ...at }
      canvas.classList.add('dragging')
    } else if (app.tool === 'frame') {
      if (!app.painting) framed = { id: event.pointerId, from: doc.view.toPicture(at.x, at.y) }
    } else if (event.button === 0 || event.button === 2) {
      const erase = event.button === 2 || app.tool === 'eraser' || event.buttons === 32
      stroke = app.strokeBegin(doc.view.toPicture(at.x, at.y), erase, event.shiftKey)
      stroke.id = event.pointerId
    }
    event.preventDefault()
  })

  canvas.addEventListener('pointermove', (event) => {
    const doc = app.doc
    if (!doc) return
    const at = place(event)
    if (fingers.has(event.pointerId)) fingers.set(event.pointerId, at)
    if (pinch && fingers.size >= 2) {
      const next = spread(fingers)
      doc.view.zoomTo(doc.view.scale * next.apart / pinch.apart, pinch.x, pinch.y)
      doc.view.pan(next.x - pinch.x, next.y - pinch.y)
      pinch = next
      app.viewed()
    } else if (drag?.id === event.pointerId) {
      doc.view.pan(at.x - drag.x, at.y - drag.y)
      Object.assign(drag, at)
      app.viewed()
    } else if (framed?.id === event.pointerId) {
      app.framing = app.between(framed.from, doc.view.toPicture(at.x, at.y))
    } else if (stroke?.id === event.pointerId) {
      const events = event.getCoalescedEvents?.() || []
      for (const one of events.length ? events : [event]) {
        const { x, y } = place(one)
        app.strokeGo(stroke, doc.view.toPicture(x, y))
      }
    }
    stage.cursor = event.pointerType === 'touch' ? null : at
    app.pointed(doc.view.toPicture(at.x, at.y))
    stage.request()
  })

  const end = (event) => {
    fingers.delete(event.pointerId)
    if (fingers.size < 2) pinch = null
    if (drag?.id === event.pointerId) drag = null
    canvas.classList.toggle('dragging', !!drag)
    if (framed?.id === event.pointerId) {
      const box = app.framing
      framed = app.framing = null
      if (box?.[2] > 3 && box[3] > 3) app.frame(box)
      app.choose('move')
    }
    if (stroke?.id === event.pointerId) {
      app.strokeEnd(stroke)
      stroke = null
    }
  }
  canvas.addEventListener('pointerup', end)
  canvas.addEventListener('pointercancel', end)
  canvas.addEventListener('lostpointercapture', end)
  canvas.addEventListener('pointerleave', () => { stage.cursor = null; stage.request() })
  canvas.addEventListener('contextmenu', (event) => event.preventDefault())

  canvas.addEventListener('wheel', (event) => {
    const doc = app.doc
    if (!doc) return
    event.preventDefault()
    const { x, y } = place(event), lines = event.deltaMode === 1 ? 20 : 1
    doc.view.zoomTo(doc.view.scale * Math.exp(-Math.max(-120, Math.min(120, event.deltaY * lines)) * (event.ctrlKey ? 0.01 : 0.0025)), x, y)
    app.viewed()
  }, { passive: false })

  return {
    set space(down) { space = down; canvas.classList.toggle('grab', down) },
    release() { space = false; stroke = drag = pinch = framed = app.framing = null; fingers.clear(); canvas.classList.remove('grab', 'dragging') },
  }
}

function spread(fingers) {
  const [a, b] = [...fingers.values()]
  return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, apart: Math.max(1, Math.hypot(a.x - b.x, a.y - b.y)) }
}

// The wipe handle: dragged, or moved by arrow keys.
export function attachWipe(app, stage, handle) {
  handle.addEventListener('pointerdown', (event) => { handle.setPointerCapture(event.pointerId); event.preventDefault(); handle.focus() })
  handle.addEventListener('pointermove', (event) => {
    if (!handle.hasPointerCapture(event.pointerId) || !app.doc) return
    const { view, width } = app.doc, box = stage.canvas.getBoundingClientRect()
    app.wipeAt = Math.min(1, Math.max(0, (event.clientX - box.left - view.x) / (width * view.scale)))
    stage.request()
  })
  handle.addEventListener('keydown', (event) => {
    const by = { ArrowLeft: -0.02, ArrowRight: 0.02, Home: -1, End: 1 }[event.key]
    if (!by) return
    app.wipeAt = Math.min(1, Math.max(0, app.wipeAt + by))
    event.preventDefault()
    event.stopPropagation()
    stage.request()
  })
}
