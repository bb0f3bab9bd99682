#!lua name=headrace_@DIGEST@
-- The store's functions: `apply` changes one bucket atomically, `fence` says who may, the others read what must be read at once.
--
-- Everything is checked before the first write, so a refused call changes no byte. All keys are of one bucket, so of one slot.
-- Versions are compared as numbers, owners byte by byte: `<` on Lua strings follows the locale of the server's environment.
-- @DIGEST@ is the digest of this file (library.py): names are the server's, so two builds of Headrace can share one.

-- document.py: format, width and flags in one byte, version, epoch of a wide one, event time; a guard is all of it but the time,
-- of a narrow one with zeros behind it
local NARROW_BYTES, WIDE_BYTES = 10, 17
local NARROW_GUARD_BYTES, GUARD_BYTES = 4, 9
local FLAGS = 8 -- they are less
local LAST_OF_GUARD = '8' -- the last byte's place; a text, since a command's numbers are printed first
local FIRST_TAG, FIRST_WIDE, LAST_TAG = 32, 40, 47 -- first bytes of format 2
local ABSENT = 0 -- what the guard begins with of a document that was not there
local CHUNK = 4000 -- values that go through `unpack` at once: Lua's stack holds 8000
local INT64_HIGH, INT64_LOW = 9223372036, 854775807 -- 2^63 - 1, cut before its last nine digits

local call, byte, sub, read_numbers

-- What a server does not have yet while it loads this file; each function that is called from outside begins with it.
local function bind() call, byte, sub, read_numbers = redis.call, string.byte, string.sub, struct.unpack end

-- Calls a command that takes a key and then any number of values, with those from `first` to `last`.
local function in_chunks(command, key, values, first, last)
  for from = first, last, CHUNK do call(command, key, unpack(values, from, math.min(from + CHUNK - 1, last))) end
end

-- Does so for each of the lists, with as many of the values, one behind the other, as its size says.
local function in_lists(command, keys, place, sizes, values)
  local first = 1
  for i, size in ipairs(sizes) do
    in_chunks(command, keys[place + i - 1], values, first, first + size - 1)
    first = first + size
  end
end

-- Raises an error for a key of another type than a sorted set. Most lists that lose a member gain one, too.
local function look_at_lists(keys, first, last)
  local seen = {}
  for i = first, last do
    if not seen[keys[i]] then call('ZCARD', keys[i]) end
    seen[keys[i]] = true
  end
end

-- Fences: who may write. Stored as `<number> <owner>`.

local function read_fence(text, key)
  local number, owner = string.match(text, '^([0-9]+) (.*)$')
  if not number then error({err = 'CORRUPT ' .. key}) end
  return tonumber(number), owner
end

local function is_larger(number, owner, other_number, other_owner)
  if number ~= other_number then return number > other_number end
  for i = 1, math.min(#owner, #other_owner) do
    local one, other = byte(owner, i), byte(other_owner, i)
    if one ~= other then return one > other end
  end
  return #owner > #other_owner
end

-- The reply FENCED when a larger fence is stored for one of the partitions, else nil; and whether one is missing or smaller, so that
-- the store has gone back to before the caller raised it.
local function fenced(key, partitions, number, owner)
  if not number or #partitions == 0 then return nil, false end
  local top_number, top_owner, is_lost = number, owner, false
  for _, text in ipairs(call('HMGET', key, unpack(partitions))) do
    local stored_number, stored_owner
    if text then stored_number, stored_owner = read_fence(text, key) end
    if text and is_larger(stored_number, stored_owner, top_number, top_owner) then
      top_number, top_owner = stored_number, stored_owner
    end
    is_lost = is_lost or not text or is_larger(number, owner, stored_number, stored_owner)
  end
  if top_number == number and top_owner == owner then return nil, is_lost end
  return {'FENCED', string.format('%.0f', top_number), top_owner}, is_lost
end

-- The reply REGRESSED when a stored position is not the one that the caller believes in, or the caller's fence is lost; else nil.
-- Offsets are decimal texts without leading zeros, so equal texts are equal numbers, whatever their size.
local function regressed(key, positions, is_fence_lost)
  local same, reply, fields = not is_fence_lost, {'REGRESSED'}, {}
  for i = 1, #positions, 4 do fields[#fields + 1] = positions[i] end
  local stored = #fields > 0 and call('HMGET', key, unpack(fields))
  for i, field in ipairs(fields) do
    local at = stored[i] or '0'
    same = same and at == positions[4 * i - 2]
    reply[2 * i], reply[2 * i + 1] = field, at
  end
  if same then return nil end
  return reply
end

-- Whether a first byte is one of a document, of which so many bytes are there.
local function is_document(tag, size, narrow_bytes, wide_bytes)
  return tag and tag >= FIRST_TAG and tag <= LAST_TAG and size >= (tag < FIRST_WIDE and narrow_bytes or wide_bytes)
end

-- Marks in `conflicts` the items whose stored document is not the base that they were folded from. Raises an error for what is no
-- document, or not newer than its base. Reads the guards alone, one by one: as dear as MGET at 400 bytes, cheaper above. What is
-- narrow is read byte by byte, which takes a third of what `struct` takes.
local function guard_documents(keys, first, count, documents, bases, has_queue, conflicts)
  local seen = {}
  for i = 1, count do
    local key, document, at = keys[first + i - 1], documents[i + 2], GUARD_BYTES * (i - 1) + 1
    local stored = call('GETRANGE', key, '0', LAST_OF_GUARD)
    local tag, a, b, c = byte(document, 1, 4)
    local base, x, y, z = byte(bases, at, at + 3)
    local kept, p, q, r = byte(stored, 1, 4)
    if seen[key] or not is_document(tag, #document, NARROW_BYTES, WIDE_BYTES) then
      error({err = 'ERR not a document, or one of two: ' .. key})
    end
    seen[key] = true
    if kept and not is_document(kept, #stored, NARROW_GUARD_BYTES, GUARD_BYTES) then error({err = 'CORRUPT ' .. key}) end
    local is_same = not kept and base == ABSENT
    if base ~= ABSENT then
      local version, epoch, old_version, old_epoch = a * 65536 + b * 256 + c, 0, x * 65536 + y * 256 + z, 0
      if tag >= FIRST_WIDE then version, epoch = read_numbers('>I4I4', document, 2) end
      if base >= FIRST_WIDE then old_version, old_epoch = read_numbers('>I4I4', bases, at + 1) end
      if epoch < old_epoch or (epoch == old_epoch and version < old_version)
        or (epoch == old_epoch and version == old_version and tag % FLAGS == base % FLAGS and not has_queue[i]) then
        error({err = 'ERR not newer than its base: ' .. key})
      end
      if kept then
        version, epoch = p * 65536 + q * 256 + r, 0
        if kept >= FIRST_WIDE then version, epoch = read_numbers('>I4I4', stored, 2) end
        is_same = epoch == old_epoch and version == old_version and kept % FLAGS == base % FLAGS
      end
    end
    if not is_same then conflicts[i] = true end
  end
end

-- Where the queues of the changed aggregates would go: per queue the places to take out and to put in, and its size.
-- A place that is taken keeps its first record, unless that is released by the same call, or gone from the quarantine.
-- A document that loses its flag while others wait is a conflict: they came after its queue was read.
local function plan_queues(keys, first, quarantine, queues, documents, conflicts)
  local plans = {}
  for n, queue in ipairs(queues) do
    local item, released, queued = unpack(queue)
    local key, out, into, gone = keys[first + n - 1], {}, {}, {}
    local size = call('HLEN', key)
    local after = size
    for i = 1, #released, 2 do
      local place, coordinates = released[i], released[i + 1]
      if call('HGET', key, place) ~= coordinates then conflicts[item] = true end
      if not gone[place] then
        out[#out + 1], gone[place], after = place, coordinates, after - 1
      end
    end
    if #released > 0 and after > 0 and byte(documents[item + 2]) % 2 == 0 then
      local flat = call('HGETALL', key)
      for i = 1, #flat, 2 do
        if not gone[flat[i]] and call('HEXISTS', quarantine, flat[i + 1]) == 1 then conflicts[item] = true end
      end
    end
    local taken = {}
    for i = 1, #queued, 3 do
      local place, coordinates = queued[i], queued[i + 1]
      local held = not gone[place] and call('HGET', key, place)
      if not taken[place] and not (held and call('HEXISTS', quarantine, held) == 1) then
        taken[place] = true
        into[#into + 1], into[#into + 2], into[#into + 3] = place, coordinates, queued[i + 2]
        if not held then after = after + 1 end
      end
    end
    plans[n] = {key = key, item = item, out = out, gone = gone, into = into, size = size, after = after}
  end
  return plans
end

-- The reply FULL when a queue or the quarantine would exceed its bound, else nil. What is there already is not counted again.
local function full(quarantine, set_aside, cleared, plans, quarantine_max, queue_max)
  local fate = {} -- by coordinates: false leaves the quarantine, true comes in
  for _, coordinates in ipairs(cleared) do fate[coordinates] = false end
  for _, plan in ipairs(plans) do
    if plan.after > plan.size and plan.after > queue_max then return {'FULL', plan.size, plan.item} end
    for _, coordinates in pairs(plan.gone) do fate[coordinates] = false end
  end
  for _, plan in ipairs(plans) do
    for i = 2, #plan.into, 3 do fate[plan.into[i]] = true end
  end
  for i = 1, #set_aside, 2 do fate[set_aside[i]] = true end
  if next(fate) == nil then return nil end
  local size = call('HLEN', quarantine)
  local after = size
  for coordinates, stays in pairs(fate) do
    local is_there = call('HEXISTS', quarantine, coordinates) == 1
    if stays and not is_there then after = after + 1 end
    if not stays and is_there then after = after - 1 end
  end
  if after > size and after > quarantine_max then return {'FULL', size, 0} end
  return nil
end

-- The value of a whole number's text as two numbers of one sign, cut before its last nine digits; nil for another text.
local function halves(text)
  local sign, digits = string.match(text, '^(-?)([0-9]+)$')
  if not digits or #digits > 19 then return nil end
  local factor = sign == '-' and -1 or 1
  return factor * (tonumber(sub(digits, 1, -10)) or 0), factor * tonumber(sub(digits, -9))
end

-- Whether the sum of two whole numbers, given as texts, is one of 63 bits and a sign: INCRBY must not find out half way.
local function fits(one, other)
  local high, low = halves(one)
  local other_high, other_low = halves(other)
  if not high or not other_high then return false end
  high, low = high + other_high, low + other_low
  if low > 999999999 or (high < 0 and low > 0) then high, low = high + 1, low - 1000000000 end
  if low < -999999999 or (high > 0 and low < 0) then high, low = high - 1, low + 1000000000 end
  if high >= 0 and low >= 0 then return high < INT64_HIGH or (high == INT64_HIGH and low <= INT64_LOW) end
  return high > -INT64_HIGH or (high == -INT64_HIGH and low >= -INT64_LOW - 1)
end

-- Whether a text is a whole number of 18 characters at most: two of them add up to one of 63 bits and a sign.
local function is_short(text)
  return #text <= 18 and string.find(text, '^-?[0-9]+$') ~= nil
end

-- The reply OVERFLOW with the numbers that would exceed 63 bits, else nil: INCRBY must not find out half way.
local function overflowing(keys, first, deltas)
  local reply = {'OVERFLOW'}
  for i, delta in ipairs(deltas) do
    local key = keys[first + i - 1]
    local stored = call('GET', key) or '0'
    if not is_short(stored) or not is_short(delta) then
      if not halves(stored) then error({err = 'CORRUPT ' .. key}) end
      if not fits('0', delta) or not fits(stored, delta) then reply[#reply + 1] = i end
    end
  end
  return #reply > 1 and reply or nil
end

-- The entries that timelines do not have: per timeline members with their scores, and fields with their values.
local function plan_timelines(keys, first, appends, bound)
  local plans, count = {}, 0
  if #appends > 0 and bound < 1 then error({err = 'ERR a timeline without a bound'}) end
  for n, append in ipairs(appends) do
    local events, members, entries = unpack(append)
    local order, moments = keys[first + 2 * n - 2], keys[first + 2 * n - 1]
    local plan, seen = {order = order, moments = moments, members = {}, fields = {}}, {}
    call('ZCARD', order)
    for i, event in ipairs(events) do
      if not seen[event] and call('HEXISTS', moments, event) == 0 then
        seen[event], count = true, count + 1
        plan.members[#plan.members + 1], plan.members[#plan.members + 2] = '0', members[i]
        plan.fields[#plan.fields + 1], plan.fields[#plan.fields + 2] = event, entries[i]
      end
    end
    plans[n] = plan
  end
  return plans, count
end

local function write_timelines(plans, bound)
  for _, plan in ipairs(plans) do
    if #plan.fields > 0 then
      in_chunks('HSET', plan.moments, plan.fields, 1, #plan.fields)
      in_chunks('ZADD', plan.order, plan.members, 1, #plan.members)
      local excess = call('ZCARD', plan.order) - bound
      if excess > 0 then
        local oldest = call('ZRANGE', plan.order, 0, excess - 1)
        for i, member in ipairs(oldest) do oldest[i] = string.match(member, '%z([^%z]*)$') end
        in_chunks('HDEL', plan.moments, oldest, 1, #oldest)
        call('ZREMRANGEBYRANK', plan.order, 0, excess - 1)
      end
    end
  end
end

local function write_parking(quarantine, set_aside, cleared, plans)
  for _, coordinates in ipairs(cleared) do call('HDEL', quarantine, coordinates) end
  for _, plan in ipairs(plans) do
    in_chunks('HDEL', plan.key, plan.out, 1, #plan.out)
    for _, coordinates in pairs(plan.gone) do call('HDEL', quarantine, coordinates) end
  end
  for _, plan in ipairs(plans) do
    for i = 1, #plan.into, 3 do
      call('HSET', plan.key, plan.into[i], plan.into[i + 1])
      call('HSET', quarantine, plan.into[i + 1], plan.into[i + 2])
    end
  end
  for i = 1, #set_aside, 2 do call('HSET', quarantine, set_aside[i], set_aside[i + 1]) end
end

local function write_documents(keys, first, count, documents)
  for from = 1, count, CHUNK / 2 do
    local flat, n = {}, 0
    for i = from, math.min(from + CHUNK / 2 - 1, count) do
      flat[n + 1], flat[n + 2] = keys[first + i - 1], documents[i + 2]
      n = n + 2
    end
    call('MSET', unpack(flat))
  end
end

-- Marks partitions as read to their end, and the bucket as built once all of them are.
local function write_marks(caught_key, built_key, caught, partitions)
  for _, partition in ipairs(caught) do call('HSET', caught_key, partition, '1') end
  if #partitions == 0 then return end
  for _, mark in ipairs(call('HMGET', caught_key, unpack(partitions))) do
    if not mark then return end
  end
  call('SET', built_key, '1')
end

local function write_place(keys, positions)
  local fields, identities = {}, {}
  for i = 1, #positions, 4 do
    fields[#fields + 1], fields[#fields + 2] = positions[i], positions[i + 2]
    if positions[i + 3] ~= '' then
      identities[#identities + 1], identities[#identities + 2] = positions[i], positions[i + 3]
    end
  end
  if #identities > 0 then call('HSET', keys[5], unpack(identities)) end
  if #fields > 0 then call('HSET', keys[1], unpack(fields)) end
end

-- KEYS: positions, quarantine, change channel, fences, identities, partitions caught up, built mark; one document per item; lists
-- that lose members, lists that gain some, numbers; two per timeline (order, entries); one queue per item that has to do with it.
-- ARGV[1]: msgpack (texts only: cmsgpack reads no binary) of
--   {items, {quarantine's bound, queue's, timeline's}, {fence's number, owner} or {}, positions, set aside, removed, added, deltas,
--    appends, queues, caught up, partitions, cleared}, where
--   positions = {partition, expected, next, identity or '', ...}          set aside = {coordinates, entry, ...}
--   cleared   = {coordinates, ...}
--   removed   = {{values of a list, ...}, {member, ...}}, added = {{values of a list, ...}, {'0', member, ...}}
--   deltas    = {whole number, ...}
--   appends   = {{{event id, ...}, {member, ...}, {entry, ...}}, ...}
--   queues    = {{item's number, {released place, coordinates, ...}, {queued place, coordinates, entry, ...}}, ...}
-- ARGV[2]: the guard of each item's base, one behind the other. ARGV[3...]: the items' documents, then messages for the channel.
-- Answers {APPLIED, documents, set aside, queued, appended}, {FENCED, number, owner}, {REGRESSED, partition, position, ...},
-- {CONFLICT, item's number, ...}, {FULL, size, item's number or 0}, {OVERFLOW, delta's number, ...}.
local function apply(keys, args)
  bind()
  local count, bounds, fence, positions, set_aside, removed, added, deltas, appends, queues, caught, partitions, cleared =
    unpack(cmsgpack.unpack(args[1]))
  local documents = 8
  local lists = documents + count
  local numbers = lists + #removed[1] + #added[1]
  local timelines = numbers + #deltas
  local queue_keys = timelines + 2 * #appends
  if #keys ~= queue_keys + #queues - 1 or #args < count + 2 or #args[2] ~= GUARD_BYTES * count then
    return redis.error_reply('ERR the keys do not fit the call')
  end

  local guarded = {}
  for i = 1, #positions, 4 do guarded[#guarded + 1] = positions[i] end
  for _, partition in ipairs(caught) do guarded[#guarded + 1] = partition end
  local conflicts, has_queue = {}, {}
  for _, queue in ipairs(queues) do has_queue[queue[1]] = true end
  local refusal, is_fence_lost = fenced(keys[4], guarded, fence[1], fence[2])
  refusal = refusal or regressed(keys[1], positions, is_fence_lost)
  if refusal then return refusal end
  guard_documents(keys, documents, count, args, args[2], has_queue, conflicts)
  local queue_plans = plan_queues(keys, queue_keys, keys[2], queues, args, conflicts)
  if next(conflicts) then
    local reply = {'CONFLICT'}
    for i = 1, count do
      if conflicts[i] then reply[#reply + 1] = i end
    end
    return reply
  end
  refusal = full(keys[2], set_aside, cleared, queue_plans, bounds[1], bounds[2])
  if refusal then return refusal end
  refusal = overflowing(keys, numbers, deltas)
  if refusal then return refusal end
  look_at_lists(keys, lists, numbers - 1)
  local timeline_plans, appended = plan_timelines(keys, timelines, appends, bounds[3])
  call('HLEN', keys[5])
  call('HLEN', keys[6])

  for i = count + 3, #args do call('SPUBLISH', keys[3], args[i]) end
  write_documents(keys, documents, count, args)
  in_lists('ZREM', keys, lists, removed[1], removed[2])
  in_lists('ZADD', keys, lists + #removed[1], added[1], added[2])
  for i, delta in ipairs(deltas) do
    if call('INCRBY', keys[numbers + i - 1], delta) == 0 then call('DEL', keys[numbers + i - 1]) end
  end
  write_timelines(timeline_plans, bounds[3])
  write_parking(keys[2], set_aside, cleared, queue_plans)
  write_marks(keys[6], keys[7], caught, partitions)
  write_place(keys, positions)
  local queued = 0
  for _, plan in ipairs(queue_plans) do queued = queued + #plan.into / 3 end
  return {'APPLIED', count, #set_aside / 2, queued, appended}
end

-- KEYS[1]: fences. ARGV: owner, now in ms, partitions. Answers the number of the fence that is now stored for all of them.
local function raise_fence(keys, args)
  bind()
  local owner, number = args[1], tonumber(args[2])
  for _, text in ipairs(call('HMGET', keys[1], unpack(args, 3))) do
    if text then number = math.max(number, read_fence(text, keys[1]) + 1) end
  end
  local text, fields = string.format('%.0f', number), {}
  for i = 3, #args do
    fields[#fields + 1], fields[#fields + 2] = args[i], text .. ' ' .. owner
  end
  call('HSET', keys[1], unpack(fields))
  return text
end

-- KEYS: positions, identities, partitions caught up, built mark.
local function standing(keys)
  bind()
  return {call('HGETALL', keys[1]), call('HGETALL', keys[2]), call('HKEYS', keys[3]), call('EXISTS', keys[4])}
end

-- KEYS: the quarantine, queues. Answers per queue {place, coordinates, entry or nil, ...}.
local function queued(keys)
  bind()
  local replies = {}
  for n = 2, #keys do
    local flat, reply = call('HGETALL', keys[n]), {}
    for i = 1, #flat, 2 do
      reply[#reply + 1], reply[#reply + 2] = flat[i], flat[i + 1]
      reply[#reply + 1] = call('HGET', keys[1], flat[i + 1])
    end
    replies[n - 1] = reply
  end
  return replies
end

-- KEYS: the sorted set, the built mark; of a timeline also its entries. ARGV: prefix of the documents' keys, low and high bound
-- (exclusive; empty: none), limit, 1 to go from the high end down. Answers {built, rows in all, rows up to the low bound, rows
-- between, rows from the high bound on, members, documents or entries}, members in the order they were walked.
local function page(keys, args)
  bind()
  local list, prefix, low, high, limit, down = keys[1], args[1], args[2], args[3], tonumber(args[4]), args[5] == '1'
  local built, total = call('EXISTS', keys[2]), call('ZCARD', list)
  if total == 0 then return {built, 0, 0, 0, 0, {}, {}} end
  local from, to, below, above = '-', '+', 0, 0
  if low ~= '' then
    from = '(' .. low
    below = call('ZLEXCOUNT', list, '-', '[' .. low)
  end
  if high ~= '' then
    to = '(' .. high
    above = call('ZLEXCOUNT', list, '[' .. high, '+')
  end
  local between = math.max(0, total - below - above)
  if between == 0 or limit == 0 then return {built, total, below, between, above, {}, {}} end
  local members
  if down then
    members = call('ZRANGE', list, to, from, 'BYLEX', 'REV', 'LIMIT', 0, limit)
  else
    members = call('ZRANGE', list, from, to, 'BYLEX', 'LIMIT', 0, limit)
  end
  local named = {}
  for i, member in ipairs(members) do named[i] = prefix .. string.match(member, '%z([^%z]*)$') end
  local values = keys[3] and call('HMGET', keys[3], unpack(named)) or call('MGET', unpack(named))
  return {built, total, below, between, above, members, values}
end

-- KEYS: the built mark, then sorted sets. ARGV: prefix of the documents' keys, limit, 1 to go from the high end down. Answers
-- {built, members of each set in that order (or the refusal of one), documents}: of a set one member more than the limit when it
-- has more, of the documents those of all sets one behind the other, without that one.
local function rows(keys, args)
  bind()
  local prefix, limit, down = args[1], tonumber(args[2]), args[3] == '1'
  local lists, named, values = {}, {}, {}
  for n = 2, #keys do
    local members
    if down then
      members = redis.pcall('ZRANGE', keys[n], 0, limit, 'REV')
    else
      members = redis.pcall('ZRANGE', keys[n], 0, limit)
    end
    lists[n - 1] = members
    for i = 1, members.err and 0 or math.min(#members, limit) do
      named[#named + 1] = prefix .. string.match(members[i], '%z([^%z]*)$')
    end
  end
  for from = 1, #named, 1000 do
    for i, value in ipairs(call('MGET', unpack(named, from, math.min(from + 999, #named)))) do
      values[from + i - 1] = value
    end
  end
  return {call('EXISTS', keys[1]), lists, values}
end

-- KEYS: the sorted set, the built mark. ARGV[1]: rank of the member wanted, 0 the first, -1 the last. Answers {built, member}.
local function extreme(keys, args)
  bind()
  return {call('EXISTS', keys[2]), call('ZRANGE', keys[1], args[1], args[1])[1] or false}
end

redis.register_function{function_name = 'headrace_apply_@DIGEST@', callback = apply}
redis.register_function{function_name = 'headrace_fence_@DIGEST@', callback = raise_fence}
redis.register_function{function_name = 'headrace_standing_@DIGEST@', callback = standing, flags = {'no-writes'}}
redis.register_function{function_name = 'headrace_queued_@DIGEST@', callback = queued, flags = {'no-writes'}}
redis.register_function{function_name = 'headrace_page_@DIGEST@', callback = page, flags = {'no-writes'}}
redis.register_function{function_name = 'headrace_rows_@DIGEST@', callback = rows, flags = {'no-writes'}}
redis.register_function{function_name = 'headrace_extreme_@DIGEST@', callback = extreme, flags = {'no-writes'}}
