// Outlines on a grid of 24, drawn for this page.
const PATHS = {
  move: 'M12 3v18M3 12h18M12 3l-3 3M12 3l3 3M12 21l-3-3M12 21l3-3M3 12l3-3M3 12l3 3M21 12l-3-3M21 12l-3 3',
  brush: 'M20 4 10.5 13.5M20 4c.9.9.6 2-.4 3.3L13.5 15l-3-3 7.3-7.6C18.9 3.4 19.4 3.4 20 4ZM9.5 13.2c-2.3-.3-3.8 1-4.3 3-.3 1.3-.9 2.3-2.2 2.8 3.6 1.7 8.6.9 8.9-3.1.1-1.3-.9-2.5-2.4-2.7Z',
  eraser: 'm8 20-4.3-4.3a1.5 1.5 0 0 1 0-2.1L13.3 4a1.5 1.5 0 0 1 2.1 0l4.9 4.9a1.5 1.5 0 0 1 0 2.1L11.3 20ZM8 20h12M8.5 8.8l7 7',
  frame: 'M7 3v14h14M3 7h14v14',
  undo: 'M8 5 4 9l4 4M4 9h9.5a5.5 5.5 0 0 1 0 11H9',
  redo: 'm16 5 4 4-4 4M20 9h-9.5a5.5 5.5 0 0 0 0 11H15',
  open: 'M4 19V6.5A1.5 1.5 0 0 1 5.5 5H9l2 2.5h7.5A1.5 1.5 0 0 1 20 9v10ZM12 17v-6M9.2 13.6 12 10.8l2.8 2.8',
  left: 'm14.5 6-6 6 6 6', right: 'm9.5 6 6 6-6 6',
  close: 'M6 6l12 12M18 6 6 18', plus: 'M12 5v14M5 12h14', minus: 'M5 12h14',
  fit: 'M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5',
  keys: 'M3.5 7h17a1 1 0 0 1 1 1v8.5a1 1 0 0 1-1 1h-17a1 1 0 0 1-1-1V8a1 1 0 0 1 1-1ZM6 10.2h.01M9 10.2h.01M12 10.2h.01M15 10.2h.01M18 10.2h.01M6 14.3h.01M9 14.3h6M18 14.3h.01',
  reset: 'M5 5v5h5M5.6 14.5A7 7 0 1 0 6.5 8L5 10',
  download: 'M12 4v11M7.5 10.8 12 15.3l4.5-4.5M5 20h14',
  picture: 'M5.5 4h13A1.5 1.5 0 0 1 20 5.5v13a1.5 1.5 0 0 1-1.5 1.5h-13A1.5 1.5 0 0 1 4 18.5v-13A1.5 1.5 0 0 1 5.5 4ZM4 16l4.5-4.5 4 4L15 13l5 5M15.5 8.5h.01',
  tint: 'M12 4a8 8 0 1 0 0 16ZM12 4a8 8 0 0 1 0 16M12 8h7M12 12h8M12 16h7',
}

export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg')
  for (const [key, value] of Object.entries({ viewBox: '0 0 24 24', width: 20, height: 20, 'aria-hidden': 'true', fill: 'none', stroke: 'currentColor',
    'stroke-width': 1.6, 'stroke-linecap': 'round', 'stroke-linejoin': 'round' })) svg.setAttribute(key, value)
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path')
  path.setAttribute('d', PATHS[name])
  svg.append(path)
  return svg
}
