-- wrk: puts a new version of bench/0 … bench/(N-1), each value a new one. Arguments: N RUN [bearer token]
local common = require("common")
local count, n, run

function init(args)
  n = tonumber(args[1])
  run = tonumber(args[2])
  count = 0
  common.headers(args[3])
end

function request()
  count = count + 1
  -- 44 base64 digits, which happen to be decimal: 33 bytes.
  local value = string.format("%028d%08d%08d", 0, run, count)
  return wrk.format("POST", "/api/put", nil, '{"Name":"bench/' .. (count * 7919) % n .. '","Value":"' .. value .. '"}')
end

done = common.report
