-- Plays a version of the upstream: answers every request with the headers that came with it, as JSON.
-- Which version it is stands in the metadata of the route, so that one script serves them all.
-- A control byte or a byte above 0x7f is written as \u00XX: the answer is valid JSON whatever a client sent.

local function quote(text)
  local escaped = text:gsub('[%c"\\\127-\255]', function(byte)
    return string.format('\\u%04x', byte:byte())
  end)
  return '"' .. escaped .. '"'
end

local function list(pairs_of)
  local lines = {}
  for name, value in pairs(pairs_of) do
    lines[#lines + 1] = '    [' .. quote(name) .. ', ' .. quote(value) .. ']'
  end
  return '[\n' .. table.concat(lines, ',\n') .. '\n  ]'
end

function envoy_on_request(request)
  local headers = list(request:headers())
  local version = request:metadata():get('version') or 'unknown'
  request:body() -- take the whole request first: a proxy in front may still be sending it
  local trailers = request:trailers()
  local body = '{\n  "version": ' .. quote(version) .. ',\n  "headers": ' .. headers
    .. (trailers and ',\n  "trailers": ' .. list(trailers) or '') .. '\n}\n'
  request:respond({[':status'] = '200', ['content-type'] = 'application/json'}, body)
end
