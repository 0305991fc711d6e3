/** Loaded before the product (`node --import`): says at the end how much memory the process had at most, in KiB. */
import { writeSync } from 'node:fs'

process.on('exit', () => writeSync(2, `#rss ${process.resourceUsage().maxRSS}\n`))
