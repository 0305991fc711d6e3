/** `sallyport sources learn`: open → tell the URL → wait for the handshake → close, whatever ends the command. */
import { hash, randomBytes } from 'node:crypto'
import { durationText } from '@sallyport/core/duration'
import {
  type LearningWindow,
  type LearntSecret,
  type SourceSecrets,
  sourceSecret,
} from '@sallyport/core/source-secrets'
import { Networks } from '@sallyport/ingress/networks'
import { EXIT, UsageError } from '../exit.ts'
import { operatorText, thisOperator } from '../operations/operator.ts'
import { note, print, printRecord } from '../output.ts'
import { atSource, openSecret, type SourceDesk, type SourceOptions } from './desk.ts'

export interface LearnOptions extends SourceOptions {
  /** ms. */
  readonly for: number
  readonly from: readonly string[]
  readonly nonce: boolean
  readonly replace: boolean
  readonly show: boolean
}

const FOR_MS_MAX = 3_600_000
const ID_BYTES = 8
/** More than anybody can try within an hour. */
const NONCE_BYTES = 18

/** How a window ended, and what was learnt in it. */
interface Ending {
  readonly state: LearningWindow['state'] | 'over'
  readonly learnt: LearntSecret | undefined
}

export async function learn(source: string, options: LearnOptions): Promise<void> {
  checkOptions(options)
  await atSource(source, options, async (desk, signal) => {
    const nonce = options.nonce ? randomBytes(NONCE_BYTES).toString('base64url') : null
    const id = randomBytes(ID_BYTES).toString('hex')
    await desk.secrets.append(
      sourceSecret({
        source,
        step: 'OPENED',
        window: id,
        by: operatorText(thisOperator()),
        forMs: options.for,
        nonceHash: nonce === null ? null : hash('sha256', nonce, 'hex'),
        from: [...options.from],
        replaces: options.replace,
      }),
    )
    let ending: Ending = { state: 'open', learnt: undefined }
    try {
      await tellUrl(source, urlOf(desk, source, nonce), options)
      ending = await endOf(desk, source, id, options.for, signal)
    } finally {
      if (ending.state === 'open')
        await desk.secrets.append(sourceSecret({ source, step: 'CLOSED', window: id }))
    }
    await tell(source, ending, desk, options)
  })
}

function checkOptions({ for: forMs, from, nonce }: LearnOptions): void {
  if (forMs < 1_000 || forMs > FOR_MS_MAX) throw new UsageError('--for must be from 1s to 1h')
  if (!nonce && from.length === 0) {
    throw new UsageError(
      '--no-nonce lets anybody hand over a secret: name the sender’s addresses with --from',
    )
  }
  try {
    new Networks(from, '--from')
  } catch {
    throw new UsageError(`--from must be addresses and networks, like 203.0.113.0/24, not ${from.join(',')}`)
  }
}

/** The address to give to the sender; the host is the operator's to know where the settings do not. */
function urlOf({ settings }: SourceDesk, source: string, nonce: string | null): string {
  const { publicUrl = 'https://YOUR-HOST' } = settings.ingress
  return `${publicUrl.replace(/\/+$/, '')}/webhooks/${source}${nonce === null ? '' : `?learn=${nonce}`}`
}

async function tellUrl(source: string, url: string, { for: openForMs, json }: LearnOptions): Promise<void> {
  if (json) return await printRecord({ source, url, openForMs })
  note(`open for ${durationText(openForMs)}; give the sender this URL, and Ctrl-C closes it:`)
  await print(url)
}

/** How the window ends: learnt, closed by somebody else, or over. */
async function endOf(
  { secrets }: SourceDesk,
  source: string,
  id: string,
  forMs: number,
  signal: AbortSignal,
): Promise<Ending> {
  const over = AbortSignal.timeout(forMs)
  const found = new AbortController()
  let ending: Ending = { state: 'over', learnt: undefined }
  await secrets.follow(AbortSignal.any([signal, over, found.signal]), state => {
    const ended = endingOf(state, source, id)
    if (ended === undefined) return
    ending = ended
    found.abort()
  })
  return signal.aborted && ending.state === 'over' ? { state: 'open', learnt: undefined } : ending
}

function endingOf(state: SourceSecrets, source: string, id: string): Ending | undefined {
  const learnt = state.learnt(source).find(({ window }) => window === id)
  if (learnt !== undefined) return { state: 'learnt', learnt }
  const window = state.window(source)
  // Before our own record is read, the window is another one or none.
  return window?.id === id && window.state !== 'open' ? { state: window.state, learnt: undefined } : undefined
}

async function tell(
  source: string,
  { state, learnt }: Ending,
  desk: SourceDesk,
  options: LearnOptions,
): Promise<void> {
  if (learnt === undefined) process.exitCode = EXIT.nothing
  const secret = learnt !== undefined && options.show ? openSecret(desk.settings, learnt) : undefined
  if (options.json) {
    const learntAt = learnt === undefined ? null : new Date(learnt.at).toISOString()
    await printRecord({
      source,
      learnt: learnt !== undefined,
      learntAt,
      ...(secret === undefined ? {} : { secret }),
    })
  } else if (learnt === undefined) {
    note(state === 'closed' ? 'it was closed, and nothing was learnt' : 'nobody handed over a secret in time')
  } else {
    await print(`${source} has learnt its secret, at every ingress`)
    if (secret !== undefined) await print(secret)
  }
}
