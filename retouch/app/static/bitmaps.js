// Decoded pictures for the stage: a preview at once, the exact pixels once they can be told apart. None of them is ever read back.
import { api } from './api.js'

const MOST = 8                                                   // that are kept decoded
const kept = new Map()                                           // key -> {bitmap, exact}, the least recently used first

async function decoded(blob) {
  return { bitmap: await createImageBitmap(blob), lossless: blob.type === 'image/png' }
}

function keep(key, entry) {
  kept.get(key)?.bitmap.close()
  kept.delete(key)
  kept.set(key, entry)
  for (const [old, { bitmap }] of kept) {
    if (kept.size <= MOST) break
    bitmap.close()
    kept.delete(old)
  }
  return entry
}

// What there is at the moment, or null.
export function ready(key) {
  const entry = kept.get(key)
  if (entry) { kept.delete(key); kept.set(key, entry) }
  return entry || null
}

const loading = new Map()

// Loads what is missing, once; `what` is {key, width, preview(side), exact()}. `scale`: device pixels a pixel of the picture.
export function load(what, side, scale) {
  const entry = kept.get(what.key)
  const exact = entry && !exactEnough(entry, what, scale)
  const job = `${what.key}${exact ? '!' : ''}`
  if ((entry && !exact) || loading.has(job)) return loading.get(job) || Promise.resolve(entry)
  const promise = (exact ? what.exact() : what.preview(side)).then(decoded).then((found) => keep(what.key, found)).finally(() => loading.delete(job))
  loading.set(job, promise)
  return promise
}

function exactEnough(entry, what, scale) {
  const ratio = entry.bitmap.width / what.width
  return ratio >= 1 ? entry.lossless || scale < 1 : scale <= ratio * 1.1
}

export const pictureOf = (doc) => ({ key: doc.id, width: doc.width, preview: (side) => api.imagePreview(doc.id, side), exact: () => api.imageExact(doc.id) })

export const resultOf = (doc, result, of = 'result') => ({ key: `${result.id} ${of}`, width: doc.width,
  preview: (side) => api.editPreview(result.id, side, of), exact: () => api.editExact(result.id, of) })
