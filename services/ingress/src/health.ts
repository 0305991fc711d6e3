import type { ServerResponse } from 'node:http'
import type { Readiness, ReadinessState } from './readiness.ts'
import { answer, discardBody } from './respond.ts'

const WORDS: Record<ReadinessState, string> = {
  starting: 'Kafka or the schema registry has not answered since the start',
  ready: 'deliveries are taken',
  unreachable: 'Kafka does not answer',
  outgrown: 'the events topic has more partitions than the settings say',
  draining: 'the ingress is stopping',
}

/**
 * `/health/live`: 200 as long as the process answers. `/health/ready`: 200 while deliveries can be stored, else 503.
 * Returns whether the path was one of them.
 */
export function answerHealth(path: string, res: ServerResponse, readiness: Readiness): boolean {
  if (path === '/health/live') {
    answerState(res, 200, { status: 'live' })
    return true
  }
  if (path !== '/health/ready') return false
  const { state } = readiness
  answerState(res, state === 'ready' ? 200 : 503, { status: state, detail: WORDS[state] })
  return true
}

function answerState(res: ServerResponse, status: number, body: Record<string, string>): void {
  if (!res.req.complete) discardBody(res.req)
  answer(res, status, 'application/json', JSON.stringify(body), { 'cache-control': 'no-store' })
}
