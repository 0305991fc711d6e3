import { statfs } from 'node:fs/promises'
import { SallyportError } from '@sallyport/core/errors'
import { isPortFree, portTaken } from '../broker/ports.ts'

const MIB = 1024 * 1024

/** Throws `SP_DISK_FULL` when the disk of a folder has less than `freeMibMin` left for us. */
export async function checkDisk(folder: string, freeMibMin: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder)
  const freeMib = Math.floor((bavail * bsize) / MIB)
  if (freeMib >= freeMibMin) return
  throw new SallyportError(
    'SP_DISK_FULL',
    `${freeMib} MiB are free where ${folder} stands, and the broker wants at least ${freeMibMin}: free some, or lower the bound with --disk-free-min or SALLYPORT_DISK_FREE_MIB_MIN`,
  )
}

/** Throws `SP_PORT_TAKEN` when the ingress cannot listen; senders know its address, so no other port will do. */
export async function checkIngressPort(host: string, port: number): Promise<void> {
  if (port === 0 || (await isPortFree(port, host))) return
  throw portTaken({
    name: 'ingress',
    port,
    remedy: '--port, SALLYPORT_INGRESS_PORT or ingress.port in sallyport.yaml',
  })
}
