// Catching up and healing between two node processes: the modes are named at the bottom.
import fs from 'node:fs'
import { finish, job, linger, mode, named, now, pairs, serve, writeDurable } from './job.mjs'

const [system, ...words] = mode.split('-')
const role = words.join('-')
const peer = await import(`./${system}.mjs`)
const SIDES = { a: 10, b: 20 }

const yjs = {
  Y: system === 'yjs' ? await import('yjs') : null,
  bytes: doc => yjs.Y.encodeStateAsUpdate(doc),
  begin: doc => yjs.bytes(doc),
  mark: (doc, side) => { peer.items(doc).set(`last of ${side}`, side); return doc },
  loaded: path => { const doc = new yjs.Y.Doc(); yjs.Y.applyUpdate(doc, fs.readFileSync(path)); return doc },
  keep: (doc, name) => { writeDurable(`${job.folder}/${name}`, yjs.bytes(doc)); return Object.keys(peer.items(doc).toJSON()) },

  async serve (path, awaited) {
    let port = 0
    const end = new Promise(resolve => {
      port = peer.listen(doc => {
        yjs.Y.applyUpdate(doc, fs.readFileSync(path))
        peer.items(doc).observe(event => {
          if (event.keysChanged.has(awaited)) setImmediate(() => { yjs.keep(doc, 'here'); resolve(now()) })
        })
      })
    })
    await serve(await port)
    return { end: awaited ? await end : 0 }
  },

  async visit (path, both) {
    const doc = path ? yjs.loaded(path) : new yjs.Y.Doc()
    const start = now()
    await peer.join(doc)
    yjs.keep(doc, 'there')
    const end = now()
    if (both) await linger()
    return { start, end, ms: (end - start) * 1000 }
  }
}

const automerge = {
  bytes: doc => peer.save(doc),
  begin: doc => doc,
  mark: (doc, side) => peer.set(doc, `last of ${side}`, side),

  async serve (path, awaited) {
    const repo = peer.stored(`${job.folder}/here`)
    const handle = repo.import(fs.readFileSync(path))
    await handle.whenReady()
    await repo.flush()
    const end = new Promise(resolve => {
      handle.on('change', () => { if (awaited in handle.doc()) repo.flush().then(() => resolve(now())) })
    })
    await serve(await peer.listen(repo), { url: handle.url })
    return { end: awaited ? await end : 0 }
  },

  async visit (path, both) {
    const { parseAutomergeUrl } = await import('@automerge/automerge-repo')
    const repo = peer.stored(`${job.folder}/there`)
    let handle = null
    if (path) {
      handle = repo.import(fs.readFileSync(path), { docId: parseAutomergeUrl(job.ready.url).documentId })
      await handle.whenReady()
      await repo.flush()
    }
    const start = now()
    peer.dial(repo)
    if (!path) {
      handle = await repo.find(job.ready.url)
      await handle.whenReady()
    } else {
      await new Promise(resolve => {
        const see = () => { if ('last of a' in handle.doc()) resolve() }
        handle.on('change', see)
        see()
      })
    }
    await repo.flush()
    const end = now()
    if (both) await linger()
    return { start, end, ms: (end - start) * 1000 }
  }
}

const calls = { yjs, automerge }[system]
const file = (side = '') => named(system) + side

const roles = {
  prepare () {
    writeDurable(file(), calls.bytes(peer.write(null, pairs(job.count), 1, job.ids)))
    return {}
  },
  'prepare-halves' () {
    const base = peer.write(null, pairs(job.count), 1, 2)
    for (const [side, first] of Object.entries(SIDES)) {
      const doc = peer.write(calls.begin(base), pairs(job.other, first), first, Math.floor(job.ids / 2))
      writeDurable(file('-' + side), calls.bytes(calls.mark(doc, side)))
    }
    return {}
  },
  serve: async () => { await calls.serve(file()); return {} },
  'catch-up': () => calls.visit(null, false),
  'heal-here': () => calls.serve(file('-a'), 'last of b'),
  'heal-there': () => calls.visit(file('-b'), true)
}
finish(await roles[role]())
