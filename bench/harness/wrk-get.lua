-- Gets the lines of a file, one line one path, in turn. Arguments: the file, and any number of header lines.
-- Ends with one line of JSON on standard output, like wrk.lua.
local threads = {}
local paths, head

function setup(thread)
  threads[#threads + 1] = thread
end

function init(args)
  paths = assert(io.open(args[1], "r"))
  local lines = { "Host: " .. wrk.host .. ":" .. wrk.port }
  for i = 2, #args do lines[#lines + 1] = args[i] end
  head = " HTTP/1.1\r\n" .. table.concat(lines, "\r\n") .. "\r\n\r\n"
end

function request()
  local path = paths:read("*l")
  if path == nil then
    paths:seek("set")
    path = paths:read("*l")
  end
  return "GET " .. path .. head
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format('\n{"requests":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d,"failed_status":%d,"failed_socket":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), e.status, e.connect + e.read + e.write + e.timeout))
end
