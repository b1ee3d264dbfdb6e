// npm's @grpc/grpc-js with the published .proto, as a program: its arguments are the .proto, HOST:PORT and how many
// events to stream, of which every tenth is to be denied. What it found is one JSON object on stdout.
"use strict";

const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const [proto, address, count] = process.argv.slice(2);
const definition = loader.loadSync(proto, {keepCase: true, longs: Number, defaults: true});
const {InternodeService} = grpc.loadPackageDefinition(definition).lexmesh.v1;
const options = {"grpc.max_send_message_length": -1};
const client = new InternodeService(address, grpc.credentials.createInsecure(), options);

const unary = (method, request, metadata = new grpc.Metadata()) =>
  new Promise(resolve => client[method](request, metadata, (error, answer) =>
    resolve(error ? {code: grpc.status[error.code], details: error.details} : answer)));

// Bytes that are no message, in place of what the .proto would make.
const raw = (method, bytes) =>
  new Promise(resolve => client.makeUnaryRequest(
    `/lexmesh.v1.InternodeService/${method}`, value => value, value => value, Buffer.from(bytes),
    error => resolve(error ? {code: grpc.status[error.code], details: error.details} : null)));

// Streams events as fast as the server reads them; with what became of them, and how the stream ended.
const stream = events =>
  new Promise(resolve => {
    const call = client.StreamEvents();
    const answers = [];
    call.on("data", answer => answers.push([answer.success, answer.message]));
    call.on("error", () => {});
    call.on("status", status => resolve({code: grpc.status[status.code], answers}));
    const send = () => {
      for (let next = events.next(); !next.done; next = events.next()) {
        if (!call.write(next.value)) {
          call.once("drain", send);
          return;
        }
      }
      call.end();
    };
    send();
  });

function* everyTenthDenied(count) {
  for (let n = 0; n < count; n += 1) {
    const metadata = n % 10 === 9 ? {consent_override: "force"} : {};
    yield {source_node: "node", event_type: "bio_sync", payload: Buffer.from(JSON.stringify({n})), metadata};
  }
}

function* withOneTooBig() {
  yield {event_type: "bio_sync", payload: Buffer.from("1")};
  yield {event_type: "bio_sync", payload: Buffer.alloc(10_000_000, "x")};
}

const main = async () => {
  const reading = {data_type: "sensor_reading", data: Buffer.from("22.5"), metadata: {sensor_id: "s1"}};
  const forced = new grpc.Metadata();
  forced.set("x-note", "use force");
  const forcedBytes = new grpc.Metadata();
  forcedBytes.set("x-note-bin", Buffer.from("use force"));
  process.stdout.write(JSON.stringify({
    health: await unary("HealthCheck", {}),
    reading: await unary("SendData", reading),
    denied: await unary("SendData", {...reading, metadata: {consent_override: "force"}}),
    denied_call: await unary("SendData", reading, forced),
    denied_bytes: await unary("SendData", reading, forcedBytes),
    too_big: await unary("SendData", {...reading, data: Buffer.alloc(10_000_000, "x")}),
    undecodable: await raw("SendData", [0xff, 0xff, 0xff]),
    stream: await stream(everyTenthDenied(Number(count))),
    too_big_in_stream: await stream(withOneTooBig()),
  }) + "\n");
  client.close();
};

main();
