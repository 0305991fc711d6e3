import pc from 'picocolors'

/** Colours for standard output and standard error: on a terminal, unless NO_COLOR is set, and nowhere else. */
export const colors = pc.createColors(isTerminal(process.stdout))
export const errorColors = pc.createColors(isTerminal(process.stderr))

function isTerminal(stream: NodeJS.WriteStream): boolean {
  return stream.isTTY === true && !process.env.NO_COLOR
}
