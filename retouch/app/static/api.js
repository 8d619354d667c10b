// The server, as promises. Every failure is an Error of one line that a person can read; `status` says which.
import { S } from './strings.js'

const ROOT = '/api/v1'

async function ask(path, options = {}) {
  let answer
  try {
    answer = await fetch(ROOT + path, { ...options, credentials: 'same-origin', cache: 'no-store' })
  } catch (error) {
    if (error.name === 'AbortError') throw error
    throw failure(S.failed.gone, 0)
  }
  if (answer.ok) return answer
  let text = `${answer.status}`
  try { text = (await answer.json()).error || text } catch { /* no JSON: the number says it */ }
  throw failure(answer.status === 401 ? S.failed.token : text, answer.status)
}

function failure(text, status) {
  return Object.assign(new Error(text), { status })
}

const json = async (path, options) => (await ask(path, options)).json()
const post = (path, body) => json(path, { method: 'POST', body })
const blob = async (path) => (await ask(path)).blob()

export const api = {
  info: () => json('/info'),
  addImage: (file) => post('/images', file),
  image: (id) => json(`/images/${id}/preview?side=16`),
  imagePreview: (id, side) => blob(`/images/${id}/preview?side=${side}`),
  imageExact: (id) => blob(`/images/${id}`),
  deleteImage: (id) => ask(`/images/${id}`, { method: 'DELETE' }),
  addMask: (id, png) => post(`/images/${id}/masks`, png),
  suggestMask: async (id, query) => new Uint8Array(await (await ask(`/images/${id}/mask?${new URLSearchParams(query)}`)).arrayBuffer()),
  reading: (id, model, box) => json(`/images/${id}/reading?${new URLSearchParams(box ? { model, box } : { model })}`),
  addEdit: (edit) => json('/edits', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(edit) }),
  edit: (id) => json(`/edits/${id}`),
  deleteEdit: (id) => ask(`/edits/${id}`, { method: 'DELETE' }),
  editPreview: (id, side, of = 'result') => blob(`/edits/${id}/preview?side=${side}&of=${of}`),
  editExact: (id, of = 'result') => blob(`/edits/${id}/preview?exact=true&of=${of}`),
  editMask: async (id) => new Uint8Array(await (await ask(`/edits/${id}/mask.png`)).arrayBuffer()),
  keepResult: (id) => post(`/edits/${id}/image`),
  url: (id, what) => `${ROOT}/edits/${id}/${what}`,
  thumb: (kind, id, side = 160) => `${ROOT}/${kind}/${id}/preview?side=${side}`,
}

const ENDED = ['done', 'failed', 'cancelled']

// Follows an edit to its end; `tell` hears of every change. Where the stream of events breaks, the state is asked for instead.
export function follow(id, tell) {
  return new Promise((resolve, reject) => {
    const events = new EventSource(`${ROOT}/edits/${id}/events`)
    const settle = (answer) => {
      tell(answer)
      if (!ENDED.includes(answer.state)) return false
      events.close()
      resolve(answer)
      return true
    }
    events.onmessage = (event) => settle(JSON.parse(event.data))
    events.onerror = async () => {
      events.close()
      try {
        for (;;) {
          if (settle(await api.edit(id))) return
          await new Promise((wake) => setTimeout(wake, 400))
        }
      } catch (error) {
        reject(error)
      }
    }
  })
}
