/** Bytes that are no text stand in base64. */
export function bodyField(body: Uint8Array): { body: string } | { bodyBase64: string } {
  const text = new TextDecoder().decode(body)
  return Buffer.from(text).equals(body)
    ? { body: text }
    : { bodyBase64: Buffer.from(body).toString('base64') }
}
