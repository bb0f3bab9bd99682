-- For wrk: POSTs the bodies of a file, one a line, in turns, and prints what came of it as one line of JSON.
-- Arguments behind `--`: the file, and the number of the body to begin with.

local requests, at = {}, 0

function init(args)
  wrk.headers['Content-Type'] = 'application/json'
  for body in io.lines(args[1]) do
    requests[#requests + 1] = wrk.format('POST', nil, nil, body)
  end
  at = tonumber(args[2]) % #requests
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format('{"requests":%d,"us":%d,"bytes":%d,"failed":%d,"p50_us":%d,"p99_us":%d}\n', summary.requests,
    summary.duration, summary.bytes, failed, latency:percentile(50), latency:percentile(99)))
end
