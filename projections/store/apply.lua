#!lua name=headrace_@DIGEST@
-- The store's functions: `apply` changes one bucket atomically, `page` reads one bucket's share of an index.
--
-- Everything is checked before the first write, so a refused call changes no byte. All keys are of one bucket, so of one slot.
-- Versions and positions are compared as numbers: `<` on Lua strings follows the locale of the server's environment.
-- @DIGEST@ is the digest of this file (library.py): names are the server's, so two builds of Headrace can share one.

local HEADER_BYTES = 18 -- document.py: format, flags, epoch, version, event time
local FORMAT = 1
local NOTICE_BYTES = 65536 -- a message on the change channel is cut near this size

-- Epoch and version of a stored document, or nil for bytes that no projector wrote.
local function at(document)
  if #document < HEADER_BYTES then return nil end
  local format, _, epoch, version = struct.unpack('>BBI4I4', document)
  if format ~= FORMAT then return nil end
  return epoch, version
end

-- Whether (epoch, version) comes after (other_epoch, other_version).
local function newer(epoch, version, other_epoch, other_version)
  if epoch ~= other_epoch then return epoch > other_epoch end
  return version > other_version
end

-- The reply REGRESSED when a stored position is not the one that the caller believes in, else nil.
local function regressed(key, positions)
  if #positions == 0 then return nil end
  local fields = {}
  for i, position in ipairs(positions) do fields[i] = position[1] end
  local stored, same, reply = redis.call('HMGET', key, unpack(fields)), true, {'REGRESSED'}
  for i, position in ipairs(positions) do
    same = same and tonumber(stored[i] or '0') == tonumber(position[2])
    reply[2 * i], reply[2 * i + 1] = position[1], stored[i] or '0'
  end
  if same then return nil end
  return reply
end

-- Which items are to be written; or an error reply, or the reply CONFLICT.
local function sift(items, documents, keys, first)
  local wanted, conflicts = {}, {'CONFLICT'}
  if #items == 0 then return wanted end
  local stored = redis.call('MGET', unpack(keys, first, first + #items - 1))
  for i, item in ipairs(items) do
    local id, base_epoch, base_version = item[1], item[2], item[3]
    local epoch, version = at(documents[i + 1])
    if not epoch then return nil, redis.error_reply('ERR the item for ' .. id .. ' is not a document') end
    local old_epoch, old_version = -1, -1 -- as the caller writes a base that is not there
    if stored[i] then
      old_epoch, old_version = at(stored[i])
      if not old_epoch then return nil, redis.error_reply('CORRUPT ' .. keys[first + i - 1]) end
    end
    if newer(epoch, version, old_epoch, old_version) then
      if old_epoch == base_epoch and old_version == base_version then
        wanted[#wanted + 1] = i
      else
        conflicts[#conflicts + 1] = id
      end
    end
  end
  if #conflicts > 1 then return nil, conflicts end
  return wanted
end

-- The size that the quarantine would exceed, or nil. What is there already (a replay) is not counted again.
local function overflow(key, set_aside, bound)
  if #set_aside == 0 then return nil end
  local size = redis.call('HLEN', key)
  local after = size
  for _, entry in ipairs(set_aside) do
    if redis.call('HEXISTS', key, entry[1]) == 0 then after = after + 1 end
  end
  if after > size and after > bound then return size end
  return nil
end

-- Index entries come as a flat array: number of the sorted set, member, ... Members hold the id, so items never clash.
local function write_entries(items, wanted, keys, first)
  local removed, added = {}, {}
  for _, i in ipairs(wanted) do
    local out, into = items[i][4], items[i][5]
    for n = 1, #out, 2 do
      local list = removed[out[n]] or {}
      removed[out[n]] = list
      list[#list + 1] = out[n + 1]
    end
    for n = 1, #into, 2 do
      local list = added[into[n]] or {}
      added[into[n]] = list
      list[#list + 1] = '0'
      list[#list + 1] = into[n + 1]
    end
  end
  for number, members in pairs(removed) do redis.call('ZREM', keys[first + number], unpack(members)) end
  for number, members in pairs(added) do redis.call('ZADD', keys[first + number], unpack(members)) end
end

local function publish(channel, items, documents, wanted)
  local batch, bytes = {}, 0
  for n, i in ipairs(wanted) do
    local epoch, version = at(documents[i + 1])
    local notice = cjson.encode({items[i][1], epoch, version})
    batch[#batch + 1] = notice
    bytes = bytes + #notice + 1
    if n == #wanted or bytes > NOTICE_BYTES then
      redis.call('SPUBLISH', channel, '[' .. table.concat(batch, ',') .. ']')
      batch, bytes = {}, 0
    end
  end
end

-- KEYS: positions, quarantine, change channel, one document per item, then the sorted sets that the items name by number.
-- ARGV[1]: msgpack of {items, set_aside, positions, quarantine's bound} (texts only: cmsgpack reads no binary), where
--   item      = {id, base epoch, base version (both -1: no document), removed entries, added entries}
--   set_aside = {coordinates, entry}
--   position  = {partition, expected, next}, offsets as texts
-- ARGV[2...]: the items' new documents.
-- Answers {APPLIED, applied, duplicates, set aside}, {REGRESSED, partition, position, ...}, {CONFLICT, id, ...}, {FULL, size}.
local function apply(keys, args)
  local items, set_aside, positions, bound = unpack(cmsgpack.unpack(args[1]))
  if #keys < 3 + #items or #args ~= 1 + #items then return redis.error_reply('ERR items without key or document') end
  local refusal = regressed(keys[1], positions)
  if refusal then return refusal end
  local wanted, refused = sift(items, args, keys, 4)
  if not wanted then return refused end
  local size = overflow(keys[2], set_aside, bound)
  if size then return {'FULL', size} end

  if #wanted > 0 then
    write_entries(items, wanted, keys, 3 + #items)
    local pairs_of = {}
    for _, i in ipairs(wanted) do
      pairs_of[#pairs_of + 1] = keys[3 + i]
      pairs_of[#pairs_of + 1] = args[i + 1]
    end
    redis.call('MSET', unpack(pairs_of))
  end
  for _, entry in ipairs(set_aside) do redis.call('HSET', keys[2], entry[1], entry[2]) end
  publish(keys[3], items, args, wanted)
  for _, position in ipairs(positions) do redis.call('HSET', keys[1], position[1], position[3]) end
  return {'APPLIED', #wanted, #items - #wanted, #set_aside}
end

-- KEYS[1]: the sorted set. ARGV: prefix of its documents' keys, low and high bound (exclusive; empty: none), limit, 1 to go
-- from the high end down. Answers {rows in all, rows up to the low bound, rows between, rows from the high bound on,
-- members, documents}, members in the order they were walked.
local function page(keys, args)
  local list, prefix, low, high, limit, down = keys[1], args[1], args[2], args[3], tonumber(args[4]), args[5] == '1'
  local total = redis.call('ZCARD', list)
  if total == 0 then return {0, 0, 0, 0, {}, {}} end
  local from, to, below, above = '-', '+', 0, 0
  if low ~= '' then
    from = '(' .. low
    below = redis.call('ZLEXCOUNT', list, '-', '[' .. low)
  end
  if high ~= '' then
    to = '(' .. high
    above = redis.call('ZLEXCOUNT', list, '[' .. high, '+')
  end
  local between = math.max(0, total - below - above)
  if between == 0 or limit == 0 then return {total, below, between, above, {}, {}} end
  local members
  if down then
    members = redis.call('ZRANGE', list, to, from, 'BYLEX', 'REV', 'LIMIT', 0, limit)
  else
    members = redis.call('ZRANGE', list, from, to, 'BYLEX', 'LIMIT', 0, limit)
  end
  local documents = {}
  for i, member in ipairs(members) do documents[i] = prefix .. string.match(member, '%z([^%z]*)$') end
  return {total, below, between, above, members, redis.call('MGET', unpack(documents))}
end

redis.register_function{function_name = 'headrace_apply_@DIGEST@', callback = apply}
redis.register_function{function_name = 'headrace_page_@DIGEST@', callback = page, flags = {'no-writes'}}
