// The dashboard's page: the notebook's view modules over one websocket.
//
// Each view gets a model with anywidget's interface (get, on, off, send) whose state the server
// fills. When the connection is lost, all views are made anew once it is back.

import cluster from "./cluster.js";
import graph from "./graph.js";
import logs from "./logs.js";
import memory from "./memory.js";
import timeline from "./timeline.js";

const MODULES = { cluster, graph, logs, memory, timeline };
const AGAIN = 1000; // ms

class PageModel {
  constructor(kind, socket) {
    this.kind = kind;
    this.socket = socket;
    this.state = { view_id: `page-${kind}-${Math.random()}`, snapshot: {}, style_table: null };
    this.heard = {};
  }

  get(name) {
    return this.state[name];
  }

  on(name, act) {
    (this.heard[name] ??= []).push(act);
  }

  off(name, act) {
    this.heard[name] = (this.heard[name] || []).filter((other) => other !== act);
  }

  send(say) {
    if (this.socket.readyState === WebSocket.OPEN) {
      this.socket.send(JSON.stringify({ view: this.kind, say }));
    }
  }

  tell(name, message) {
    for (const act of this.heard[name] || []) act(message);
  }
}

const status = document.getElementById("state");

function connect() {
  const address = new URL("feed", location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  address.search = location.search;
  const socket = new WebSocket(address);
  const models = new Map(), leave = [];
  socket.onopen = () => {
    status.textContent = "";
    for (const kind of Object.keys(MODULES)) {
      models.set(kind, new PageModel(kind, socket));
      socket.send(JSON.stringify({ view: kind, open: true }));
    }
  };
  socket.onmessage = (event) => {
    const told = JSON.parse(event.data), model = models.get(told.view);
    if (told.ended) status.textContent = `The session has ended. ${told.ended}`;
    if (!model) return;
    if (told.style) {
      model.state.style_table = told.style;
      const el = document.querySelector(`[data-view="${told.view}"]`);
      leave.push(MODULES[told.view].render({ model, el }));
    }
    if (told.snapshot) {
      model.state.snapshot = told.snapshot;
      model.tell("change:snapshot");
    }
    if (told.message) model.tell("msg:custom", told.message);
  };
  socket.onclose = () => {
    for (const act of leave) act();
    status.textContent = "not connected: is the dashboard still running?";
    setTimeout(connect, AGAIN);
  };
}

connect();
