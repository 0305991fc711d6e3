import { readdirSync, readFileSync } from 'node:fs'

const FOLDER = new URL('../../../../schemas/', import.meta.url)
const ENDING = '.avsc'

/** The schemas as they stand: file name without its ending → JSON. */
export function currentSchemas(): ReadonlyMap<string, string> {
  return readFolder(FOLDER)
}

/** The schemas of every released version, oldest first. */
export function releasedSchemas(): ReadonlyMap<string, ReadonlyMap<string, string>> {
  const released = new URL('released/', FOLDER)
  const versions = readdirSync(released).sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
  return new Map(versions.map(version => [version, readFolder(new URL(`${version}/`, released))]))
}

function readFolder(folder: URL): ReadonlyMap<string, string> {
  const files = readdirSync(folder)
    .filter(file => file.endsWith(ENDING))
    .sort()
  return new Map(
    files.map(file => [file.slice(0, -ENDING.length), readFileSync(new URL(file, folder), 'utf8')]),
  )
}
