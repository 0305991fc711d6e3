/** The settings file that `sallyport init` writes: small, and every line of it explained. */
export const SETTINGS_TEMPLATE = `# Settings of Sallyport. Editors complete them by schemas/sallyport.schema.json of the product; every setting that is
# left out has a default. Check the file with: npx sallyport config check

# How long an event id is remembered: within it, an event takes effect once however often its sender repeats it. It
# is never below the time for which a source's sender repeats deliveries.
window: 24h

topics:
  # Partitions of the events and of every processor's topics. For more of them later: npx sallyport topics grow
  partitions: 12

ingress:
  # 0.0.0.0 to be reached from other machines: then with TLS, or behind a proxy that is named in trustedProxies.
  host: 127.0.0.1
  port: 8480

# Who may send. Secrets stand elsewhere and are only referred to: \${env:NAME} or \${file:PATH}.
# A known sender needs a line: npx sallyport add source github
sources:
  # Any other sender that signs the body with HMAC. It posts to /webhooks/example.
  example:
    scheme: { header: X-Signature, algorithm: hmac-sha256, encoding: hex }
    # The current secret first, the previous one behind it while the sender changes over.
    secrets: ['\${env:EXAMPLE_WEBHOOK_SECRET}']
    # Where the event's id and type stand in the JSON body. The signature covers it, so the id can be trusted.
    id: '$.id'
    type: '$.type'
    required: ['$.id']

# What handles the events: modules with a default export by defineProcessor({ … }).
# Make one with: npx sallyport add processor my-agent
processors: []
`
