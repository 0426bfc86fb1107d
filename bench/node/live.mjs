// y-websocket: updates on their way from one client through the server to another. Nothing is stored.
import { finish, job, mode, now, number, pairs, serve } from './job.mjs'
import * as Y from 'yjs'
import { items, join, listen } from './yjs.mjs'

const RATE = 200
const pause = ms => new Promise(resolve => setTimeout(resolve, ms))

async function through () {
  const [a, b] = [new Y.Doc(), new Y.Doc()]
  const sets = pairs(job.count)
  const [sent, seen] = [[], new Array(job.count).fill(0)]
  let count = 0
  items(b).observe(event => {
    for (const key of event.keysChanged) {
      const at = number(items(b).get(key))
      if (!seen[at]) { seen[at] = now(); count++ }
    }
  })
  await join(a)
  await join(b)
  await pause(200)
  const start = now()
  for (let at = 0; at < job.count; at++) {
    if (job.option === 'max') {
      if (at % 10 === 0) await new Promise(resolve => setImmediate(resolve))
    } else {
      const wait = start + at / RATE - now()
      if (wait > 0) await pause(wait * 1000)
    }
    sent.push(now())
    items(a).set(...sets[at])
  }
  for (const limit = now() + 60; count < job.count && now() < limit;) await pause(5)
  return { sent, seen }
}

const roles = {
  hub: async () => { await serve(await listen()); return {} },
  through
}
finish(await roles[mode]())
