-- live.lua - the module against a server, told by its arguments what to do; whoever runs it reads
-- what happened, one JSON object a line.
--
--   lua5.4 live.lua '{"url":..,"channels":[..],"tokens":[..],"send":{"channel":..,"type":..,"payload":..}}'
--
-- It ends with an event called "end".
local folder = string.match(arg[0], "^(.*)/[^/]*$")
package.path = folder .. "/?.lua;" .. folder .. "/../?.lua;" .. package.path
local json = require("cjson")
local Carillon = require("carillon")
local Standins = require("standins")

local plan = json.decode(arg[1])
local scheduler = Standins.real()
local is_over = false
local n_tokens = 0

local function say(what)
    io.write(json.encode(what), "\n")
    io.flush()
end

local client = Carillon.new({
    url = plan.url,
    http = Standins.http(scheduler),
    task = scheduler.task,
    clock = require("socket").gettime,
    wait = plan.wait,
    token = function()
        n_tokens = math.min(n_tokens + 1, #plan.tokens)
        say({ token = n_tokens })
        return plan.tokens[n_tokens]
    end,
})

client:on_gap(function(channel) say({ gap = channel }) end)
client:on_error(function(message) say({ error = message }) end)
client:on("*", "*", function(data, event, channel, position)
    say({ event = event, channel = channel, data = data, offset = position.offset })
    if event == "end" then
        client:close()
        is_over = true
    end
end)

scheduler.task.spawn(function()
    local ok, problem = client:open(plan.channels)
    say({ open = ok, problem = problem })
    is_over = not ok
    if ok and plan.send then
        local sent, answer = client:send(plan.send.channel, plan.send.type, plan.send.payload)
        say({ sent = sent, answer = answer })
    end
end)
scheduler.run(function() return is_over end)
say({ requests = client.last_request })
