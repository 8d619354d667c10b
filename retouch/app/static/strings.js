// Every word that the page shows.
export const S = {
  title: 'Retouch',
  open: 'Open', openLong: 'Open pictures', help: 'Keyboard', close: 'Close',
  empty: 'Drop a picture here', emptyMore: 'or paste one, or', emptyFormats: 'PNG, JPEG, WebP, AVIF or TIFF. They go to this server and nowhere else.',
  consent: 'Edit pictures of people only with their consent, and say that a picture was edited where you show it.',
  previous: 'Previous picture', next: 'Next picture', position: (i, n) => `${i} of ${n}`, closePicture: 'Close this picture',
  move: 'Move', brush: 'Brush', eraser: 'Eraser', frame: 'Frame', undo: 'Undo', redo: 'Redo',
  stage: 'Picture. Arrow keys move it or the brush; press question mark for all keys.',
  views: 'What is shown', original: 'Original', split: 'Split', result: 'Result', heat: 'Change', tint: 'Mask',
  zoomIn: 'Zoom in', zoomOut: 'Zoom out', fit: 'Fit', wipe: 'Border between before and after',
  stale: 'The settings have changed since this result',
  model: 'Model', attributes: 'Attributes', classes: 'Change to', domains: 'Change to', strength: 'Strength',
  reset: (name) => `Reset ${name}`, resetAll: 'Reset', reads: 'Marks show what the model reads.', readsAs: 'as read',
  exemplar: 'Exemplar', exemplarDrop: 'Drop a picture whose look is wanted', exemplarOpen: 'Choose', exemplarRemove: 'Remove',
  exemplarPaint: 'Paint where its style is read', exemplarDone: 'Back to the picture',
  seen: 'What the model sees', seenWhole: 'The whole picture.', seenPart: (w, h) => `The dashed part, ${w} × ${h}.`, seenChoose: 'Draw another part',
  mask: 'Where it may change', maskNone: 'Nothing painted: the model decides.',
  maskSome: (share) => `${share} painted. The model decides inside it.`,
  maskModel: 'Take the model’s mask', maskInvert: 'Invert', maskClear: 'Clear',
  size: 'Brush size', amount: 'By', grow: 'Grow', shrink: 'Shrink', feather: 'Feather inside',
  colour: 'Tint', colours: { '#ff3db5': 'Magenta', '#00b8ff': 'Blue', '#ffd000': 'Yellow', '#19d26b': 'Green', '#ffffff': 'White' },
  region: 'By region', regionTake: 'Add',
  apply: 'Apply', applyAgain: 'Apply again', cancel: 'Cancel',
  history: 'Results', source: 'Original', useAsSource: 'Edit further', compareFrom: 'Compare', compareStop: 'Stop comparing',
  remove: 'Remove', download: 'Download', withNote: 'Picture', withoutNote: 'Picture without the note', maskFile: 'Mask', heatFile: 'Map of the change',
  notes: 'Notes', number: (i) => `Result ${i}`,
  steps: { waiting: 'Waiting', loading: 'Loading the model', editing: 'Editing', checking: 'Checking', sending: 'Sending the mask', showing: 'Showing' },
  ahead: (n) => `Waiting, ${n} before this one`,
  status: (a) => [`${a.width} × ${a.height}`, `mask ${percent(a.mask_share)}`, `outside unchanged: ${a.outside_unchanged ? 'yes' : 'no'}`].join(', '),
  dimensions: (w, h) => `${w} × ${h}`, seconds: (s) => `${s.toFixed(s < 10 ? 1 : 0)} s`,
  opening: (name) => `Opening ${name}`, opened: (name, w, h) => `${name}, ${w} × ${h}`, openedMany: (n) => `${n} pictures opened`, cancelled: 'Cancelled', downloaded: 'Downloading',
  failed: { gone: 'The server does not answer. Start `retouch app` again, then apply again.', lost: 'The server no longer keeps this picture: open it again.',
    token: 'This page has lost its token: open the address that `retouch app` printed.' },
  notOpened: (name, why) => `${name} cannot be opened: ${why}`,
  openFirst: 'Open a picture to see what the model can change in it.', nothing: 'Choose a change first.', needsExemplar: 'Give an exemplar first.', exemplarNeeds: 'an exemplar',
  keys: [
    ['Ctrl Enter', 'Apply'], ['Ctrl Z, Ctrl Shift Z', 'Undo, redo'], ['Ctrl O, Ctrl V', 'Open, paste a picture'], ['Esc', 'Cancel'],
    ['V, B, E, F', 'Move, brush, eraser, frame'], ['[ and ]', 'Smaller, larger brush'], ['Shift click', 'A line from the last point'], ['Right button', 'Erases'],
    ['Space and drag', 'Move the picture'], ['Arrows', 'Move the picture or the brush'], ['Enter', 'Paint at the brush; with Shift a line'],
    ['0, 1, + and −', 'Fit, 100 %, zoom'], ['\\', 'Hold to see the original'], ['R, W, H', 'Result, split, change'], ['T', 'Mask on and off'],
    ['M, I, X', 'Model’s mask, invert, clear'], ['Page Up, Page Down', 'Previous, next picture'], ['?', 'This list'],
  ],
  keysNote: 'Keys of one letter work while the picture has the focus.',
}

export function percent(share) {
  const value = share * 100
  return `${value === 0 || value >= 10 ? Math.round(value) : value.toFixed(1)} %`
}

// Blond_Hair -> Blond hair
export function readable(name) {
  const words = name.replace(/_/g, ' ').trim()
  return words.charAt(0).toUpperCase() + words.slice(1).toLowerCase()
}
