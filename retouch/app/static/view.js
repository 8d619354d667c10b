// Where the picture lies under the stage: a scale in CSS pixels a pixel, and an offset in CSS pixels.
export class View {
  constructor() {
    this.scale = 1
    this.x = 0
    this.y = 0
    this.touched = false                                         // until then, a resized window fits the picture again
  }

  fit(picture, box) {
    const room = Math.min(24, box.width / 20, box.height / 20)
    this.scale = Math.min((box.width - 2 * room) / picture.width, (box.height - 2 * room) / picture.height)
    if (this.scale > 3) this.scale = Math.floor(this.scale)      // every pixel of a small picture as large as the next
    this.centre(picture, box)
    this.touched = false
  }

  centre(picture, box) {
    this.x = (box.width - picture.width * this.scale) / 2
    this.y = (box.height - picture.height * this.scale) / 2
  }

  // To a scale, the point (x, y) of the stage staying where it is.
  zoomTo(scale, x, y) {
    const next = Math.min(64, Math.max(0.01, scale))
    this.x = x - (x - this.x) * next / this.scale
    this.y = y - (y - this.y) * next / this.scale
    this.scale = next
    this.touched = true
  }

  pan(dx, dy) {
    this.x += dx
    this.y += dy
    this.touched = true
  }

  // A point of the stage in pixels of the picture.
  toPicture(x, y) {
    return { x: (x - this.x) / this.scale, y: (y - this.y) / this.scale }
  }

  // At least a little of the picture stays in sight.
  hold(picture, box) {
    const w = picture.width * this.scale, h = picture.height * this.scale, keep = 48
    this.x = Math.min(box.width - Math.min(keep, w), Math.max(Math.min(keep, w) - w, this.x))
    this.y = Math.min(box.height - Math.min(keep, h), Math.max(Math.min(keep, h) - h, this.y))
  }
}
