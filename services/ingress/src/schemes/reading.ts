import { isUtf8 } from 'node:buffer'
import type { HeaderList, RawRequest } from '../delivery.ts'
import { Effort } from './effort.ts'
import { type FieldBytes, type Form, formOf, onlyField, parseFields, parseForm, queryOf } from './form.ts'
import { atPath, type CompiledLocation } from './location.ts'

/** A body as JSON: parsed at most once, and only when somebody asks. */
export type ParsedJson =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly value: undefined }

const NOT_JSON: ParsedJson = { ok: false, value: undefined }

/** What a reading must know of the source. */
export interface AboutSource {
  /** See `Reading.jsonOnly`. */
  readonly jsonOnly?: boolean
  /** See `RequestLine.addsQuery`. */
  readonly addsQuery?: boolean
}

/** One request under verification, with what was read from it so far. */
export class Reading {
  readonly request: RawRequest
  readonly headers: HeaderList
  /** The URL that is signed: the source's `url` setting, or the request's own. Tokens and questions stand in the latter. */
  readonly url: string
  /** Whether `url` is the source's setting, of which no byte is a stranger's. */
  readonly urlIsFixed: boolean
  /** Whether the source takes JSON alone. */
  readonly jsonOnly: boolean
  /** The clock, ms since the epoch. */
  readonly nowMs: number
  /** What the request may still cost before its proof. */
  readonly effort: Effort
  readonly #addsQuery: boolean
  #json: ParsedJson | undefined
  #formBytes: readonly FieldBytes[] | null | undefined
  #form: Form | null | undefined
  #query: Form | null | undefined

  constructor(request: RawRequest, url: string | undefined, nowMs: number, about: AboutSource = {}) {
    this.request = request
    this.headers = request.headers
    this.url = url ?? request.url
    this.urlIsFixed = url !== undefined
    this.jsonOnly = about.jsonOnly === true
    this.#addsQuery = about.addsQuery === true
    this.nowMs = nowMs
    this.effort = new Effort(request.body.length)
  }

  /** The body as JSON. Bytes that are not UTF-8 are no JSON; a byte order mark is skipped (RFC 8259, 8.1). */
  json(): ParsedJson {
    if (this.#json === undefined) this.#json = parseBody(this.request.body)
    return this.#json
  }

  /** The body as a form, whatever its content type says; null where it is none. */
  form(): Form | null {
    if (this.#form === undefined) this.#form = formOf(this.formBytes())
    return this.#form
  }

  /** The same with values that are still bytes, for proofs over long ones. */
  formBytes(): readonly FieldBytes[] | null {
    if (this.#formBytes === undefined) this.#formBytes = parseFields(this.request.body)
    return this.#formBytes
  }

  /** The URL of senders that add a query to the registered one and sign both: `url` with the query that came. */
  get urlWithQuery(): string {
    const query = queryOf(this.request.url)
    return this.urlIsFixed && query !== '' ? `${/^[^?#]*/.exec(this.url)?.[0]}?${query}` : this.url
  }

  /** The fields of the query that came, whatever `url` says; null where it is malformed. */
  query(): Form | null {
    if (this.#query === undefined) this.#query = parseForm(queryOf(this.request.url))
    return this.#query
  }

  /** The fields of a form: in the body or, as a form is sent with GET, in the query, as far as it is signed. */
  fields(): Form | null {
    if (this.request.method !== 'GET') return this.form()
    return parseForm(queryOf(this.#addsQuery ? this.urlWithQuery : this.url))
  }

  /** The only value of a query field; null where it is absent or repeated. */
  queryField(name: string): string | null {
    const query = this.query()
    return query === null ? null : onlyField(query, name)
  }

  /** The media type in lower case, without parameters. */
  mediaType(): string {
    const text = this.headers.get('content-type') ?? ''
    const end = text.indexOf(';')
    return (end === -1 ? text : text.slice(0, end)).trim().toLowerCase()
  }

  /** The value at a location; undefined where there is none, or a header came more than once. */
  at(location: CompiledLocation): unknown {
    if (location.from === 'header') return this.headers.only(location.name) ?? undefined
    if (location.from === 'json') return atPath(this.json().value, location.path)
    const form = this.fields()
    return form === null ? undefined : (onlyField(form, location.field) ?? undefined)
  }
}

function parseBody(body: Buffer): ParsedJson {
  if (body.length === 0 || !isUtf8(body)) return NOT_JSON
  const marked = body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf
  const text = body.toString('utf8', marked ? 3 : 0)
  try {
    return { ok: true, value: JSON.parse(text) }
  } catch {
    return NOT_JSON
  }
}
