import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)

/**
 * Exchanges what one of kafkajs's files exports. The files that use it must not be loaded yet: they would keep the
 * original.
 */
export function exchange<T>(part: string, exchanged: (original: T) => T): void {
  const file = require.resolve(part)
  const original = require(file)
  const module = require.cache[file]
  if (module !== undefined) module.exports = exchanged(original)
}
