-- standins.lua - what Roblox gives a script, for plain Lua 5.4: task, and HttpService over
-- LuaSocket and lua-cjson.  A request suspends its coroutine, as it does there.
local socket = require("socket")
local json = require("cjson")

local Standins = {}

-- --- task -----------------------------------------------------------------------------------------

-- A scheduler: coroutines that wait for a time or for a socket.  clock() is in seconds; sleep(s,
-- readers, writers) lets time pass and returns the sockets that are ready.
function Standins.scheduler(clock, sleep)
    local self = { sleepers = {}, waiting = {} }

    local function step(thread, ...)
        local ok, message = coroutine.resume(thread, ...)
        if not ok then
            error(debug.traceback(thread, message), 0)
        end
    end

    self.task = {
        spawn = function(fn, ...)
            local thread = type(fn) == "thread" and fn or coroutine.create(fn)
            step(thread, ...)
            return thread
        end,
        wait = function(seconds)
            local from = clock()
            table.insert(self.sleepers, { at = from + (seconds or 0), thread = coroutine.running() })
            coroutine.yield()
            return clock() - from
        end,
    }

    -- Suspends the coroutine until the socket can be read, or written.
    function self.wait_for(which, how)
        table.insert(self.waiting, { socket = which, how = how, thread = coroutine.running() })
        coroutine.yield()
    end

    local function run_sleepers()
        local due = {}
        local left = {}
        for _, sleeper in ipairs(self.sleepers) do
            table.insert(sleeper.at <= clock() and due or left, sleeper)
        end
        self.sleepers = left
        table.sort(due, function(a, b) return a.at < b.at end)
        for _, sleeper in ipairs(due) do
            step(sleeper.thread)
        end
        return #due > 0
    end

    local function run_sockets(ready)
        local left = {}
        local due = {}
        for _, one in ipairs(self.waiting) do
            table.insert(ready[one.how][one.socket] and due or left, one)
        end
        self.waiting = left
        for _, one in ipairs(due) do
            step(one.thread)
        end
    end

    -- Runs everything until is_over() says so, or nothing is left to wait for.
    function self.run(is_over)
        while not is_over() and (#self.sleepers > 0 or #self.waiting > 0) do
            if not run_sleepers() then
                local soonest = math.huge
                for _, sleeper in ipairs(self.sleepers) do
                    soonest = math.min(soonest, sleeper.at)
                end
                local readers, writers = {}, {}
                for _, one in ipairs(self.waiting) do
                    table.insert(one.how == "read" and readers or writers, one.socket)
                end
                local readable, writable = sleep(math.max(soonest - clock(), 0), readers, writers)
                run_sockets({ read = readable, write = writable })
            end
        end
    end

    return self
end

-- Of this machine's time and sockets.
function Standins.real()
    return Standins.scheduler(socket.gettime, function(seconds, readers, writers)
        local timeout = seconds < math.huge and seconds or nil
        if #readers == 0 and #writers == 0 then
            socket.sleep(timeout or 0)
            return {}, {}
        end
        return socket.select(readers, writers, timeout)
    end)
end

-- Of a time that passes as soon as everybody waits for it.
function Standins.fake()
    local now = 1000
    local scheduler = Standins.scheduler(function() return now end, function(seconds)
        assert(seconds < math.huge, "everybody waits for something that never comes")
        now = now + seconds
        return {}, {}
    end)
    scheduler.clock = function() return now end
    return scheduler
end

-- --- HttpService ----------------------------------------------------------------------------------

local Http = {}
Http.__index = Http

function Standins.http(scheduler)
    return setmetatable({ scheduler = scheduler }, Http)
end

function Http:JSONEncode(value)
    return json.encode(value)
end

function Http:JSONDecode(text)
    return json.decode(text)
end

function Http:_send(client, text)
    local at = 1
    while at <= #text do
        local sent, problem, partly = client:send(text, at)
        at = (sent or partly or at - 1) + 1
        if problem == "timeout" then
            self.scheduler.wait_for(client, "write")
        elseif problem then
            error(problem, 0)
        end
    end
end

-- All bytes until the peer closes.
function Http:_receive(client)
    local parts = {}
    while true do
        local bytes, problem, part = client:receive(65536)
        table.insert(parts, bytes or part or "")
        if problem == "closed" then
            return table.concat(parts)
        elseif problem == "timeout" then
            self.scheduler.wait_for(client, "read")
        elseif problem then
            error(problem, 0)
        end
    end
end

local function parse(text)
    local head, body = string.match(text, "^(.-)\r\n\r\n(.*)$")
    if not head then
        error("HttpError: ConnectFail", 0)
    end
    local status, reason = string.match(head, "^HTTP/1%.1 (%d+) ([^\r]*)")
    local headers = {}
    for name, value in string.gmatch(head, "\r\n([^:]+): ([^\r]*)") do
        headers[string.lower(name)] = value
    end
    assert(tonumber(headers["content-length"]) == #body, "the body is not whole")
    local code = tonumber(status)
    return { Success = code >= 200 and code < 300, StatusCode = code, StatusMessage = reason, Headers = headers, Body = body }
end

function Http:RequestAsync(request)
    local host, port, path = string.match(request.Url, "^http://([^:/]+):(%d+)(/.*)$")
    local client = socket.tcp()
    client:settimeout(0)
    local _, problem = client:connect(host, tonumber(port))
    if problem == "timeout" then
        self.scheduler.wait_for(client, "write")
    end
    local lines = { request.Method .. " " .. path .. " HTTP/1.1", "Host: " .. host, "Connection: close" }
    for name, value in pairs(request.Headers) do
        table.insert(lines, name .. ": " .. value)
    end
    if request.Body then
        table.insert(lines, "Content-Length: " .. #request.Body)
    end
    local ok, result = pcall(function()
        self:_send(client, table.concat(lines, "\r\n") .. "\r\n\r\n" .. (request.Body or ""))
        return parse(self:_receive(client))
    end)
    client:close()
    if not ok then
        error(result, 0)
    end
    return result
end

return Standins
