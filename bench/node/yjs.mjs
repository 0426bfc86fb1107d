// yjs with y-websocket: a document with one map, one transaction for each set of a key. It keeps no history.
import http from 'node:http'
import { WebSocket, WebSocketServer } from 'ws'
import * as Y from 'yjs'
import { TURN, job } from './job.mjs'

export const items = doc => doc.getMap('items')

// The document after some sets, made in turns by some clients, each of which begins with all that there was.
export function write (update, sets, firstId, ids) {
  const docs = Array.from({ length: ids }, (_, n) => { const doc = new Y.Doc(); doc.clientID = firstId + n; return doc })
  let last = null
  for (let at = 0; at < sets.length; at += TURN) {
    const doc = docs[Math.floor(at / TURN) % ids]
    if (last === null && update !== null) Y.applyUpdate(doc, update)
    if (last !== null && last !== doc) Y.applyUpdate(doc, Y.encodeStateAsUpdate(last, Y.encodeStateVector(doc)))
    for (const [key, value] of sets.slice(at, at + TURN)) items(doc).set(key, value)
    last = doc
  }
  return last
}

class Plain extends WebSocket {
  constructor (url, protocols) { super(url, protocols, { perMessageDeflate: false, maxPayload: 1 << 30 }) }
}

// Serve a document by y-websocket; resolves to the port.
export async function listen (fill = () => {}) {
  const { getYDoc, setupWSConnection } = await import('@y/websocket-server/utils')
  fill(getYDoc('doc'))
  const server = http.createServer()
  const sockets = new WebSocketServer({ server, perMessageDeflate: false, maxPayload: 1 << 30 })
  sockets.on('connection', (socket, request) => setupWSConnection(socket, request, { docName: 'doc' }))
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
  return server.address().port
}

// Join a document to a server; resolves when it has all that the server had.
export async function join (doc) {
  const { WebsocketProvider } = await import('y-websocket')
  const url = `ws://127.0.0.1:${job.port}`
  const provider = new WebsocketProvider(url, 'doc', doc, { WebSocketPolyfill: Plain, disableBc: true })
  await new Promise(resolve => provider.on('sync', done => done && resolve()))
}
