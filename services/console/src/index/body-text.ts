/** The words of a body that can be searched for. */

/** Most bytes of a body that the index keeps and searches. */
export const INDEXED_BYTES_MAX = 65_536

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
