/**
 * Points at which a process of the product dies: `FAULT` is `point:before|after:n`, and the n-th time that the point is
 * passed the process kills itself. Loaded before the product (`node --import`), whose code knows nothing of it.
 */
const [point, side, nth] = (process.env.FAULT ?? '').split(':')
let passed = 0

export async function around<T>(name: string, work: () => Promise<T>): Promise<T> {
  pass(name, 'before')
  const result = await work()
  pass(name, 'after')
  return result
}

export function pass(name: string, at: 'before' | 'after'): void {
  if (name === point && at === side && ++passed === Number(nth)) process.kill(process.pid, 'SIGKILL')
}
