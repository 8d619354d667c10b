// A painted mask at the picture's own size: bytes, 255 = may change. The only place where it is written.
import { encode } from './png.js'
import { grown, feathered } from './distance.js'

let versions = 0                                                 // one for every content that any mask ever had
const LONGEST = 0xffffff                                         // of a run: 24 bits of count, 8 of value

export class Mask {
  constructor(width, height) {
    this.width = width
    this.height = height
    this.values = new Uint8Array(width * height)
    this.version = ++versions
  }

  // A round brush of radius r drawn from one point to another, in pixels of the picture. The larger value wins, so that it does not
  // matter in how many pieces a stroke arrives.
  segment(x0, y0, x1, y1, r, erase) {
    const { width, height, values } = this
    const left = Math.max(0, Math.floor(Math.min(x0, x1) - r - 1)), right = Math.min(width, Math.ceil(Math.max(x0, x1) + r + 1))
    const top = Math.max(0, Math.floor(Math.min(y0, y1) - r - 1)), bottom = Math.min(height, Math.ceil(Math.max(y0, y1) + r + 1))
    const dx = x1 - x0, dy = y1 - y0, squared = dx * dx + dy * dy
    for (let y = top; y < bottom; y++) {
      for (let x = left; x < right; x++) {
        const px = x + 0.5 - x0, py = y + 0.5 - y0
        const t = squared ? Math.min(1, Math.max(0, (px * dx + py * dy) / squared)) : 0
        const away = Math.hypot(px - t * dx, py - t * dy)
        const cover = Math.round(255 * Math.min(1, Math.max(0, r + 0.5 - away)))
        if (!cover) continue
        const at = y * width + x
        values[at] = erase ? Math.min(values[at], 255 - cover) : Math.max(values[at], cover)
      }
    }
    this.version = ++versions
    return { left, top, right, bottom }
  }

  fill(value) { this.values.fill(value); this.version = ++versions }
  invert() { for (let i = 0; i < this.values.length; i++) this.values[i] = 255 - this.values[i]; this.version = ++versions }
  grow(px) { this.values = grown(this.values, this.width, this.height, px); this.version = ++versions }
  feather(px) { this.values = feathered(this.values, this.width, this.height, px); this.version = ++versions }

  // What a model drew: wherever it may change anything, all of it may.
  take(values) { for (let i = 0; i < values.length; i++) this.values[i] = values[i] ? 255 : 0; this.version = ++versions }
  add(values) { for (let i = 0; i < values.length; i++) this.values[i] = Math.max(this.values[i], values[i]); this.version = ++versions }

  share() {
    let count = 0
    for (let i = 0; i < this.values.length; i++) count += this.values[i] > 0
    return count / this.values.length
  }

  // All of it as runs of equal values: little, since a mask is mostly flat.
  snapshot() {
    const runs = [], { values } = this
    for (let i = 0; i < values.length;) {
      let end = i + 1
      while (end < values.length && values[end] === values[i] && end - i < LONGEST) end++
      runs.push(((end - i) * 256 + values[i]) >>> 0)
      i = end
    }
    return Uint32Array.from(runs)
  }

  restore(runs) {
    let at = 0
    for (const run of runs) {
      const end = at + (run >>> 8)
      this.values.fill(run & 255, at, end)
      at = end
    }
    this.version = ++versions
  }

  toPng() { return encode(this.values, this.width, this.height) }
}
