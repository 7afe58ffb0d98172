-- Routes that begin in the past, with `since`.
--
-- The first run that finds such a route keeps in `kv` where the journal ended then: the boundary. Events up to it are left to the
-- catching up, which reads them from the journal and posts them, a few in each run, with how far it has come in the same commit;
-- events after it are posted by the handlers, as of any route. So each event is posted once, whatever is restarted in between.
-- While it catches up, new events go out beside the old ones.
--
-- The runs are jobs, each made by the commit of the one before. `turn` counts them: a second job of one turn does nothing, so
-- that one can be made at each start without knowing whether the last one still waits.

local MOST = 16

local this = {}
local groups, count = {}, 0

local function moment(since, which)
  if type(since) == "number" then return since end
  local fine = type(since) == "string"
    and ((since:match("^evt_%w+$") and #since == 30) or wharf.time.parse(since) ~= nil)
  if fine then return since end
  error(which .. ": since is the id of an event, a time such as \"2026-11-01T00:00:00Z\", or milliseconds since 1970", 0)
end

-- The group of a route: what goes to one endpoint from one place on is caught up together.
function this.group(endpoint, since, which)
  local key = "since/" .. endpoint .. "/" .. tostring(moment(since, which))
  if not groups[key] then
    count = count + 1
    if count > MOST then error(which .. ": at most " .. MOST .. " routes begin in the past", 0) end
    groups[key] = { key = key, endpoint = endpoint, since = since }
  end
  return groups[key]
end

local function begin(group)
  return { boundary = wharf.journal({ limit = 0 }).last, cursor = group.since, turn = 1 }
end

local function next_run(group, state, wait)
  -- With a chat of its own, so that it waits for nobody and nobody for it.
  wharf.later(wait, "catch_up", { chat = group.key, key = group.key, turn = state.turn })
end

-- Whether an event belongs to the past of a group, and is left to the catching up.
function this.has(group, event)
  if not group.boundary then
    local state = wharf.kv.get(group.key)
    if state then
      -- It never changes once it is committed.
      group.boundary = state.boundary
    else
      state = begin(group)
      wharf.kv.set(group.key, state)
      next_run(group, state, 0)
      return event.event_id <= state.boundary
    end
  end
  return event.event_id <= group.boundary
end

-- One run: posts what fits, and says how far it came.
local function go_on(group, state, bodies, post)
  local page = wharf.journal { since = state.cursor, to = state.boundary, limit = MOST }
  if page.missing_before then
    wharf.log.warn("the journal does not hold what came before " .. page.missing_before
      .. " any more; [endpoint." .. group.endpoint .. "] does not get what is missing since " .. tostring(state.cursor))
  end
  local posted = 0
  for _, event in page.events do
    local made = bodies(group, event)
    if posted > 0 and posted + #made > MOST then return false end
    post(group.endpoint, made, MOST, group.key)
    posted = posted + #made
    state.cursor = event.event_id
  end
  state.cursor = page.next or state.cursor
  return not page.more
end

-- Registers what is needed. `bodies` answers what the routes of a group post of an event, `post` posts a list of such.
function this.start(bodies, post)
  if count == 0 then return end

  wharf.on("job.catch_up", function(job)
    local group = groups[job.key]
    -- The route has gone, or this turn was taken already.
    if not group then return end
    local state = wharf.kv.get(group.key)
    if not state then
      state = begin(group)
    elseif state.done or state.turn ~= job.turn then
      return
    end
    local wait = 0
    if not wharf.webhook.has(group.endpoint) then
      wharf.log.error("there is no [endpoint." .. group.endpoint .. "] in config.toml; the catching up waits for it")
      wait = 30
    else
      state.done = go_on(group, state, bodies, post)
    end
    state.turn = state.turn + 1
    wharf.kv.set(group.key, state)
    if state.done then
      wharf.log.info("caught up: [endpoint." .. group.endpoint .. "] has all since " .. tostring(group.since))
    else
      next_run(group, state, wait)
    end
  end)

  wharf.after(0, function()
    for _, entry in wharf.kv.list("since/") do
      if not groups[entry.key] then wharf.kv.delete(entry.key) end
    end
    for key, group in groups do
      local state = wharf.kv.get(key)
      if not state or not state.done then next_run(group, state or { turn = 0 }, 0) end
    end
  end)
end

return this
