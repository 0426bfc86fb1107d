// automerge with automerge-repo: a document whose keys are set, one change a set; all of its history is kept.
import http from 'node:http'
import fs from 'node:fs'
import { WebSocketServer } from 'ws'
import * as A from '@automerge/automerge'
import { Repo } from '@automerge/automerge-repo'
import { WebSocketClientAdapter, WebSocketServerAdapter } from '@automerge/automerge-repo-network-websocket'
import { NodeFSStorageAdapter } from '@automerge/automerge-repo-storage-nodefs'
import { TURN, job } from './job.mjs'

export const set = (doc, key, value) => A.change(doc, { time: 0 }, draft => { draft[key] = new A.ImmutableString(value) })

// The document after some sets, made in turns by some actors, each of which begins with all that there was.
export function write (begin, sets, firstId, ids) {
  const actor = n => (firstId + n).toString(16).padStart(32, '0')
  const docs = Array.from({ length: ids }, (_, n) => begin === null ? A.init(actor(n)) : A.clone(begin, actor(n)))
  let last = 0
  for (let at = 0; at < sets.length; at += TURN) {
    const turn = Math.floor(at / TURN) % ids
    let doc = turn === last ? docs[turn] : A.merge(docs[turn], docs[last])
    for (const [key, value] of sets.slice(at, at + TURN)) doc = set(doc, key, value)
    docs[turn] = doc
    last = turn
  }
  return docs[last]
}

export const save = A.save
export const load = path => A.load(fs.readFileSync(path))

export const stored = folder => new Repo({ storage: new NodeFSStorageAdapter(folder), network: [] })

// Have a repository served; resolves to the port.
export async function listen (repo) {
  const server = http.createServer()
  const sockets = new WebSocketServer({ server, perMessageDeflate: false, maxPayload: 1 << 30 })
  repo.networkSubsystem.addNetworkAdapter(new WebSocketServerAdapter(sockets))
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
  return server.address().port
}

export const dial = repo => repo.networkSubsystem.addNetworkAdapter(new WebSocketClientAdapter(`ws://127.0.0.1:${job.port}`))
