-- wrk sends the requests of a file, one "signature body" a line, one after the other.
local requests = {}
local next = 0

function init(args)
  for line in io.lines(os.getenv("SIGNED_REQUESTS")) do
    local signature, body = string.match(line, "^(%S+) (.*)$")
    local headers = { ["Content-Type"] = "application/json", ["X-Webhook-Signature"] = signature }
    requests[#requests + 1] = wrk.format("POST", "/webhooks/crm", headers, body)
  end
end

function request()
  next = next % #requests + 1
  return requests[next]
end
