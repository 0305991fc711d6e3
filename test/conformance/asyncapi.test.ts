import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import avroParser from '@asyncapi/avro-schema-parser'
import asyncapi from '@asyncapi/parser'
import { loadSettings } from '@sallyport/core/settings'
import { provisionOf } from 'sallyport/provision-of'
import YAML from 'yaml'

const FILE = new URL('../../schemas/asyncapi.yaml', import.meta.url)

async function diagnose(text: string) {
  const parser = new asyncapi.Parser()
  parser.registerSchemaParser(avroParser.AvroSchemaParser())
  return await parser.parse(text)
}

describe('the AsyncAPI document', function () {
  this.timeout(60_000)

  it('is valid, its Avro schemas included', async () => {
    const { document, diagnostics } = await diagnose(readFileSync(FILE, 'utf8'))
    assert.deepEqual(
      diagnostics.filter(({ severity }) => severity <= 1),
      [],
    )
    assert.equal(document?.version(), '3.0.0')
  })

  it('a broken reference or schema would be found', async () => {
    const text = readFileSync(FILE, 'utf8')
    for (const broken of [
      text.replace('$ref: "#/components/messages/Event"', '$ref: "#/components/messages/Evnt"'),
      text.replace('type: long', 'type: lnog'),
    ]) {
      assert.notEqual(broken, text)
      const { diagnostics } = await diagnose(broken)
      assert.ok(diagnostics.some(({ severity }) => severity === 0))
    }
  })

  it('has every topic of the settings, with its partitions, and sends what subscribers receive', async () => {
    const settings = loadSettings('sallyport.yaml', {})
    const document = YAML.parse(readFileSync(FILE, 'utf8')) as {
      channels: Record<string, { bindings: { kafka: { partitions: number } }; tags: { name: string }[] }>
      operations: Record<string, { action: string; channel: { $ref: string } }>
    }
    const specs = (await provisionOf(settings)).topics
    assert.deepEqual(Object.keys(document.channels).sort(), specs.map(({ name }) => name).sort())
    for (const { name, partitions } of specs) {
      assert.equal(document.channels[name]?.bindings.kafka.partitions, partitions)
    }
    const sent = Object.values(document.operations)
      .filter(({ action }) => action === 'send')
      .map(({ channel }) => channel.$ref)
    const contract = Object.entries(document.channels).filter(([, { tags }]) => tags[0]?.name === 'contract')
    assert.deepEqual(
      contract.map(([name]) => name),
      ['sallyport.events', 'sallyport.ticket-agent.dead-letter', 'sallyport.agent-events'],
    )
    for (const [name] of contract) assert.ok(sent.includes(`#/channels/${name}`), name)
  })

  it('is what the command prints, or writes to a file', async () => {
    const committed = readFileSync(FILE, 'utf8')
    const run = promisify(execFile)
    const command = ['services/cli/bin/sallyport.js', 'asyncapi']
    const { stdout } = await run(process.execPath, command)
    assert.equal(stdout, committed)
    const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-asyncapi-'))
    const out = path.join(folder, 'asyncapi.yaml')
    const quiet = await run(process.execPath, [...command, '--out', out])
    assert.equal(quiet.stdout, '')
    assert.equal(readFileSync(out, 'utf8'), committed)
    rmSync(folder, { recursive: true })
    await assert.rejects(run(process.execPath, [...command, '--out', out]), { code: 2 })
  })
})
