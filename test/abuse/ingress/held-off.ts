/** What the shipped HAProxy holds off by itself: too many connections of a source, paths of its own, weak ciphers. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import { send } from '../../support/ingress.ts'
import { FIRST_CERTIFICATE } from '../../support/tls-certificates.ts'
import { Haproxy } from './haproxy.ts'

/** Of haproxy.cfg. */
const CONNECTIONS_PER_SOURCE = 500
const HIDDEN = [
  '/health/ready',
  '/health/ready?x',
  '/metrics',
  '/',
  '/Health/ready',
  '/health/live/',
  '//health/ready',
]

/** Gives what it let through. */
export async function heldOff(folder: string, ingress: string): Promise<string[]> {
  const haproxy = await Haproxy.start(folder, ingress, FIRST_CERTIFICATE)
  try {
    const results = [await paths(haproxy.url), await transport(haproxy.url), await connections(haproxy.url)]
    return results.flat()
  } finally {
    await haproxy.stop()
  }
}

async function paths(url: string): Promise<string[]> {
  const problems: string[] = []
  for (const target of HIDDEN) {
    const { status, json } = await send(url + target, { method: 'GET' })
    if (status !== 404 || json.code !== 'unknown-path')
      problems.push(`HAProxy publishes ${target} (${status})`)
  }
  return problems
}

async function transport(url: string): Promise<string[]> {
  const problems: string[] = []
  for (const target of ['/health/live', '/nothing', '/webhooks/nobody']) {
    const { headers } = await send(url + target, { method: 'GET' })
    if (headers['strict-transport-security'] === undefined)
      problems.push(`HAProxy answers ${target} without HSTS`)
  }
  for (const ciphers of ['ECDHE-ECDSA-AES128-SHA256', 'ECDHE-ECDSA-AES256-SHA']) {
    if (await shakesHands(url, ciphers)) problems.push(`HAProxy speaks ${ciphers}`)
  }
  if (!(await shakesHands(url, 'ECDHE-ECDSA-AES128-GCM-SHA256')))
    problems.push('HAProxy does not speak AES-GCM')
  return problems
}

function shakesHands(url: string, ciphers: string): Promise<boolean> {
  const { hostname, port } = new URL(url)
  return new Promise(resolve => {
    const options = { ciphers, maxVersion: 'TLSv1.2', rejectUnauthorized: false } as const
    const socket = connectTls({ host: hostname, port: Number(port), ...options })
    socket.once('secureConnect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

async function connections(url: string): Promise<string[]> {
  const { hostname, port } = new URL(url)
  let gone = 0
  const sockets: Socket[] = []
  for (let i = 0; i < CONNECTIONS_PER_SOURCE + 100; i++) {
    const socket = connect({ host: hostname, port: Number(port), localAddress: '127.0.2.1' })
    sockets.push(socket)
    socket.on('error', () => {})
    socket.once('close', () => gone++)
    await Promise.race([once(socket, 'connect'), once(socket, 'close')]).catch(() => {})
  }
  await sleep(500)
  for (const socket of sockets) socket.destroy()
  return gone >= 100 ? [] : [`HAProxy let one source have ${sockets.length - gone} connections`]
}
