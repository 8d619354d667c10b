// A mask as a tint and an outline, drawn at the stage's own resolution: as fast for 12 megapixels as for a small picture.
const OPACITY = 0.42

export class Overlay {
  constructor() {
    this.canvas = document.createElement('canvas')
    this.context = this.canvas.getContext('2d')
  }

  // values: bytes of a mask; view: where the picture lies; colour: '#rrggbb'.
  draw(values, width, height, view, box, colour) {
    const w = Math.max(1, Math.round(box.width)), h = Math.max(1, Math.round(box.height))
    if (this.canvas.width !== w || this.canvas.height !== h) Object.assign(this.canvas, { width: w, height: h })
    const picture = this.context.createImageData(w, h), out = new Uint32Array(picture.data.buffer)
    const hex = parseInt(colour.slice(1), 16), tint = ((hex & 255) << 16) | (hex & 0xff00) | (hex >> 16)     // ABGR
    const columns = positions(w, view.x, view.scale, width), rows = positions(h, view.y, view.scale, height)
    let above = new Uint8Array(w), here = new Uint8Array(w)
    for (let y = 0; y < h; y++) {
      const row = rows[y]
      let left = 0
      for (let x = 0; x < w; x++) {
        const value = row < 0 || columns[x] < 0 ? 0 : values[row * width + columns[x]]
        const inside = value >= 128 ? 1 : 0
        here[x] = inside
        const edge = (y && inside !== above[x]) || (x && inside !== left)
        left = inside
        if (edge) out[y * w + x] = ((x + y) >> 2) & 1 ? 0xffffffff : 0xff000000
        else if (value) out[y * w + x] = (Math.round(value * OPACITY) << 24) | tint
      }
      [above, here] = [here, above]
    }
    this.context.putImageData(picture, 0, 0)
    return this.canvas
  }
}

// For every pixel of the stage the pixel of the picture under its centre, or -1.
function positions(count, offset, scale, size) {
  const out = new Int32Array(count)
  for (let i = 0; i < count; i++) {
    const at = Math.floor((i + 0.5 - offset) / scale)
    out[i] = at >= 0 && at < size ? at : -1
  }
  return out
}
