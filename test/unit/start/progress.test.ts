import assert from 'node:assert/strict'
import { Progress } from 'sallyport/start/progress'

/** A stream that keeps what is written, with the traits of a terminal. */
function stream(traits: { isTTY?: boolean; columns?: number }): {
  out: NodeJS.WriteStream
  text: () => string
} {
  let text = ''
  const write = (chunk: string) => {
    text += chunk
    return true
  }
  return { out: { ...traits, write } as unknown as NodeJS.WriteStream, text: () => text }
}

describe('progress', () => {
  for (const [what, traits, env] of [
    ['no terminal', {}, {}],
    // A pseudo-terminal that nobody has given a size: a spinner would clear infinitely many lines on it.
    ['a terminal without a width', { isTTY: true, columns: 0 }, {}],
    ['a dumb terminal', { isTTY: true, columns: 80 }, { TERM: 'dumb' }],
    ['the terminal of a CI run', { isTTY: true, columns: 80 }, { CI: 'true' }],
  ] as const) {
    it(`is plain lines on ${what}`, async () => {
      const { out, text } = stream(traits)
      const progress = new Progress(out, env)
      await progress.step('waiting', async () => progress.say('news'))
      await assert.rejects(progress.step('failing', async () => assert.fail('x')))
      assert.match(
        // biome-ignore lint/suspicious/noControlCharactersInRegex: colours
        text().replaceAll(/\u001b\[\d+m/g, ''),
        /^- waiting …\n• news\n✔ waiting: \d+\.\d s\n- failing …\n✖ failing: given up after \d+\.\d s\n$/,
      )
    })
  }
})
