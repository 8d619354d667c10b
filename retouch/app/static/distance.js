// Growing, shrinking and feathering by the exact distance to the other side of the border.
// Felzenszwalb, Huttenlocher. Distance Transforms of Sampled Functions. Theory of Computing 8, 2012.
const FAR = 1e12

// The squared distance in pixels from every pixel to the nearest one where `wanted(value)`.
function distances(values, width, height, wanted) {
  const field = new Float32Array(values.length)
  for (let i = 0; i < values.length; i++) field[i] = wanted(values[i]) ? 0 : FAR
  const longest = Math.max(width, height)
  const line = new Float64Array(longest), at = new Int32Array(longest), border = new Float64Array(longest + 1)
  for (let x = 0; x < width; x++) along(field, x, width, height, line, at, border)
  for (let y = 0; y < height; y++) along(field, y * width, 1, width, line, at, border)
  return field
}

// One row or column: the lower envelope of parabolas.
function along(field, start, step, count, line, at, border) {
  let k = 0
  for (let i = 0; i < count; i++) line[i] = field[start + i * step]
  at[0] = 0
  border[0] = -Infinity
  border[1] = Infinity
  for (let q = 1; q < count; q++) {
    let s
    do {
      const p = at[k]
      s = (line[q] + q * q - line[p] - p * p) / (2 * q - 2 * p)
    } while (s <= border[k] && k-- > 0)
    k++
    at[k] = q
    border[k] = s
    border[k + 1] = Infinity
  }
  k = 0
  for (let q = 0; q < count; q++) {
    while (border[k + 1] < q) k++
    field[start + q * step] = (q - at[k]) ** 2 + line[at[k]]
  }
}

// The mask larger by px, or smaller by -px; its soft values become hard.
export function grown(values, width, height, px) {
  const out = new Uint8Array(values.length)
  const field = px > 0 ? distances(values, width, height, (v) => v >= 128) : distances(values, width, height, (v) => v < 128)
  for (let i = 0; i < out.length; i++) {
    const away = Math.sqrt(field[i])
    out[i] = px > 0 ? (away <= px ? 255 : 0) : (away > -px ? 255 : 0)
  }
  return out
}

// From 0 at the border to the full value px inside it; nothing outside is touched.
export function feathered(values, width, height, px) {
  const field = distances(values, width, height, (v) => v < 128), out = new Uint8Array(values.length)
  for (let i = 0; i < out.length; i++) out[i] = Math.round(values[i] * Math.min(1, Math.sqrt(field[i]) / (px + 1)))
  return out
}
