/** The yardstick: what Node itself costs for a request of this size, and nothing more. */
import { createServer } from 'node:http'

const ANSWER = JSON.stringify({ status: 'accepted', id: 'crm/0'.padEnd(68, '0') })

createServer((req, res) => {
  const chunks: Buffer[] = []
  req.on('data', chunk => chunks.push(chunk))
  req.on('end', () => {
    Buffer.concat(chunks)
    res.writeHead(200, { 'content-type': 'application/json', 'content-length': ANSWER.length })
    res.end(ANSWER)
  })
}).listen(Number(process.argv[2]), '127.0.0.1')
