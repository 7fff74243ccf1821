--[[
carillon.lua - events of a Carillon server for Roblox, which can only ask.

    local Carillon = require(script.Parent.carillon)
    local client = Carillon.new({
        url = "https://realtime.example.com",
        token = function() return fetchToken() end,
        http = game:GetService("HttpService"),
        task = task,
    })
    client:on("private-roblox-7", "sync_completed", function(data) print(data.action) end)
    client:open({ "private-roblox-7" })

One loop polls all channels.  Each poll says how far the client has come in each of them, so what
is published between two polls comes with the next one, once and in order; where that cannot be,
on_gap is called.  All requests of a client together stay within its budget for a minute.

It is written in what Luau and Lua 5.4 have in common.  Functions that talk to the server yield,
as RequestAsync does: call them where yielding is allowed.
]]

local Carillon = {}
Carillon.__index = Carillon

local MINUTE = 60 -- seconds
local POLLED_SHARE = 0.8 -- of the budget: the rest is left for sending

local function nothing() end

--[[
Options:
    url       of the server, without a slash at the end
    token     a string, or a function that returns one: called at first and whenever the server
              says that the last one is no longer good
    http      game:GetService("HttpService")
    task      task
    budget    requests in a minute, 450: Roblox allows a game server 500, for all its scripts
    wait      seconds that the server may hold a poll open, 25
    attempts  how often open and send try, 5
    prefix    of the paths, "/api/v1/pusher"
    clock     os.clock
    random    math.random
]]
function Carillon.new(options)
    local self = setmetatable({}, Carillon)
    self.url = options.url
    self.prefix = options.prefix or "/api/v1/pusher"
    self.http = options.http
    self.task = options.task
    self.clock = options.clock or os.clock
    self.random = options.random or math.random
    self.budget = options.budget or 450
    self.wait = options.wait or 25
    self.attempts = options.attempts or 5
    self.provider = options.token
    self.token = nil
    self.is_closed = false
    self.is_polling = false
    self.positions = {} -- channel: {epoch, offset}
    self.handlers = {} -- channel: event: list of functions
    self.gap_handler = nothing
    self.error_handler = nothing
    self.requests = {} -- when each of the last minute began
    self.first_request = 1
    self.last_request = 0
    self.poll_s = 0.25
    self.n_sent = 0
    return self
end

-- What comes: fn(data, event, channel, position).  "*" stands for any channel or any event.
-- Returns a function that takes it back.
function Carillon:on(channel, event, fn)
    local events = self.handlers[channel] or {}
    local list = events[event] or {}
    self.handlers[channel] = events
    events[event] = list
    table.insert(list, fn)
    return function()
        for i = #list, 1, -1 do
            if list[i] == fn then
                table.remove(list, i)
                return
            end
        end
    end
end

-- fn(channel): events of it were missed for good.  What is current has to be asked for otherwise.
function Carillon:on_gap(fn)
    self.gap_handler = fn
end

-- fn(message): something went wrong, and is tried again where that makes sense.
function Carillon:on_error(fn)
    self.error_handler = fn
end

-- --- the budget ----------------------------------------------------------------------------------

-- Waits until one request more is within the limit for every span of a minute.
function Carillon:_take(limit)
    while true do
        local now = self.clock()
        local oldest = self.requests[self.first_request]
        while oldest and now - oldest >= MINUTE do
            self.requests[self.first_request] = nil
            self.first_request = self.first_request + 1
            oldest = self.requests[self.first_request]
        end
        if self.last_request - self.first_request + 1 < limit then
            self.last_request = self.last_request + 1
            self.requests[self.last_request] = now
            return
        end
        -- The one whose place becomes free; a little longer, so that it is free then.
        local next_free = self.requests[self.last_request - limit + 1]
        self.task.wait(math.max(next_free + MINUTE - now, 0) + 0.01)
    end
end

-- --- requests ------------------------------------------------------------------------------------

local function header(headers, wanted)
    for name, value in pairs(headers or {}) do
        if string.lower(name) == wanted then
            return value
        end
    end
    return nil
end

function Carillon:_token()
    if not self.token then
        if type(self.provider) == "function" then
            self.token = self.provider()
        else
            self.token = self.provider
        end
    end
    return self.token
end

-- One request.  Returns its status, 0 when there was no answer; the decoded body, or a message;
-- and the seconds after which the server wants to be asked again, or nil.
function Carillon:_request(method, path, body, limit)
    local has_token, token = pcall(self._token, self)
    if not has_token or not token then
        return 0, "there is no token: " .. tostring(token), nil
    end
    local request = {
        Url = self.url .. self.prefix .. path,
        Method = method,
        Headers = { ["Authorization"] = "Bearer " .. token },
    }
    if body then
        request.Headers["Content-Type"] = "application/json"
        request.Body = self.http:JSONEncode(body)
    end
    self:_take(limit)
    if self.is_closed then
        return 0, "the client is closed", nil
    end
    local is_answered, answer = pcall(self.http.RequestAsync, self.http, request)
    if not is_answered then
        return 0, tostring(answer), nil
    end
    if answer.StatusCode == 401 and self.token == token then
        self.token = nil -- the next request asks for another
    end
    local is_json, decoded = pcall(self.http.JSONDecode, self.http, answer.Body)
    if not is_json then
        decoded = answer.Body
    end
    return answer.StatusCode, decoded, tonumber(header(answer.Headers, "retry-after"))
end

local function describe(what, status, body)
    local detail = body
    if type(body) == "table" then
        detail = body.detail
        if type(detail) == "table" and type(detail[1]) == "table" then
            detail = detail[1].msg -- 422: the first fault
        end
    end
    if status == 0 then
        return what .. ": " .. tostring(detail)
    end
    return string.format("%s: status %.0f, %s", what, status, tostring(detail))
end

-- Seconds before the next try: longer each time, never earlier than the server says, and not at
-- the same time as everybody else.
function Carillon:_pause(failures, retry_after)
    if retry_after then
        return retry_after + self.random()
    end
    local most = math.min(30, 2 ^ (failures - 1))
    return most * (0.5 + self.random() / 2)
end

local function may_try_again(status)
    return status == 0 or status == 401 or status == 429 or status >= 500
end

-- Tries until there is an answer that another try would not change.
function Carillon:_insist(what, method, path, body)
    local failures = 0
    local renewed = false
    while true do
        local status, answer, retry_after = self:_request(method, path, body, self.budget)
        if status >= 200 and status < 300 then
            return true, answer
        end
        local message = describe(what, status, answer)
        failures = failures + 1
        if self.is_closed or not may_try_again(status) or failures >= self.attempts then
            return false, message
        end
        if status == 401 and not renewed then
            renewed = true -- with another token, at once
        else
            self.error_handler(message)
            self.task.wait(self:_pause(failures, retry_after))
        end
    end
end

-- --- hearing -------------------------------------------------------------------------------------

function Carillon:_call(fn, ...)
    local arguments = table.pack(...)
    self.task.spawn(function()
        local ok, message = pcall(fn, table.unpack(arguments, 1, arguments.n))
        if not ok then
            self.error_handler("a handler failed: " .. tostring(message))
        end
    end)
end

function Carillon:_tell(event, data)
    local position = { epoch = event.epoch, offset = event.offset }
    for _, channel in ipairs({ event.channel, "*" }) do
        local events = self.handlers[channel] or {}
        for _, name in ipairs({ event.event, "*" }) do
            -- A copy: a handler may take itself back.
            for _, fn in ipairs({ table.unpack(events[name] or {}) }) do
                self:_call(fn, data, event.event, event.channel, position)
            end
        end
    end
end

-- data is a string, as everywhere in the protocol; nearly always it is JSON.
function Carillon:_decode(data)
    if type(data) ~= "string" then
        return data
    end
    local ok, decoded = pcall(self.http.JSONDecode, self.http, data)
    if ok then
        return decoded
    end
    return data
end

function Carillon:_hear(event)
    local at = self.positions[event.channel]
    if not at or self.is_closed then
        return -- it has left the channel meanwhile
    end
    if at.epoch == event.epoch and event.offset <= at.offset then
        return -- it has been here
    end
    self.positions[event.channel] = { epoch = event.epoch, offset = event.offset }
    self:_tell(event, self:_decode(event.data))
end

function Carillon:_take_answer(answer)
    for _, event in ipairs(answer.events) do
        self:_hear(event)
    end
    -- A channel that was left and opened again during the poll is ahead of its answer.
    for channel, position in pairs(answer.positions) do
        local at = self.positions[channel]
        if at and at.epoch == position.epoch and at.offset < position.offset then
            self.positions[channel] = position
        end
    end
    for _, channel in ipairs(answer.gap or {}) do
        if self.positions[channel] then
            self.positions[channel] = answer.positions[channel]
            self:_call(self.gap_handler, channel)
        end
    end
    self.poll_s = math.max(answer.poll_ms / 1000, 0.05)
end

local function encode(text)
    return (string.gsub(text, "[^%w%-_%.~]", function(char)
        return string.format("%%%02X", string.byte(char))
    end))
end

function Carillon:_query()
    local parts = { string.format("wait=%.0f", self.wait) }
    for channel, position in pairs(self.positions) do
        local since = string.format("%s:%s:%.0f", channel, position.epoch, position.offset)
        table.insert(parts, "since=" .. encode(since))
    end
    table.sort(parts)
    return table.concat(parts, "&")
end

-- The histories of before are not there any more: what is now, and everything of before is missed.
function Carillon:_reopen()
    local channels = {}
    for channel in pairs(self.positions) do
        table.insert(channels, channel)
    end
    local body = { channels = channels }
    local status, answer, retry_after = self:_request("POST", "/poll/open", body, self.budget)
    if status == 200 and not self.is_closed then
        for _, channel in ipairs(channels) do
            if self.positions[channel] then
                self.positions[channel] = answer.positions[channel]
                self:_call(self.gap_handler, channel)
            end
        end
    end
    return status, answer, retry_after
end

-- One poll.  Returns its status, and what _request says of it.
function Carillon:_poll()
    local limit = math.max(math.floor(self.budget * POLLED_SHARE), 1)
    local status, answer, retry_after = self:_request("GET", "/poll?" .. self:_query(), nil, limit)
    if self.is_closed then
        return 200, nil, nil
    end
    if status == 200 then
        self:_take_answer(answer)
    elseif status == 404 then
        return self:_reopen()
    end
    return status, answer, retry_after
end

function Carillon:_run()
    local failures = 0
    while not self.is_closed and next(self.positions) do
        local began = self.clock()
        local status, answer, retry_after = self:_poll()
        if status == 200 then
            failures = 0
            local left = began + self.poll_s - self.clock()
            if not self.is_closed and left > 0 then
                self.task.wait(left)
            end
        else
            failures = failures + 1
            -- A token has its time: with another one at once, but only if that helps.
            if status ~= 401 or failures > 1 then
                self.error_handler(describe("poll", status, answer))
                self.task.wait(self:_pause(failures, retry_after))
            end
        end
    end
    self.is_polling = false
end

-- --- the rest of the door ------------------------------------------------------------------------

-- Joins these channels, beside those of before, and begins to poll.  True, or false and why not.
-- A channel that is opened while a poll is under way is heard from the next poll on, and nothing
-- of it is missed meanwhile.
function Carillon:open(channels)
    local ok, answer = self:_insist("open", "POST", "/poll/open", { channels = channels })
    if not ok or self.is_closed then
        return false, ok and "the client is closed" or answer
    end
    for channel, position in pairs(answer.positions) do
        if not self.positions[channel] then
            self.positions[channel] = position
        end
    end
    self.poll_s = math.max(answer.poll_ms / 1000, 0.05)
    if not self.is_polling then
        self.is_polling = true
        self.task.spawn(function()
            self:_run()
        end)
    end
    return true
end

-- Hears no more of a channel.
function Carillon:leave(channel)
    self.positions[channel] = nil
end

function Carillon:_name()
    self.n_sent = self.n_sent + 1
    if self.http.GenerateGUID then
        return self.http:GenerateGUID(false)
    end
    return string.format("%.0f-%.0f-%.0f", self.clock() * 1000, self.random() * 1e9, self.n_sent)
end

-- Sends a message: on the channel, or with nil on the user's own.  True and the server's answer,
-- or false and why not.  However often it has to be tried, it is published once.
function Carillon:send(channel, message_type, payload)
    local body = { message_type = message_type, channel = channel, idempotency_key = self:_name() }
    if payload and next(payload) ~= nil then
        body.payload = payload -- an empty table would become a list
    end
    return self:_insist("send", "POST", "/message", body)
end

-- Nothing is heard any more, and nothing can be sent.  A poll that is under way ends by itself.
function Carillon:close()
    self.is_closed = true
end

return Carillon
