// Masks as 8-bit grey PNG files, written and read without a canvas: a canvas may round, convert or deliberately blur what is read from it.
const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10]

const TABLE = new Uint32Array(256).map((_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1
  return n
})

function crc(bytes) {
  let value = 0xffffffff
  for (const byte of bytes) value = TABLE[(value ^ byte) & 255] ^ (value >>> 8)
  return (value ^ 0xffffffff) >>> 0
}

function chunk(name, data) {
  const out = new Uint8Array(data.length + 12)
  const view = new DataView(out.buffer)
  view.setUint32(0, data.length)
  out.set([...name].map((letter) => letter.charCodeAt(0)), 4)
  out.set(data, 8)
  view.setUint32(data.length + 8, crc(out.subarray(4, data.length + 8)))
  return out
}

async function through(bytes, stream) {
  return new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer())
}

export async function encode(values, width, height) {
  const lines = new Uint8Array((width + 1) * height)             // a filter byte, 0, before every row
  for (let y = 0; y < height; y++) lines.set(values.subarray(y * width, (y + 1) * width), y * (width + 1) + 1)
  const header = new Uint8Array(13)
  const view = new DataView(header.buffer)
  view.setUint32(0, width)
  view.setUint32(4, height)
  header[8] = 8                                                  // bits; colour type 0 is grey
  const data = await through(lines, new CompressionStream('deflate'))
  return new Blob([new Uint8Array(SIGNATURE), chunk('IHDR', header), chunk('IDAT', data), chunk('IEND', new Uint8Array(0))],
    { type: 'image/png' })
}

export async function decode(file) {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength)
  const width = view.getUint32(16), height = view.getUint32(20)
  if (file[24] !== 8 || file[25] !== 0 || file[28] !== 0) throw new Error('expected an 8-bit grey PNG')
  const parts = []
  for (let at = 8; at < file.length; at += view.getUint32(at) + 12) {
    const name = String.fromCharCode(...file.subarray(at + 4, at + 8))
    if (name === 'IDAT') parts.push(file.subarray(at + 8, at + 8 + view.getUint32(at)))
  }
  const lines = await through(new Uint8Array(await new Blob(parts).arrayBuffer()), new DecompressionStream('deflate'))
  const values = new Uint8Array(width * height)
  for (let y = 0; y < height; y++) unfilter(values, lines, y, width)
  return { width, height, values }
}

function unfilter(values, lines, y, width) {
  const from = y * (width + 1), row = y * width, kind = lines[from]
  for (let x = 0; x < width; x++) {
    const a = x ? values[row + x - 1] : 0, b = y ? values[row + x - width] : 0, c = x && y ? values[row + x - width - 1] : 0
    values[row + x] = lines[from + 1 + x] + [0, a, b, (a + b) >> 1, kind === 4 ? paeth(a, b, c) : 0][kind]
  }
}

function paeth(a, b, c) {
  const p = a + b - c, pa = Math.abs(p - a), pb = Math.abs(p - b), pc = Math.abs(p - c)
  return pa <= pb && pa <= pc ? a : pb <= pc ? b : c
}
