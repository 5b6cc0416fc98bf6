-- The same job as the filter does it: the same hash, the same decisions, and forged headers taken off, in any spelling.
-- Its own 64-bit integers, salts prepared once, one look over the headers.

local ffi, bit = require('ffi'), require('bit')
local prime, half = ffi.new('uint64_t', 0x100000001b3ULL), ffi.new('uint64_t', 0xffffffffULL)
local function fnv(state, text)
  for i = 1, #text do state = bit.bxor(state, text:byte(i)) * prime end
  return state
end
local function exposure(state, id)
  local k = fnv(state, id)
  k = bit.bxor(k, bit.rshift(k, 33)) * 0xff51afd7ed558ccdULL
  k = bit.bxor(k, bit.rshift(k, 33)) * 0xc4ceb9fe1a85ec53ULL
  k = bit.bxor(k, bit.rshift(k, 33))
  return tonumber(bit.rshift(bit.rshift(k, 32) * 1000000ULL, 32))
end
local function salt(key) return fnv(0xcbf29ce484222325ULL, key .. '\0') end
local flags, owned = {}, {['x-flag-checkout'] = true, ['x-upstream-version'] = true, ['x-flags'] = true}
for name in ("@FLAGS@"):gmatch("[^,]+") do
  flags[#flags + 1] = {header = 'x-flag-' .. name, salt = salt(name)}
  owned['x-flag-' .. name] = true
end
local checkout = salt('checkout')
function envoy_on_request(handle)
  local headers, forged, id, ids = handle:headers(), nil, nil, 0
  for name, value in pairs(headers) do
    if name == 'x-user-id' then id, ids = value, ids + 1 end
    if owned[(name:gsub('_', '-'))] then forged = forged or {}; forged[#forged + 1] = name end
  end
  if forged then for _, name in ipairs(forged) do headers:remove(name) end end
  if ids ~= 1 then id = nil end
  local version = (id and exposure(checkout, id) < 100000) and 'v2' or 'v1'
  headers:replace('x-flag-checkout', version)
  headers:replace('x-upstream-version', version)
  for i = 1, #flags do
    local flag = flags[i]
    headers:replace(flag.header, (id and exposure(flag.salt, id) < 500000) and 'on' or 'off')
  end
end
