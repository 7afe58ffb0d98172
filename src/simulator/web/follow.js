// A page gone bad: follows each link of each message in every way that a page has to reach out. Only with the fault
// `follow_links`, which also serves the page without its policy.
//
// In: messages as they enter the models. Out: attempts, then one `POST /control/followed` for each link. A link with a
// name is followed under a name of its own for each way, `WAY.NAME`, so that a recorder can tell the ways apart.
// Must not be part of the usual page.
//
// Source: none; the real page does not do this. It stands for a page that was tampered with.
'use strict';

(() => {
  const PATIENCE_MS = 4000;
  const HINT_MS = 500; // nothing tells what became of a hint

  const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const settled = (target, ...names) =>
    new Promise((resolve) => {
      for (const name of names) target.addEventListener(name, resolve);
    });

  function hint(rel, url) {
    const link = document.createElement('link');
    link.rel = rel;
    link.href = url;
    document.head.append(link);
    return sleep(HINT_MS);
  }

  const WAYS = {
    fetch: (url) => fetch(url, { mode: 'no-cors' }),
    image(url) {
      const image = new Image();
      image.src = url;
      return settled(image, 'load', 'error');
    },
    socket: (url) => settled(new WebSocket(url.replace(/^http/, 'ws')), 'open', 'close'),
    worker(url) {
      const script = `fetch(${JSON.stringify(url)}, { mode: 'no-cors' }).finally(() => postMessage(0)).catch(() => {})`;
      return settled(new Worker(URL.createObjectURL(new Blob([script]))), 'message');
    },
    prefetch: (url) => hint('dns-prefetch', url),
    preconnect: (url) => hint('preconnect', url),
    async stun(url) {
      const { hostname, port } = new URL(url);
      const at = `${hostname}:${port || 3478}`;
      const account = { username: 'x', credential: 'x' };
      const peer = new RTCPeerConnection({
        iceServers: [
          { urls: `stun:${at}` },
          { urls: `turn:${at}`, ...account },
          { urls: `turn:${at}?transport=tcp`, ...account },
        ],
      });
      peer.createDataChannel('x');
      await peer.setLocalDescription();
      await sleep(PATIENCE_MS);
      peer.close();
    },
  };

  function named(link, way) {
    const url = new URL(link);
    if (/[a-z]/i.test(url.hostname)) url.hostname = `${way}.${url.hostname}`;
    return url.href;
  }

  async function follow(link) {
    const tries = Object.entries(WAYS).map(async ([way, go]) => go(named(link, way)));
    await Promise.allSettled(tries.map((each) => Promise.race([each, sleep(PATIENCE_MS + 1000)])));
    await fetch('/control/followed', { method: 'POST' });
  }

  async function start() {
    // The registry is filled in batches; a look into it by name runs no module.
    while (!window.require?.('__debug').modulesMap.PageSession) await sleep(50);
    importNamespace('WAWebMsgCollection').MsgCollection.on('add', (msg) => {
      for (const link of String(msg.body ?? '').match(/https?:\/\/\S+/g) ?? []) void follow(link);
    });
  }

  void start();
})();
