#!/usr/bin/env node
// on-node24.js SCRIPT [ARGUMENT…]: runs a script of this project on Node 24, installing it first where it is missing.
import { launch } from './launch.js'

const [script, ...args] = process.argv.slice(2)
if (script === undefined) {
  console.error('usage: on-node24.js SCRIPT [ARGUMENT…]')
  process.exit(2)
}
await launch(script, args, { dev: true })
