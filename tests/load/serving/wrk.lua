-- Sends the requests of a folder in turn, as they are, and prints what wrk counted as JSON: wrk -s wrk.lua URL -- FOLDER
local requests, at = {}, 0

function init(args)
  for i = 0, 255 do
    local file = io.open(args[1] .. "/" .. i .. ".http", "rb")
    if not file then break end
    requests[i + 1] = file:read("*a")
    file:close()
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"us":%d,"p50":%d,"p99":%d,"max":%d,"errors":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency.max,
    errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
