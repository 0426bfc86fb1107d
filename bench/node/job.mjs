// What a node peer is told, and what it answers: as bench/job.py. `mode` and the job are its arguments.
import fs from 'node:fs'

export const mode = process.argv[2]
export const job = JSON.parse(process.argv[3])
export const TURN = 500

// Seconds of the monotonic clock, which all processes of a machine share.
export const now = () => Number(process.hrtime.bigint()) / 1e9

export const say = (figures, then) => process.stdout.write(JSON.stringify(figures) + '\n', then)

// MB that this process has held at most.
export function peakMemory () {
  const found = /VmHWM:\s+(\d+)/.exec(fs.readFileSync('/proc/self/status', 'utf8'))
  return Number(found[1]) * 1024 / 1e6
}

export function finish (figures) {
  say({ ...figures, MB: peakMemory() }, () => process.exit(0))
}

// Say that this server may be used; resolves when it is told to end.
export const serve = (port, facts = {}) => stay({ port, ...facts })

// Say that this client has measured, and stay until the server has too.
export const linger = () => stay({ lingers: true })

function stay (figures) {
  say(figures)
  return new Promise(resolve => { process.stdin.on('end', resolve); process.stdin.resume() })
}

// The path, without its ending, of what is prepared for jobs of this size.
export const named = system =>
  `${job.prepared}/${[system, job.count, job.ids, job.streams, job.other].join('-')}`

// So many keys of 16 characters, each with the value of about 40 bytes that it is set to: as bench/keys.py, from
// other chance.
export function pairs (count, seed = 0) {
  let state = (seed + 1) * 2654435761 >>> 0
  const random = () => {
    state = (state + 0x6D2B79F5) >>> 0
    let x = Math.imul(state ^ (state >>> 15), state | 1)
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61)
    return (x ^ (x >>> 14)) >>> 0
  }
  const hex = width => random().toString(16).padStart(8, '0').slice(0, width)
  return Array.from({ length: count }, (_, n) => [
    'key-' + String(random() % 1000).padStart(12, '0'),
    `{"n":${String(n).padStart(8, '0')},"s":"${hex(8)}${hex(8)}${hex(3)}"}`
  ])
}

export const number = value => Number(String(value).slice(5, 13))

// Bytes in a file, on the disk.
export function writeDurable (path, bytes) {
  const file = fs.openSync(path, 'w')
  fs.writeSync(file, bytes)
  fs.fsyncSync(file)
  fs.closeSync(file)
}
