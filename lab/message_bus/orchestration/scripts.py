"""What has to happen in Redis all at once or not at all, as Lua scripts.

A task's id is always in exactly one place: the queue, the set of tasks that wait for another one, or the processing
list of the pod that works on it. A script moves it, so that no kill at any instant can lose it or double it.
"""

# Take more events in hand, up to a number.
TAKE_EVENTS = """
local event_queue, events = unpack(KEYS)
local taken = {}
for _ = 1, tonumber(ARGV[1]) do
  local event = redis.call('LMOVE', event_queue, events, 'RIGHT', 'LEFT')
  if not event then break end
  table.insert(taken, event)
end
return taken
"""

# Take events off the pod's list and put their tasks into the queue, unless an event was seen before, is in other hands
# by now, or the queue is full. What became of each, in their order; four arguments describe one of them.
ENQUEUE = """
local queue, waiting, tasks, dependencies, events = unpack(KEYS)
local capacity, seen_seconds = unpack(ARGV)
local outcome = {}
local function enqueue(event, id, task, dependency)
  if redis.call('LREM', events, 1, event) == 0 then return 'duplicate' end
  if redis.call('LLEN', queue) + redis.call('SCARD', waiting) >= tonumber(capacity) then return 'rejected' end
  if not redis.call('SET', 'orchestration:seen:' .. id, 1, 'NX', 'EX', seen_seconds) then return 'duplicate' end
  if dependency ~= '' then redis.call('HSET', dependencies, id, dependency) end
  redis.call('HSET', tasks, id, task)
  redis.call('LPUSH', queue, id)
  return 'queued'
end
for first = 3, #ARGV, 4 do
  table.insert(outcome, enqueue(ARGV[first], ARGV[first + 1], ARGV[first + 2], ARGV[first + 3]))
end
return outcome
"""

# Begin as many tasks as there is room for: first one that is in hand already, if there is, then others of the queue.
# Some turn out to wait for another task; what was cancelled or taken over is passed by.
START = """
local queue, processing, waiting, tasks, dependencies = unpack(KEYS)
local id, room, pod, now = unpack(ARGV)
local outcome, started = {}, 0
if id == '' or not redis.call('LPOS', processing, id) then
  id = redis.call('LMOVE', queue, processing, 'RIGHT', 'LEFT')
end
while id do
  local task = redis.call('HGET', tasks, id)
  local dependency = redis.call('HGET', dependencies, id)
  if not task then
    redis.call('LREM', processing, 1, id)
  elseif dependency and redis.call('HEXISTS', tasks, dependency) == 1 then
    redis.call('LREM', processing, 1, id)
    redis.call('SADD', waiting, id)
    table.insert(outcome, {'waiting', id, dependency})
  else
    task = cjson.decode(task)
    task.status, task.pod, task.started_at, task.attempts = 'running', pod, tonumber(now), task.attempts + 1
    task = cjson.encode(task)
    redis.call('HSET', tasks, id, task)
    table.insert(outcome, {'started', id, task})
    started = started + 1
  end
  if started >= tonumber(room) then break end
  id = redis.call('LMOVE', queue, processing, 'RIGHT', 'LEFT')
end
return outcome
"""

# Forget a task that ended; 0 if it is not this pod's any more (another one recovered it): then it does not count.
FINISH = """
local processing, tasks, dependencies, cancelled, completed = unpack(KEYS)
local id, succeeded = unpack(ARGV)
if redis.call('LREM', processing, 1, id) == 0 then return 0 end
redis.call('HDEL', tasks, id)
redis.call('HDEL', dependencies, id)
redis.call('SREM', cancelled, id)
if succeeded == '1' then redis.call('INCR', completed) end
return 1
"""

# Queue a task again whose attempt failed; 0 if it is not this pod's any more.
RETRY = """
local processing, queue, tasks = unpack(KEYS)
local id = ARGV[1]
if redis.call('LREM', processing, 1, id) == 0 then return 0 end
local task = cjson.decode(redis.call('HGET', tasks, id))
task.status, task.pod, task.started_at = 'pending', nil, nil
redis.call('HSET', tasks, id, cjson.encode(task))
redis.call('LPUSH', queue, id)
return 1
"""

# Give a pod's tasks back to the front of the queue, but for those that it still works on; their number.
PUT_BACK_TASKS = """
local processing, queue, tasks = unpack(KEYS)
local keep, returned = {}, 0
for _, id in ipairs(ARGV) do keep[id] = true end
for _, id in ipairs(redis.call('LRANGE', processing, 0, -1)) do
  if not keep[id] then
    redis.call('LREM', processing, 1, id)
    local task = redis.call('HGET', tasks, id)
    if task then
      task = cjson.decode(task)
      task.status, task.pod, task.started_at = 'pending', nil, nil
      redis.call('HSET', tasks, id, cjson.encode(task))
      redis.call('RPUSH', queue, id)
      returned = returned + 1
    end
  end
end
return returned
"""

# Give a pod's events back to the bus.
PUT_BACK_EVENTS = """
local events, event_queue = unpack(KEYS)
while redis.call('LMOVE', events, event_queue, 'LEFT', 'RIGHT') do end
"""

# Queue again what waited for a task that is no more, or whose dependency was reset.
RELEASE = """
local waiting, queue, tasks, dependencies = unpack(KEYS)
for _, id in ipairs(redis.call('SMEMBERS', waiting)) do
  local dependency = redis.call('HGET', dependencies, id)
  if not dependency or redis.call('HEXISTS', tasks, dependency) == 0 then
    redis.call('SREM', waiting, id)
    redis.call('LPUSH', queue, id)
  end
end
"""

# Cancel a task: at once if nobody works on it, else by asking the pod that does.
CANCEL = """
local queue, waiting, tasks, dependencies, cancelled = unpack(KEYS)
local id = ARGV[1]
if redis.call('HEXISTS', tasks, id) == 0 then return 'unknown' end
if redis.call('LREM', queue, 1, id) + redis.call('SREM', waiting, id) > 0 then
  redis.call('HDEL', tasks, id)
  redis.call('HDEL', dependencies, id)
  return 'cancelled'
end
redis.call('SADD', cancelled, id)
return 'cancelling'
"""

# Throw away everything that is pending, and ask the pods to cancel what they run and would never end.
DRAIN = """
local queue, waiting, tasks, dependencies, cancelled, event_queue, dead_letters, pods = unpack(KEYS)
for _, pod in ipairs(redis.call('SMEMBERS', pods)) do redis.call('DEL', 'event:processing:' .. pod) end
for _, id in ipairs(redis.call('LRANGE', queue, 0, -1)) do redis.call('HDEL', tasks, id) end
for _, id in ipairs(redis.call('SMEMBERS', waiting)) do redis.call('HDEL', tasks, id) end
redis.call('DEL', queue, waiting, dependencies, cancelled, event_queue, dead_letters)
for _, task in ipairs(redis.call('HVALS', tasks)) do
  task = cjson.decode(task)
  if task.hangs then redis.call('SADD', cancelled, task.id) end
end
"""
