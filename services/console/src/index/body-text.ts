/** The words of an event that can be searched for: of its body, and of its query where that is data. */

/** Most bytes of a body that the index keeps and searches. */
export const INDEXED_BYTES_MAX = 65_536

/** What an event says, as text: the beginning of its body, then its query; undefined where that is none. */
export function eventText(
  body: Uint8Array,
  { contentType, query }: { readonly contentType: string | null; readonly query: string | null },
): string | undefined {
  const text = bodyText(body, contentType)
  return query === null ? text : `${text ?? ''} ${formText(query)}`
}

/** A body as text; undefined where it is none. */
export function bodyText(body: Uint8Array, contentType: string | null): string | undefined {
  if (body.includes(0)) return undefined
  const text = new TextDecoder().decode(body)
  if (contentType?.startsWith('application/x-www-form-urlencoded')) return formText(text)
  return text.includes('\\') ? jsonText(text) : text
}

/** JSON's escapes would hide words: `caf\u00e9`, `one\ntwo`. */
function jsonText(text: string): string {
  return text.replaceAll(/\\(?:u([0-9a-fA-F]{4})|(.))/g, (_, code: string | undefined, letter: string) => {
    if (code !== undefined) return String.fromCharCode(Number.parseInt(code, 16))
    return 'bfnrt'.includes(letter) ? ' ' : letter
  })
}

function formText(text: string): string {
  return jsonText(
    text.replaceAll('+', ' ').replaceAll(/(?:%[0-9a-fA-F]{2})+/g, escaped => {
      try {
        return decodeURIComponent(escaped)
      } catch {
        return ' '
      }
    }),
  )
}
