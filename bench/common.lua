-- What the wrk scripts share: setec's headers, and a report as one line of JSON.
local common = {}

function common.headers(token)
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["Sec-X-Tailscale-No-Browsers"] = "setec"
  if token then wrk.headers["Authorization"] = "Bearer " .. token end
end

function common.report(summary, latency)
  local errors = summary.errors
  print(string.format('{"requests":%d,"microseconds":%d,"p99Microseconds":%d,"errors":%d}',
    summary.requests, summary.duration, latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end

return common
