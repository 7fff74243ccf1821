-- module.lua - the module against a server made of functions, in a time that passes by itself.
-- Prints "ok NAME" or "not ok NAME: WHY" for each test, and ends with their numbers.
local folder = string.match(arg[0], "^(.*)/[^/]*$")
package.path = folder .. "/?.lua;" .. folder .. "/../?.lua;" .. package.path
local json = require("cjson")
local Carillon = require("carillon")
local Standins = require("standins")

local n_passed, n_failed = 0, 0

local function test(name, fn)
    local ok, message = xpcall(fn, debug.traceback)
    if ok then
        n_passed = n_passed + 1
        print("ok " .. name)
    else
        n_failed = n_failed + 1
        print("not ok " .. name .. ": " .. string.gsub(message, "\n", " | "))
    end
end

local function show(value)
    if type(value) ~= "table" then
        return type(value) == "number" and string.format("%.10g", value) or tostring(value)
    end
    local keys, parts = {}, {}
    for key in pairs(value) do
        table.insert(keys, key)
    end
    table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
    for _, key in ipairs(keys) do
        table.insert(parts, show(key) .. "=" .. show(value[key]))
    end
    return "{" .. table.concat(parts, ",") .. "}"
end

local function equal(is, wanted)
    if show(is) ~= show(wanted) then
        error(show(is) .. " is not " .. show(wanted), 2)
    end
end

-- --- a server --------------------------------------------------------------------------------------

-- server.answer(request, n) returns status, body, headers; it may wait.  Every request is noted.
local function rig(options)
    local scheduler = Standins.fake()
    local server = { requests = {}, scheduler = scheduler, errors = {}, gaps = {}, heard = {} }
    local http = {}
    function http:JSONEncode(value) return json.encode(value) end
    function http:JSONDecode(text) return json.decode(text) end
    function http:RequestAsync(request)
        local note = { at = scheduler.clock(), method = request.Method, url = request.Url, token = request.Headers.Authorization, body = request.Body and json.decode(request.Body) }
        table.insert(server.requests, note)
        local status, body, headers = server.answer(note, #server.requests)
        if not status then
            error("HttpError: ConnectFail", 0)
        end
        return { StatusCode = status, Success = status == 200, Headers = headers or {}, Body = type(body) == "string" and body or json.encode(body) }
    end
    server.http = http
    local all = { url = "http://server", token = "t1", http = http, task = scheduler.task, clock = scheduler.clock, random = function() return 0.5 end }
    for name, value in pairs(options or {}) do
        all[name] = value
    end
    server.client = Carillon.new(all)
    server.client:on_error(function(message) table.insert(server.errors, message) end)
    server.client:on_gap(function(channel) table.insert(server.gaps, channel) end)
    server.client:on("*", "*", function(data, event, channel, position) table.insert(server.heard, { channel, event, data, position.offset }) end)
    function server.run(seconds, fn)
        local over = scheduler.clock() + seconds
        scheduler.task.spawn(fn or function() assert(server.client:open({ "a" })) end)
        scheduler.task.spawn(function() scheduler.task.wait(seconds) end)
        scheduler.run(function() return scheduler.clock() >= over end)
        server.client:close()
    end
    function server.at(n) return server.requests[n].at - server.requests[1].at end
    return server
end

local function is_open(request) return request.method == "POST" and string.find(request.url, "/poll/open", 1, true) end
local opened = { positions = { a = { epoch = "e1", offset = 0 } }, session_id = "s", poll_ms = 250 }
local function quiet(offset, epoch)
    return { events = {}, positions = { a = { epoch = epoch or "e1", offset = offset or 0 } }, poll_ms = 250 }
end
local function event(n, data, name) return { channel = "a", event = name or "e", data = data or tostring(n), offset = n, epoch = "e1" } end

-- --- the tests -------------------------------------------------------------------------------------

test("it opens with its channels and its token, and polls with its positions", function()
    local s = rig()
    s.answer = function(request)
        if is_open(request) then return 200, opened end
        s.scheduler.task.wait(25)
        return 200, quiet()
    end
    s.run(60)
    equal(s.requests[1].body, { channels = { "a" } })
    equal(s.requests[1].token, "Bearer t1")
    equal(s.requests[1].url, "http://server/api/v1/pusher/poll/open")
    equal(s.requests[2].url, "http://server/api/v1/pusher/poll?since=a%3Ae1%3A0&wait=25")
    equal(#s.requests, 4)
    equal(s.errors, {})
end)

test("events go to who listens for the channel, the event, or any", function()
    local s = rig()
    local heard = {}
    local function listen(channel, name)
        return s.client:on(channel, name, function(data) table.insert(heard, { channel, name, data }) end)
    end
    listen("a", "e")
    listen("a", "*")
    listen("*", "other")
    listen("b", "e")
    local take_back = listen("a", "e")
    take_back()
    s.answer = function(request, n)
        if is_open(request) then return 200, opened end
        if n > 2 then s.scheduler.task.wait(25) return 200, quiet(3) end
        local answer = quiet(3)
        answer.events = { event(1, '{"x":1}'), event(2, "no json"), event(3, '"text"', "other") }
        return 200, answer
    end
    s.run(10)
    equal(heard, { { "a", "e", { x = 1 } }, { "a", "*", { x = 1 } }, { "a", "e", "no json" }, { "a", "*", "no json" }, { "a", "*", "text" }, { "*", "other", "text" } })
    equal(s.requests[3].url, "http://server/api/v1/pusher/poll?since=a%3Ae1%3A3&wait=25")
end)

test("what comes twice is heard once", function()
    local s = rig()
    s.answer = function(request, n)
        if is_open(request) then return 200, opened end
        local answer = quiet(n)
        answer.events = { event(n - 1), event(n) }
        return 200, answer
    end
    s.run(2)
    for i, one in ipairs(s.heard) do equal(one, { "a", "e", i, i }) end
    assert(#s.heard > 5, "nothing was heard")
end)

test("a lost answer loses nothing", function()
    local s = rig()
    s.answer = function(request, n)
        if is_open(request) then return 200, opened end
        if n == 2 then return nil end -- it was sent, and never came
        local answer = quiet(2)
        if string.find(request.url, "e1%3A0", 1, true) then answer.events = { event(1), event(2) } end
        return 200, answer
    end
    s.run(10)
    equal(s.heard, { { "a", "e", 1, 1 }, { "a", "e", 2, 2 } })
    equal(s.errors, { "poll: HttpError: ConnectFail" })
end)

test("a gap is told, and the position goes on from the newest", function()
    local s = rig()
    s.answer = function(request, n)
        if is_open(request) then return 200, opened end
        if n > 2 then s.scheduler.task.wait(25) return 200, quiet(7, "e2") end
        local answer = quiet(7, "e2")
        answer.gap = { "a" }
        return 200, answer
    end
    s.run(10)
    equal(s.gaps, { "a" })
    equal(s.requests[3].url, "http://server/api/v1/pusher/poll?since=a%3Ae2%3A7&wait=25")
end)

test("a handler that fails is reported, and one that waits holds nothing up", function()
    local s = rig()
    s.client:on("a", "e", function() error("it broke", 0) end)
    s.client:on("a", "e", function() s.scheduler.task.wait(1000) end)
    s.answer = function(request, n)
        if is_open(request) then return 200, opened end
        local answer = quiet(n)
        answer.events = n == 2 and { event(1), event(2) } or {}
        return 200, answer
    end
    s.run(5)
    equal(s.errors, { "a handler failed: it broke", "a handler failed: it broke" })
    equal(#s.heard, 2)
    assert(#s.requests > 10)
end)

test("with answers that come at once it polls as often as the server says", function()
    local s = rig()
    s.answer = function(request)
        if is_open(request) then return 200, opened end
        local answer = quiet()
        answer.poll_ms = 500
        return 200, answer
    end
    s.run(20)
    assert(#s.requests >= 40 and #s.requests <= 43, #s.requests .. " requests")
end)

test("the budget holds for every minute, whatever is sent, and polls leave room for sending", function()
    local s = rig({ budget = 100 })
    local n_sent = 0
    s.answer = function(request)
        if is_open(request) then return 200, opened end
        if request.method == "POST" then n_sent = n_sent + 1 return 200, {} end
        local answer = quiet()
        answer.poll_ms = 50
        return 200, answer
    end
    s.run(600, function()
        assert(s.client:open({ "a" }))
        for _ = 1, 3 do
            s.scheduler.task.spawn(function()
                while true do
                    assert(s.client:send("a", "m", { x = 1 }))
                    s.scheduler.task.wait(0.3)
                end
            end)
        end
    end)
    local first = 1
    local most = 0
    for i, request in ipairs(s.requests) do
        while request.at - s.requests[first].at >= 60 do first = first + 1 end
        most = math.max(most, i - first + 1)
    end
    equal(most, 100)
    assert(#s.requests > 900, "it used " .. #s.requests)
    assert(n_sent > 200, "it sent " .. n_sent)
end)

test("polls alone take four fifths of the budget", function()
    local s = rig({ budget = 100 })
    s.answer = function(request)
        local answer = quiet()
        answer.poll_ms = 50
        return 200, is_open(request) and opened or answer
    end
    s.run(59)
    equal(#s.requests, 80)
end)

test("429 is obeyed: not before Retry-After, whatever the header's case", function()
    for _, name in ipairs({ "retry-after", "Retry-After" }) do
        local s = rig()
        s.answer = function(request, n)
            if is_open(request) then return 200, opened end
            if n == 2 then return 429, { detail = "Rate limit exceeded" }, { [name] = "17" } end
            s.scheduler.task.wait(25)
            return 200, quiet()
        end
        s.run(30)
        equal(s.at(3) - s.at(2), 17.5)
        equal(s.errors, { "poll: status 429, Rate limit exceeded" })
    end
end)

test("failures are met with patience that grows to half a minute, and ends with success", function()
    local s = rig()
    local is_up = false
    s.answer = function(request)
        if is_open(request) then return 200, opened end
        if not is_up then return 503, "down" end
        s.scheduler.task.wait(25)
        return 200, quiet()
    end
    s.scheduler.task.spawn(function()
        s.scheduler.task.wait(150)
        is_up = true
        s.scheduler.task.wait(100)
        is_up = false
    end)
    s.run(320)
    local pauses = {}
    for i = 3, 10 do table.insert(pauses, s.at(i) - s.at(i - 1)) end
    equal(pauses, { 0.75, 1.5, 3, 6, 12, 22.5, 22.5, 22.5 })
    for i = 11, #s.requests - 1 do
        if s.at(i + 1) - s.at(i) == 0.75 then return end -- as at first
    end
    error("it did not begin anew")
end)

test("jitter: two clients do not come back together", function()
    local pauses = {}
    for _, random in ipairs({ 0, 0.9 }) do
        local s = rig({ random = function() return random end })
        s.answer = function(request) if is_open(request) then return 200, opened end return 500, "" end
        s.run(10)
        table.insert(pauses, s.at(3) - s.at(2))
    end
    equal(pauses, { 0.5, 0.95 })
end)

test("401 asks for another token, at once", function()
    local n = 0
    local s = rig({ token = function() n = n + 1 return "t" .. n end })
    s.answer = function(request)
        if is_open(request) then return 200, opened end
        if request.token == "Bearer t1" then return 401, { detail = "Token has expired" } end
        s.scheduler.task.wait(25)
        return 200, quiet()
    end
    s.run(20)
    equal({ s.requests[2].token, s.requests[3].token, s.at(3) - s.at(2), n, s.errors }, { "Bearer t1", "Bearer t2", 0, 2, {} })
end)

test("tokens that do not help are asked for with patience", function()
    local n = 0
    local s = rig({ token = function() n = n + 1 return "t" .. n end })
    s.answer = function(request) if is_open(request) then return 200, opened end return 401, { detail = "Invalid token" } end
    s.run(60)
    assert(n > 3 and n < 10, n .. " tokens")
    equal(s.errors[1], "poll: status 401, Invalid token")
end)

test("a provider that fails is told, and asked again", function()
    local n = 0
    local s = rig({ token = function() n = n + 1 if n < 3 then error("no backend", 0) end return "t" end })
    s.answer = function(request)
        if is_open(request) then return 200, opened end
        s.scheduler.task.wait(25)
        return 200, quiet()
    end
    s.run(20)
    equal(s.errors, { "open: there is no token: no backend", "open: there is no token: no backend" })
    equal(s.requests[1].token, "Bearer t")
end)

test("open says why not, and does not insist on what will not change", function()
    local s = rig()
    s.answer = function() return 422, { detail = { { msg = "The history of a is not kept" } } } end
    local ok, problem
    s.run(10, function() ok, problem = s.client:open({ "a" }) end)
    equal({ ok, problem, #s.requests }, { false, "open: status 422, The history of a is not kept", 1 })
end)

test("open tries again, five times", function()
    local s = rig()
    s.answer = function() return 503, "" end
    local ok, problem
    s.run(100, function() ok, problem = s.client:open({ "a" }) end)
    equal({ ok, problem, #s.requests, #s.errors }, { false, "open: status 503, ", 5, 4 })
end)

test("404 opens again, and that is a gap", function()
    local s = rig()
    s.answer = function(request, n)
        if is_open(request) then return 200, n == 1 and opened or { positions = { a = { epoch = "e9", offset = 4 } }, poll_ms = 250 } end
        if n == 2 then return 404, { detail = "no history" } end
        s.scheduler.task.wait(25)
        return 200, quiet(4, "e9")
    end
    s.run(10)
    equal(s.gaps, { "a" })
    equal(s.requests[4].url, "http://server/api/v1/pusher/poll?since=a%3Ae9%3A4&wait=25")
end)

test("sending: one name for all tries, and an empty payload is left out", function()
    local s = rig()
    local results = {}
    s.answer = function(_, n) if n == 1 then return nil end if n == 2 then return 429, {}, { ["Retry-After"] = "3" } end return 200, { success = true } end
    s.run(30, function()
        results = { { s.client:send("a", "test_message", { x = 1 }) }, { s.client:send(nil, "ping", {}) } }
    end)
    equal(results, { { true, { success = true } }, { true, { success = true } } })
    local first = s.requests[1].body
    equal({ first.message_type, first.channel, first.payload }, { "test_message", "a", { x = 1 } })
    equal({ s.requests[2].body, s.requests[3].body }, { first, first })
    assert(s.at(3) - s.at(2) >= 3)
    local other = s.requests[4].body
    equal({ other.message_type, other.channel, other.payload }, { "ping" })
    assert(other.idempotency_key ~= first.idempotency_key)
end)

test("Roblox's own names are taken where there are any", function()
    local s = rig()
    function s.http:GenerateGUID(wraps) return wraps and "{g}" or "g" end
    s.answer = function() return 200, {} end
    s.run(5, function() s.client:send("a", "m") end)
    equal(s.requests[1].body.idempotency_key, "g")
end)

test("a message that is refused is not sent again", function()
    local s = rig()
    s.answer = function() return 403, { detail = "Insufficient permissions for this channel" } end
    local ok, problem
    s.run(5, function() ok, problem = s.client:send("a", "m") end)
    equal({ ok, problem, #s.requests }, { false, "send: status 403, Insufficient permissions for this channel", 1 })
end)

test("closing: nothing is heard, asked or sent any more", function()
    local s = rig()
    local ok
    s.answer = function(request)
        if is_open(request) then return 200, opened end
        s.scheduler.task.wait(5)
        s.client:close()
        local answer = quiet(1)
        answer.events = { event(1) }
        return 200, answer
    end
    s.run(60, function()
        assert(s.client:open({ "a" }))
        s.scheduler.task.wait(10)
        ok = s.client:send("a", "m")
    end)
    equal({ #s.requests, #s.heard, ok }, { 2, 0, false })
end)

test("a second open joins the channels of before, in the same loop", function()
    local s = rig()
    s.answer = function(request)
        if is_open(request) then
            local name = request.body.channels[1]
            return 200, { positions = { [name] = { epoch = "e1", offset = name == "a" and 0 or 5 } }, poll_ms = 250 }
        end
        s.scheduler.task.wait(2)
        return 200, { events = {}, positions = {}, poll_ms = 250 }
    end
    s.run(20, function()
        assert(s.client:open({ "a" }))
        assert(s.client:open({ "b,c" }))
    end)
    equal(s.requests[4].url, "http://server/api/v1/pusher/poll?since=a%3Ae1%3A0&since=b%2Cc%3Ae1%3A5&wait=25")
    assert(#s.requests < 14, "one loop, not two")
end)

test("what was left is not heard, and the last one ends the loop", function()
    local s = rig()
    s.answer = function(request)
        if is_open(request) then return 200, opened end
        s.scheduler.task.wait(2)
        local answer = quiet(1)
        answer.events = { event(1) }
        return 200, answer
    end
    s.run(20, function()
        assert(s.client:open({ "a" }))
        s.client:leave("a")
    end)
    equal({ #s.requests, #s.heard }, { 2, 0 })
end)

test("offsets are written as whole numbers, however large", function()
    local s = rig()
    s.answer = function(request)
        if is_open(request) then return 200, '{"positions":{"a":{"epoch":"e1","offset":9007199254740991}},"poll_ms":250}' end
        s.scheduler.task.wait(25)
        return 200, quiet(9007199254740991)
    end
    s.run(5)
    equal(s.requests[2].url, "http://server/api/v1/pusher/poll?since=a%3Ae1%3A9007199254740991&wait=25")
end)

print(n_passed .. " passed, " .. n_failed .. " failed")
os.exit(n_failed == 0 and n_passed > 0)
