// yjs alone: an editing trace, one transaction an edit, whose update is taken out.
import fs from 'node:fs'
import zlib from 'node:zlib'
import * as Y from 'yjs'
import { finish, job, now } from './job.mjs'

const found = JSON.parse(zlib.gunzipSync(fs.readFileSync(process.env.BENCH_TRACE)))
const all = found.txns.flatMap(one => one.patches)
const edits = all.slice(0, job.count || all.length)
const doc = new Y.Doc()
const text = doc.getText('text')
let bytes = 0
doc.on('update', update => { bytes += update.length })
const start = now()
for (const [at, gone, typed] of edits) {
  doc.transact(() => {
    if (gone) text.delete(at, gone)
    if (typed) text.insert(at, typed)
  })
}
const seconds = now() - start
if (edits.length === all.length && text.toString() !== found.endContent) throw new Error('another text')
finish({ s: seconds, 'us an edit': seconds / edits.length * 1e6, edits: edits.length, 'B an edit': bytes / edits.length })
