/**
 * Avro schemas → the TypeScript types of their values as our codec reads and writes them: unions unwrapped, bytes as
 * Buffer, longs and times as numbers.
 */

type AvroNode = string | AvroNode[] | AvroObject

interface AvroObject {
  readonly type: AvroNode
  readonly name?: string
  readonly doc?: string
  readonly fields?: readonly AvroField[]
  readonly symbols?: readonly string[]
  readonly items?: AvroNode
  readonly values?: AvroNode
}

interface AvroField {
  readonly name: string
  readonly type: AvroNode
  readonly doc?: string
}

const PRIMITIVES: Readonly<Record<string, string>> = {
  null: 'null',
  boolean: 'boolean',
  int: 'number',
  long: 'number',
  float: 'number',
  double: 'number',
  string: 'string',
  bytes: 'Buffer',
}

const LINE_CHARS_MAX = 110

/** The module for these schemas: file name without its ending → the schema's JSON. */
export function contractTypes(schemas: ReadonlyMap<string, string>): string {
  const declarations = new Map<string, string>()
  const entries: string[] = []
  for (const [file, text] of schemas) {
    const name = declare(JSON.parse(text) as AvroObject, declarations)
    entries.push(`  '${file}': ${name}`)
  }
  return [
    '/** Generated from schemas/*.avsc by `npm run contract`: change those. */',
    ...declarations.values(),
    `${comment('A schema’s file in `schemas/`, without its ending → the type of its values.', '')}\nexport interface SchemaTypes {\n${entries.join('\n')}\n}`,
    '',
  ]
    .join('\n\n')
    .replace(/\n+$/, '\n')
}

/** Declares a named type, and those inside it, once; returns its name. */
function declare(node: AvroObject, declarations: Map<string, string>): string {
  const name = node.name as string
  if (declarations.has(name)) return name
  // Holds the place, so that a type stands before those that it names.
  declarations.set(name, '')
  const doc = node.doc === undefined ? '' : `${comment(node.doc, '')}\n`
  declarations.set(name, doc + (node.type === 'enum' ? enumType(node) : recordType(node, declarations)))
  return name
}

function enumType({ name, symbols = [] }: AvroObject): string {
  const values = symbols.map(symbol => `'${symbol}'`)
  const line = `export type ${name} = ${values.join(' | ')}`
  return line.length <= LINE_CHARS_MAX
    ? line
    : `export type ${name} =\n${values.map(value => `  | ${value}`).join('\n')}`
}

function recordType({ name, fields = [] }: AvroObject, declarations: Map<string, string>): string {
  const lines = fields.map(field => {
    const doc = field.doc === undefined ? '' : `${comment(field.doc, '  ')}\n`
    return `${doc}  readonly ${field.name}: ${typeText(field.type, declarations)}`
  })
  return `export interface ${name} {\n${lines.join('\n')}\n}`
}

function typeText(node: AvroNode, declarations: Map<string, string>): string {
  if (Array.isArray(node)) return unionText(node, declarations)
  if (typeof node === 'string') return PRIMITIVES[node] ?? node.slice(node.lastIndexOf('.') + 1)
  switch (node.type) {
    case 'record':
    case 'enum':
      return declare(node, declarations)
    case 'array':
      return listOf(typeText(node.items as AvroNode, declarations))
    case 'map':
      return `Readonly<Record<string, ${typeText(node.values as AvroNode, declarations)}>>`
    case 'fixed':
      return 'Buffer'
    default:
      return typeText(node.type, declarations)
  }
}

/** null comes last, as people write it. */
function unionText(branches: readonly AvroNode[], declarations: Map<string, string>): string {
  const texts = branches.map(branch => typeText(branch, declarations))
  return [...texts.filter(text => text !== 'null'), ...texts.filter(text => text === 'null')].join(' | ')
}

/** A doc comment, wrapped. */
function comment(text: string, indent: string): string {
  const safe = text.replaceAll('*/', '*\\/')
  const single = `${indent}/** ${safe} */`
  if (single.length <= LINE_CHARS_MAX) return single
  const lines = ['']
  for (const word of safe.split(' ')) {
    const line = lines.at(-1) as string
    if (line !== '' && indent.length + 3 + line.length + word.length + 1 > LINE_CHARS_MAX) lines.push(word)
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`
  }
  return `${indent}/**\n${lines.map(line => `${indent} * ${line}\n`).join('')}${indent} */`
}

/** As the formatter would write it. */
function listOf(item: string): string {
  return /^\w+$/.test(item) ? `readonly ${item}[]` : `readonly (${item})[]`
}
