import type { Server } from 'node:http'
import { metrics } from '@sallyport/core/metrics'
import type { PeerLimits } from '@sallyport/core/peer'
import { answerHealth } from './health.ts'
import { createOperatorsServer } from './listener.ts'
import { problem } from './problem.ts'
import type { Readiness } from './readiness.ts'
import { answer, answerProblem } from './respond.ts'
import { pathOf } from './route.ts'

/** The operators' listener: `/metrics` in Prometheus' text format, and the health paths. Not for the open network. */
export function createAdminServer(readiness: Readiness, limits?: PeerLimits): Server {
  return createOperatorsServer((req, res) => {
    const path = pathOf(req.url ?? '')
    if (answerHealth(path, res, readiness)) return
    if (path !== '/metrics') {
      answerProblem(res, problem('unknown-path', 'Here are /metrics, /health/live and /health/ready.'))
      return
    }
    void metrics.metrics().then(
      text => answer(res, 200, metrics.contentType, text),
      () => answerProblem(res, problem('internal-error', 'The metrics could not be collected.')),
    )
  }, limits)
}
