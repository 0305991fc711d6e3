import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { parseSchema } from '@sallyport/core/codec'
import { alterTopics, ensureTopics } from '@sallyport/core/kafka/admin'
import { createKafka } from '@sallyport/core/kafka/client'
import { createRegistry } from '@sallyport/core/kafka/registry'
import { createLog } from '@sallyport/core/log'
import type { TopicSpec } from '@sallyport/core/topics'
import type { Cluster } from '../support/cluster.ts'
import { sharedCluster } from '../support/shared-cluster.ts'

function schemaWith(...fields: { name: string; type: string; default?: unknown }[]) {
  return parseSchema(JSON.stringify({ type: 'record', name: 'Thing', fields }))
}

describe('provisioning', function () {
  this.timeout(60_000)
  let cluster: Cluster
  const log = createLog('test')
  log.level = 'silent'

  before(async () => {
    cluster = await sharedCluster()
  })

  function spec(changes: Partial<TopicSpec> = {}): TopicSpec {
    const name = `sallyport.test-${randomBytes(5).toString('hex')}`
    return {
      name,
      partitions: 3,
      cleanup: 'delete',
      retentionMs: 86_400_000,
      recordBytesMax: 1_048_576,
      ...changes,
    }
  }

  describe('schemas', () => {
    it('the same schema again, from many processes at once, has one id', async () => {
      const subject = `test-${randomBytes(5).toString('hex')}`
      const schema = schemaWith({ name: 'a', type: 'string' })
      const ids = await Promise.all(
        Array.from({ length: 8 }, () => createRegistry(cluster.registryUrl).register(subject, schema)),
      )
      assert.equal(new Set(ids).size, 1)
    })

    it('a field that is added without a default is refused, with the registry’s reason and what to do', async () => {
      const subject = `test-${randomBytes(5).toString('hex')}`
      const registry = createRegistry(cluster.registryUrl)
      await registry.register(subject, schemaWith({ name: 'a', type: 'string' }))
      const wider = schemaWith({ name: 'a', type: 'string' }, { name: 'b', type: 'int' })
      await assert.rejects(registry.register(subject, wider), (error: Error) => {
        assert.match(error.message, /SP_SCHEMA_INCOMPATIBLE.*Thing.*\bb at \/fields\/1.*default/)
        return true
      })
    })

    it('compatibility holds against every earlier version, not only the last', async () => {
      const subject = `test-${randomBytes(5).toString('hex')}`
      const registry = createRegistry(cluster.registryUrl)
      await registry.register(subject, schemaWith({ name: 'a', type: 'string' }))
      await registry.register(
        subject,
        schemaWith({ name: 'a', type: 'string' }, { name: 'b', type: 'int', default: 0 }),
      )
      const third = schemaWith({ name: 'a', type: 'string' }, { name: 'b', type: 'int' })
      await assert.rejects(registry.register(subject, third), { code: 'SP_SCHEMA_INCOMPATIBLE' })
    })

    it('an id that the registry does not have is none, not an error', async () => {
      assert.equal(await createRegistry(cluster.registryUrl, 100).find(1_999_999_999), undefined)
    })

    it('a registry that does not answer is said to be unreachable', async () => {
      const registry = createRegistry('http://127.0.0.1:9')
      await assert.rejects(registry.find(1), { code: 'SP_REGISTRY_UNREACHABLE', retryable: true })
      await assert.rejects(registry.register('s', schemaWith({ name: 'a', type: 'string' })), {
        code: 'SP_REGISTRY_UNREACHABLE',
        retryable: true,
      })
    })
  })

  describe('topics', () => {
    it('are created once although many processes start together', async () => {
      const wanted = spec()
      await Promise.all(
        Array.from({ length: 4 }, () => ensureTopics(createKafka(cluster, 'test', log), [wanted])),
      )
      await ensureTopics(createKafka(cluster, 'test', log), [wanted])
    })

    it('with another partition count are an error that says what to do', async () => {
      const wanted = spec()
      const kafka = createKafka(cluster, 'test', log)
      await ensureTopics(kafka, [wanted])
      await assert.rejects(
        ensureTopics(kafka, [{ ...wanted, partitions: 6 }]),
        /SP_PARTITION_COUNT.*is 3.*say 6.*topics grow/,
      )
    })

    it('with other settings are an error that names the command, and the command mends them', async () => {
      const wanted = spec()
      const kafka = createKafka(cluster, 'test', log)
      await ensureTopics(kafka, [wanted])
      const longer = { ...wanted, retentionMs: 2 * 86_400_000 }
      await assert.rejects(
        ensureTopics(kafka, [longer]),
        /SP_TOPIC_MISMATCH.*retention\.ms.*npx sallyport topics apply/,
      )
      const changed = await alterTopics(kafka, [longer])
      assert.deepEqual(
        changed.map(({ setting }) => setting),
        ['retention.ms'],
      )
      await ensureTopics(kafka, [longer])
    })

    it('that take larger records than the settings say are left so: one may still wait to be moved', async () => {
      const wanted = spec({ recordBytesMax: 2_000_000 })
      const kafka = createKafka(cluster, 'test', log)
      await ensureTopics(kafka, [wanted])
      const smaller = { ...wanted, recordBytesMax: 1_100_000 }
      await ensureTopics(kafka, [smaller])
      // Whatever else is changed, and although Kafka's request sets all.
      await alterTopics(kafka, [{ ...smaller, retentionMs: 2 * 86_400_000 }])
      await assert.rejects(
        ensureTopics(kafka, [{ ...wanted, retentionMs: 2 * 86_400_000, recordBytesMax: 2_000_001 }]),
        /max\.message\.bytes is 2000000, settings say 2000001/,
      )
    })

    it('a broker that does not answer is said to be unreachable', async () => {
      const kafka = createKafka({ brokers: ['127.0.0.1:9'], registryUrl: '' }, 'test', log)
      await assert.rejects(ensureTopics(kafka, [spec()]), { code: 'SP_BROKER_UNREACHABLE', retryable: true })
    })
  })
})
