import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { ERROR_CATALOGUE } from '@sallyport/core/errors'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

function read(file: string): string {
  return readFileSync(path.join(ROOT, file), 'utf8')
}

function sources(service: string): string[] {
  return readdirSync(path.join(ROOT, 'services', service, 'src'), { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.ts'))
    .map(file => path.join('services', service, 'src', file))
}

function imports(file: string): string[] {
  return [...read(file).matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map(match => match[1] as string)
}

/** The titles of a file's tests, each as a pattern: what a template fills in may be anything. */
function titles(file: string): RegExp[] {
  const calls = read(file).matchAll(/\bit(?:\.\w+)?\(\s*(['"`])((?:\\.|(?!\1).)*)\1/g)
  return [...calls].map(([, quote, text = '']) => {
    const parts = quote === '`' ? text.split(/\$\{[^}]*\}/) : [text]
    const literal = parts.map(part =>
      part.replaceAll(/\\(.)/g, '$1').replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&'),
    )
    return new RegExp(`^${literal.join('.+')}$`)
  })
}

const SERVICES = ['core', 'ingress', 'processor', 'console', 'cli', 'subscriber']

/** The invariants that a text names: `S1`, `S1–S5`. */
function expanded(text: string): string[] {
  return [...text.matchAll(/\b([A-Z])(\d{1,2})(?:–\1(\d{1,2}))?\b/g)].flatMap(
    ([, letter, first, last = first]) => {
      const count = Number(last) - Number(first) + 1
      return Array.from({ length: count }, (_, i) => `${letter}${Number(first) + i}`)
    },
  )
}

/** The invariants that a file's comments state: lines that begin with a number. */
function statedIn(file: string): string[] {
  return [...read(file).matchAll(/^ \* (?:- )?([A-Z]\d{1,2})(?:\.| ) \S/gm)].map(match => match[1] as string)
}

/** The files of a row; one without a folder stands beside the one before it. */
function filesOf(row: string): string[] {
  let folder = ''
  return [...row.matchAll(/`([^`]+)`/g)].map(([, name = '']) => {
    if (name.includes('/')) folder = path.dirname(name)
    return path.join('services', folder, path.basename(name))
  })
}

function tests(): string[] {
  return readdirSync(path.join(ROOT, 'test'), { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.ts') && !file.startsWith('support') && !file.endsWith('docs.test.ts'))
    .map(file => path.join('test', file))
}

/** A test file's comments and titles. */
function prose(file: string): string {
  const comments = read(file).match(/\/\*\*[\s\S]*?\*\/|(?<=^|\s)\/\/ .*$/gm) ?? []
  const calls = [...read(file).matchAll(/\b(?:it|describe)(?:\.\w+)?\(\s*(['"`])((?:\\.|(?!\1).)*)\1/g)]
  return [...comments, ...calls.map(([, , title]) => title)].join('\n')
}

function twice(list: readonly string[]): string[] {
  return list.filter((entry, i) => list.indexOf(entry) !== i)
}

describe('documents', () => {
  it('DESIGN.md prints the error catalogue as it is', () => {
    const rows = [...read('DESIGN.md').matchAll(/^\| (SP_[A-Z_]+) \| (.+) \|$/gm)].map(([, code, text]) => [
      code,
      text,
    ])
    assert.deepEqual(Object.fromEntries(rows), ERROR_CATALOGUE)
  })

  it('each invariant of DESIGN.md stands once, at the top of the file that its row names, and a test cites it', () => {
    const [, section = ''] = /^## Invariants$([\s\S]*?)^## /m.exec(read('DESIGN.md')) ?? []
    const rows = [...section.matchAll(/^\| ([A-Z]\d[^|]*) \| (`[^|]*`) \|/gm)]
    const listed = rows.flatMap(([, numbers = '']) => expanded(numbers))
    assert.ok(listed.length > 80)
    assert.deepEqual(twice(listed), [], 'numbers that name two invariants')
    const stated = new Map(SERVICES.flatMap(sources).map(file => [file, statedIn(file)]))
    assert.deepEqual([...stated.values()].flat().sort(), [...listed].sort())
    for (const [, numbers = '', files = ''] of rows) {
      const found = filesOf(files).flatMap(file => stated.get(file) ?? [])
      assert.deepEqual(found.sort(), expanded(numbers).sort(), files)
    }
    const cited = new Set(tests().flatMap(file => expanded(prose(file))))
    assert.deepEqual(
      listed.filter(number => !cited.has(number)),
      [],
      'invariants that no test cites',
    )
  })

  it('every file that the documents name exists', () => {
    const named = ['README.md', 'DESIGN.md', 'CONTRIBUTING.md', 'SECURITY.md'].flatMap(document =>
      [
        ...read(document).matchAll(
          /`((?:ingress|processor|core|cli|console|services|test|deploy|schemas)\/[\w./-]+\.\w+)`/g,
        ),
      ].map(match => match[1] as string),
    )
    assert.ok(named.length > 20)
    for (const name of named) {
      const file = /^(ingress|processor|core|cli|console)\//.test(name) ? `services/${name}` : name
      assert.doesNotThrow(() => read(file), `${name} is named in the documents`)
    }
  })

  for (const [document, atLeast] of [
    ['SECURITY.md', 60],
    ['DESIGN.md', 10],
  ] as const) {
    it(`every test that ${document} cites stands, under that title, in the file that it names`, () => {
      const text = read(document)
      const citations = [...text.matchAll(/`(test\/[\w./-]+\.ts)`: “([^”]+)”/g)]
      const rows = text.split('\n').filter(line => /^\|.*`test\/[\w./-]+\.ts`/.test(line))
      const files = rows.flatMap(row => [...row.matchAll(/`test\/[\w./-]+\.ts`/g)])
      assert.equal(citations.length, files.length, 'a test file is cited without a title')
      assert.ok(citations.length >= atLeast)
      for (const [, file, title] of citations) {
        const wanted = title as string
        assert.ok(
          titles(file as string).some(pattern => pattern.test(wanted)),
          `${file} has no test “${wanted}”`,
        )
      }
    })
  }

  it('every row of SECURITY.md names a test, or says that nothing is there to be tested', () => {
    const rows = read('SECURITY.md')
      .split('\n')
      .filter(line => line.startsWith('| ') && !line.startsWith('| Attack'))
    assert.ok(rows.length > 40)
    for (const row of rows) assert.match(row, /`test\/|no test: /, row)
  })
})

/** Of core the subscriber's package has what its build compiles, and nothing else. */
function shippedWithSubscriber(): RegExp {
  const { include } = JSON.parse(read('services/subscriber/tsconfig.build.json')) as { include: string[] }
  const names = include.flatMap(file => /^\.\.\/core\/src\/(.+)\.ts$/.exec(file)?.[1] ?? [])
  return new RegExp(`^@sallyport/core/(${names.join('|')})$`)
}

describe('import direction', () => {
  const allowed: Record<string, RegExp> = {
    core: /^@sallyport\/core/,
    ingress: /^@sallyport\/(core|ingress)/,
    processor: /^@sallyport\/(core|processor)/,
    agents: /^@sallyport\/(core|processor|agents)/,
    console: /^@sallyport\/(core|processor|console)/,
    cli: /^@sallyport\//,
    subscriber: shippedWithSubscriber(),
  }
  for (const [service, mayImport] of Object.entries(allowed)) {
    it(`${service} imports only what lies below it`, () => {
      for (const file of sources(service)) {
        for (const specifier of imports(file).filter(name => name.startsWith('@sallyport/'))) {
          assert.match(specifier, mayImport, `${file} imports ${specifier}`)
        }
        for (const specifier of imports(file).filter(name => name.startsWith('.'))) {
          const target = path.relative(
            path.join(ROOT, 'services', service),
            path.resolve(ROOT, path.dirname(file), specifier),
          )
          assert.ok(!target.startsWith('..'), `${file} imports ${specifier} past its package`)
        }
      }
    })
  }

  it('the Kafka libraries are imported by their adapters alone', () => {
    for (const file of Object.keys(allowed).flatMap(sources)) {
      const isAdapter = file.startsWith(path.join('services', 'core', 'src', 'kafka'))
      // A package of its own, for other teams' processes: it cannot have core's adapters, nor their dependencies.
      const isSubscriber = file.startsWith(path.join('services', 'subscriber'))
      const kafka = imports(file).filter(name => /^(kafkajs|@platformatic\/kafka|@kafkajs\/)/.test(name))
      const foreign = isSubscriber ? kafka.filter(name => name !== 'kafkajs') : kafka
      assert.ok(isAdapter || foreign.length === 0, `${file} imports ${kafka.join(', ')}`)
    }
  })

  it('stages take their clock, producer and settings as arguments: only entry points touch process', () => {
    const entries = /(main|config|workers|log|file-watch|ward-process)\.ts$|^services\/cli\//
    for (const file of ['core', 'ingress', 'processor', 'console']
      .flatMap(sources)
      .filter(file => !entries.test(file))) {
      assert.doesNotMatch(read(file), /\bprocess\.(env|exit|argv|on)\b/, file)
    }
  })
})
