/** Tells for people what a process that does not stop is at, over the inspector that SIGUSR1 opens in it. */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

const ANSWER_MS = 3_000

interface Paused {
  readonly callFrames: readonly {
    readonly functionName: string
    readonly location: { readonly scriptId: string; readonly lineNumber: number }
  }[]
}

/** The lines that say what the process does: its state, the stack when it computes, what it waits for else. */
export async function explainStandstill(pid: number, inspectorUrl: string | undefined): Promise<string[]> {
  const state = /^State:.*$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[0] ?? 'gone'
  if (inspectorUrl === undefined) return [state, 'its inspector does not open']
  const socket = new WebSocket(inspectorUrl)
  const lines = Promise.withResolvers<string[]>()
  socket.onerror = () => lines.resolve(['its inspector does not answer'])
  socket.onopen = () => {
    const expression = 'JSON.stringify(process.getActiveResourcesInfo())'
    socket.send(JSON.stringify({ id: 1, method: 'Runtime.evaluate', params: { expression } }))
    socket.send(JSON.stringify({ id: 2, method: 'Debugger.enable' }))
    socket.send(JSON.stringify({ id: 3, method: 'Debugger.pause' }))
  }
  const waitsFor: string[] = []
  const scripts = new Map<string, string>()
  socket.onmessage = ({ data }) => {
    const { id, method, params, result } = JSON.parse(String(data))
    if (id === 1) waitsFor.push(`it waits: ${result.result?.value}`)
    if (method === 'Debugger.scriptParsed') scripts.set(params.scriptId, params.url)
    if (method !== 'Debugger.paused') return
    const frames = (params as Paused).callFrames
    lines.resolve(
      frames.map(({ functionName, location: { scriptId, lineNumber } }) => {
        return `at ${functionName} (${scripts.get(scriptId)}:${lineNumber + 1})`
      }),
    )
  }
  const late = sleep(ANSWER_MS).then(() => (waitsFor.length > 0 ? waitsFor : ['no answer from it']))
  const answer = await Promise.race([lines.promise, late])
  socket.close()
  return [state, ...answer]
}
