// npm's `ws` as a program: the argument says where to connect, each line of stdin is a frame to send, each line of
// stdout a report. It ends with its stdin.
"use strict";

const readline = require("node:readline");
const reconnecting = require("./reconnecting.js");
const {WebSocket} = require("ws");

const report = what => process.stdout.write(JSON.stringify(what) + "\n");
const send = reconnecting(WebSocket, JSON.parse(process.argv[2]), report);
const orders = readline.createInterface({input: process.stdin});
orders.on("line", line => send(JSON.parse(line)));
orders.on("close", () => process.exit(0));
