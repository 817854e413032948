-- Appends events to a machine's stream, if this publisher owns it; without events, a sign of life.
-- One script, so that no event is left out between two others, whatever fails.
--
-- KEYS: lock, machines, events, backlog, sessions
-- ARGV: token, lock's milliseconds, machine (empty until its earlier prompts are there),
--       most entries, most prompts, the entry before;
--       then for each event: id, target, type, time, session, data
-- Returns the owner and the milliseconds that its lock still lasts, if it is another one.

local owner = redis.call('get', KEYS[1])
if owner and owner ~= ARGV[1] then
  return {owner, redis.call('pttl', KEYS[1])}
end
redis.call('set', KEYS[1], ARGV[1], 'px', ARGV[2])
if ARGV[3] ~= '' then
  local now = redis.call('time')
  redis.call('hset', KEYS[2], ARGV[3], string.format('%d%03d', now[1], math.floor(now[2] / 1000)))
end

-- Adds an entry. Returns whether it is new, or the error. An entry with an id that is not above the
-- last one was added before.
local function add(...)
  local id = redis.pcall('xadd', ...)
  if type(id) ~= 'table' then return true end
  return not string.find(id.err, 'equal or smaller', 1, true) and id
end

local before = ARGV[6]
for at = 7, #ARGV, 6 do
  local id, target, kind = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local time, session, data = ARGV[at + 3], ARGV[at + 4], ARGV[at + 5]
  if target == 'stream' then
    local is_new = add(KEYS[3], 'maxlen', '~', ARGV[4], id, 'type', kind, 'ts', time,
      'session', session, 'before', before, 'data', data)
    if type(is_new) == 'table' then return is_new end
    before = id
    if is_new and kind == 'session.changed' then
      redis.call('hset', KEYS[5], session, id .. ' ' .. time .. ' ' .. data)
    elseif is_new and kind == 'session.removed' then
      redis.call('hdel', KEYS[5], session)
    end
  end
  if kind == 'history.append' then
    local is_new = add(KEYS[4], 'maxlen', '~', ARGV[5], id, 'ts', time, 'session', session,
      'data', data)
    if type(is_new) == 'table' then return is_new end
  end
end
return false
