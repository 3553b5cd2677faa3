-- Posts the lines of a file, one line one request body, each line once. Arguments: the file, the content type, how many
-- milliseconds a connection waits before each request, and any number of header lines. Ends with one line of JSON on standard output.
-- wrk waits out its whole -d even where the bodies end early, so the time to the last body is kept here.
local ffi = require("ffi")
ffi.cdef("typedef struct { long sec; long nsec; } bench_time; int clock_gettime(int clock, bench_time *t);")

local function now_us()
  local t = ffi.new("bench_time")
  ffi.C.clock_gettime(1, t)
  return tonumber(t.sec) * 1e6 + tonumber(t.nsec) / 1e3
end

local threads = {}
local bodies, head

function setup(thread)
  threads[#threads + 1] = thread
end

function init(args)
  bodies = assert(io.open(args[1], "r"))
  local lines = { "POST " .. wrk.path .. " HTTP/1.1", "Host: " .. wrk.host .. ":" .. wrk.port, "Content-Type: " .. args[2] }
  pause_ms = tonumber(args[3])
  -- wrk waits for each request of a script that has this function.
  if pause_ms > 0 then delay = function() return pause_ms end end
  for i = 4, #args do lines[#lines + 1] = args[i] end
  head = table.concat(lines, "\r\n") .. "\r\nContent-Length: "
  began_us = now_us()
  ended_us = 0
end

function request()
  local body = bodies:read("*l")
  if body == nil then
    if ended_us == 0 then ended_us = now_us() end
    wrk.thread:stop()
    return ""
  end
  return head .. #body .. "\r\n\r\n" .. body
end

function done(summary, latency)
  local duration = summary.duration
  local ended = threads[1]:get("ended_us")
  if ended > 0 then duration = ended - threads[1]:get("began_us") end
  local e = summary.errors
  io.write(string.format('\n{"requests":%d,"duration_us":%d,"exhausted":%s,"p50_us":%d,"p99_us":%d,"failed_status":%d,"failed_socket":%d}\n',
    summary.requests, duration, tostring(ended > 0), latency:percentile(50), latency:percentile(99), e.status, e.connect + e.read + e.write + e.timeout))
end
