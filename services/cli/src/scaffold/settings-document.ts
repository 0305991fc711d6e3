/** Adds to `sallyport.yaml` and keeps the rest of it, comments too; only the spaces inside brackets may change. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { errorMessage, SallyportError } from '@sallyport/core/errors'
import YAML from 'yaml'

export class SettingsDocument {
  readonly file: string
  readonly #document: YAML.Document

  /** Throws `SP_SETTINGS` where the file is missing or no YAML. */
  constructor(file: string) {
    this.file = file
    let text: string
    try {
      text = readFileSync(file, 'utf8')
    } catch (error) {
      throw new SallyportError(
        'SP_SETTINGS',
        `${file} cannot be read (${errorMessage(error)}): make one with npx sallyport init`,
        { cause: error },
      )
    }
    this.#document = YAML.parseDocument(text)
    const [first] = this.#document.errors
    if (first === undefined) return
    throw new SallyportError('SP_SETTINGS', `${file} is no YAML (${errorMessage(first)}): correct it first`)
  }

  /** What stands there as plain data. */
  at(...path: readonly string[]): unknown {
    const node = this.#document.getIn(path, true)
    return YAML.isNode(node) ? node.toJS(this.#document) : undefined
  }

  /** Sets a member of a map; `comment` stands above it. */
  set(map: string, name: string, value: unknown, comment: readonly string[]): void {
    if (!YAML.isMap(this.#document.get(map))) this.#document.set(map, this.#document.createNode({}))
    const key = this.#document.createNode(name)
    if (comment.length > 0) key.commentBefore = comment.map(line => ` ${line}`).join('\n')
    const members = this.#document.get(map) as YAML.YAMLMap
    members.flow = false
    members.set(key, this.#document.createNode(value))
  }

  append(list: string, value: unknown): void {
    if (!YAML.isSeq(this.#document.get(list))) this.#document.set(list, this.#document.createNode([]))
    const items = this.#document.get(list) as YAML.YAMLSeq
    items.flow = false
    items.add(this.#document.createNode(value))
  }

  /** Writes the file by rename: a service that reloads never sees half of it. */
  save(): void {
    const draft = `${this.file}.${process.pid}.tmp`
    writeFileSync(draft, this.#document.toString({ lineWidth: 110, flowCollectionPadding: true }))
    renameSync(draft, this.file)
  }
}
