#!/usr/bin/env node
// The command `sallyport`, on Node 24 whatever Node this is.
import { join } from 'node:path'
import { launch, ROOT } from './launch.js'

await launch(join(ROOT, 'services/cli/src/main.ts'), process.argv.slice(2), { dev: false })
