-- wrk: gets the secrets bench/0 … bench/(N-1), spread evenly. Arguments: N [bearer token]
local common = require("common")
local count, n

function init(args)
  n = tonumber(args[1])
  count = 0
  common.headers(args[2])
end

function request()
  count = count + 1
  return wrk.format("POST", "/api/get", nil, '{"Name":"bench/' .. (count * 7919) % n .. '"}')
end

done = common.report
