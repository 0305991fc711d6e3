import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const CLI = fileURLToPath(new URL('../../services/cli/src/main.ts', import.meta.url))
const CONFIG = fileURLToPath(new URL('../../sallyport.yaml', import.meta.url))

describe('a service that is asked to stop while it starts', function () {
  this.timeout(60_000)
  for (const service of ['ingress', 'processor']) {
    for (const afterMs of [1_500, 4_000]) {
      it(`${service}, ${afterMs} ms after its start, exits with 0`, async () => {
        const child = spawn(process.execPath, ['--no-warnings', CLI, service, '--config', CONFIG], {
          env: {
            ...process.env,
            KAFKA_BROKERS: '127.0.0.1:9',
            SCHEMA_REGISTRY_URL: 'http://127.0.0.1:9',
            CRM_WEBHOOK_SECRET: 'secret',
            SALLYPORT_INGRESS_PORT: '0',
            LOG_LEVEL: 'silent',
          },
          stdio: ['ignore', 'inherit', 'inherit'],
        })
        await sleep(afterMs)
        child.kill('SIGTERM')
        const [code, signal] = await once(child, 'exit')
        assert.deepEqual([code, signal], [0, null])
      })
    }
  }
})
