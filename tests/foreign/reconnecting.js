// A client of a gateway by the WebSocket interface of browsers, which npm's `ws` has too. It comes back when the
// connection ends, sends its opening frames each time, and reports all that happens. A frame is {text} or {binary: base64}.
"use strict";

const PAUSE = 50;  // ms until the next attempt

function toBytes(base64) {
  return Uint8Array.from(atob(base64), character => character.charCodeAt(0));
}

function toFrame(data) {
  if (typeof data === "string") return {text: data};
  return {binary: btoa(Array.from(new Uint8Array(data), byte => String.fromCharCode(byte)).join(""))};
}

// Returns a function that sends a frame on the connection of the moment.
function reconnecting(WebSocket, {url, subprotocol, opening}, report) {
  let socket;
  const send = frame => socket.send("text" in frame ? frame.text : toBytes(frame.binary));

  function connect() {
    let opened = false, failed = false;
    socket = subprotocol ? new WebSocket(url, subprotocol) : new WebSocket(url);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      opened = true;
      opening.forEach(send);
      report({event: "open", subprotocol: socket.protocol, extensions: socket.extensions});
    };
    socket.onmessage = message => report({event: "message", ...toFrame(message.data)});
    socket.onerror = () => { failed = true; };
    socket.onclose = end => {
      report(opened ? {event: "close", code: end.code} : {event: "failed", by_error: failed});
      setTimeout(connect, PAUSE);
    };
  }

  connect();
  return send;
}

if (typeof module !== "undefined") module.exports = reconnecting;
