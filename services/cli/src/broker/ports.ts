import { createServer } from 'node:net'
import { SallyportError } from '@sallyport/core/errors'

/** Whether a port of this address can be listened on. */
export async function isPortFree(port: number, host = '127.0.0.1'): Promise<boolean> {
  return (await tryPort(port, host)) !== undefined
}

/** A port that is free now on 127.0.0.1. */
export async function freePort(): Promise<number> {
  const port = await tryPort(0, '127.0.0.1')
  if (port === undefined) throw new Error('no port can be opened on 127.0.0.1')
  return port
}

/** A port that a setting asks for, or the default of one that nobody named. */
export interface PortWish {
  readonly port: number
  /** True when the user named it: then another one will not do. */
  readonly named: boolean
  /** For people: `broker`. */
  readonly name: string
  /** How to name another one: `--broker-port or SALLYPORT_BROKER_PORT`. */
  readonly remedy: string
}

/** The wished port, or a free one in its place when nobody named it; throws `SP_PORT_TAKEN` when somebody did. */
export async function settlePort(wish: PortWish): Promise<number> {
  if (wish.port === 0) return await freePort()
  if (await isPortFree(wish.port)) return wish.port
  if (!wish.named) return await freePort()
  throw portTaken(wish)
}

/** The error for a port that another program holds. */
export function portTaken(wish: Pick<PortWish, 'port' | 'name' | 'remedy'>): SallyportError {
  return new SallyportError(
    'SP_PORT_TAKEN',
    `port ${wish.port} of the ${wish.name} is taken by another program: stop that program, or choose another port with ${wish.remedy}`,
  )
}

function tryPort(port: number, host: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE' || error.code === 'EACCES') resolve(undefined)
      else reject(error)
    })
    server.listen({ port, host, exclusive: true }, () => {
      const address = server.address()
      const taken = typeof address === 'object' && address !== null ? address.port : undefined
      server.close(() => resolve(taken))
    })
  })
}
