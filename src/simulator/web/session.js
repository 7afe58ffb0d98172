// The course of a session: code, pairing, sync, main; lost connections; conflict; logout.
//
// In: the profile's login, frames of the server, commands of Socket and Cmd. Out: PageSession; it sets Conn, Socket,
// Stream.
// Must not touch messages: those are PageInbox and PageOutbox.
//
// Sources: the order of states at a scan, at a restored login and at a logout is the timeline observed with wa-js 4.6
// (require_auth and QR; PAIRING, SYNCING, OPENING, code gone, main_loaded, SYNCING, MAIN, NORMAL; logout_reason,
// logout, require_auth, QR, navigation). `?post_logout=1`: whatsapp-web.js. Everything about lost connections is
// assumed.
'use strict';

__d('PageSession', [], (_global, require, importNamespace, _module, exports) => {
  const account = require('PageAccount');
  const storage = require('PageStorage');
  const socket = require('PageSocket');
  const inbox = require('PageInbox');
  const outbox = require('PageOutbox');
  const { Conn } = importNamespace('WAWebConnModel');
  const { Socket } = importNamespace('WAWebSocketModel');
  const { Stream } = importNamespace('WAWebStreamModel');
  const { Cmd } = importNamespace('WAWebCmd');

  // assumed: how many messages of each chat are in memory from the start
  const LOADED_PER_CHAT = 50;
  // assumed: a connection that is away this long is called a timeout
  const TIMEOUT_MS = 20_000;
  // assumed: time for the listeners of a logout before the document goes
  const LEAVE_MS = 200;

  let device = null;
  let timeout = null;
  let leaving = false;

  exports.start = async () => {
    try {
      await storage.open();
    } catch (error) {
      const { BackendEvent, BackendEventBus } = importNamespace('WAWebBackendEventBus');
      BackendEventBus.trigger(BackendEvent.STORAGE_INITIALIZATION_ERROR, error);
      throw error;
    }
    const login = await storage.login();
    const key = account.readKey();
    if (login && key?.id === login.id) {
      await restore(login, key);
    } else {
      await forget(); // one part without the other is no login
      Stream.set({ mode: 'QR' });
    }
    importNamespace('WAWebNetworkStatus').default.on('change:online', (_model, online) => {
      if (online && !leaving && Socket.state !== 'CONFLICT') socket.restart();
    });
    socket.connect({ onConnecting, hello: () => ({ op: 'hello', device }), onFrames, onClosed });
  };

  async function restore(login, key) {
    device = { id: key.id, key: key.key };
    account.setMe(login.me);
    Stream.set({ mode: 'SYNCING', info: 'OPENING' });
    noteMe();
    const { ContactCollection } = importNamespace('WAWebContactCollection');
    for (const { id, pushname } of await storage.contacts()) ContactCollection.note(id, { pushname });
    const { ChatCollection } = importNamespace('WAWebChatCollection');
    const { MsgCollection } = importNamespace('WAWebMsgCollection');
    const { attributesOf } = importNamespace('PageMsgRecord');
    for (const chat of await storage.chats()) {
      const model = ChatCollection.put(chat);
      const records = await storage.messagesOf(chat.id, { count: LOADED_PER_CHAT });
      await MsgCollection.processMultipleMessages(
        model.id,
        records.map((record) => attributesOf(record, false)),
      );
    }
    Cmd.mainLoaded();
  }

  function noteMe() {
    const me = account.me();
    if (me.lid) importNamespace('WAWebApiContact').lidPnCache.add(me.lid, { lid: me.lid, phoneNumber: me.wid });
    importNamespace('WAWebContactCollection').ContactCollection.note(me.wid, { pushname: me.name });
    Conn.set({
      wid: importNamespace('WAWebWidFactory').createWid(me.wid),
      pushname: me.name,
      platform: 'android',
      connected: true,
    });
  }

  function onConnecting() {
    Socket.set({ stream: 'DISCONNECTED' });
    if (account.me()) Stream.set({ info: Socket.hasSynced ? 'CONNECTING' : 'OPENING' });
  }

  function onClosed() {
    outbox.pause();
    Socket.set({ stream: 'DISCONNECTED' });
    if (leaving || Socket.state === 'CONFLICT') return;
    if (!account.me()) {
      Conn.set({ ref: undefined }); // a code that the server has forgotten must not be shown
      Socket.set({ state: 'OPENING' });
      return;
    }
    if (Socket.state !== 'TIMEOUT') Socket.set({ state: 'OPENING' });
    Stream.set({ info: 'OFFLINE' });
    timeout ??= setTimeout(() => {
      Socket.set({ state: 'TIMEOUT' });
      Stream.set({ mode: 'OFFLINE' });
    }, TIMEOUT_MS);
  }

  async function onFrames(frames) {
    const [{ op }] = frames;
    if (leaving) return;
    if (op === 'item') await inbox.applyItems(frames);
    else if (op === 'sent') await Promise.all(frames.map(outbox.onSent));
    else if (op in FRAMES) for (const frame of frames) await FRAMES[op](frame);
    else console.error(`a frame of the unknown kind ${op}`);
  }

  const FRAMES = {
    async qr(frame) {
      Socket.set({ state: 'UNPAIRED' });
      Stream.set({ mode: 'QR' });
      Conn.set({ refTTL: frame.ttl, ref: frame.ref });
    },

    async idle() {
      Conn.set({ ref: undefined });
      Socket.set({ state: 'UNPAIRED_IDLE' });
    },

    async pairing() {
      Socket.set({ state: 'PAIRING' });
      Stream.set({ info: 'PAIRING' });
    },

    async paired(frame) {
      device = frame.device;
      account.writeKey(device);
      await storage.write(async (stores) => stores.login.put({ id: device.id, me: frame.me }, 'device'));
      account.setMe(frame.me);
      Stream.set({ mode: 'SYNCING' });
      Stream.set({ info: 'OPENING' });
      noteMe();
      Conn.set({ ref: undefined });
      Socket.set({ state: 'CONNECTED', stream: 'SYNCING' });
      Cmd.mainLoaded();
      Stream.set({ info: 'SYNCING' });
    },

    history: (frame) => inbox.applyHistory(frame),

    async welcome(frame) {
      clearTimeout(timeout);
      timeout = null;
      account.setMe(frame.me);
      await storage.write(async (stores) => stores.login.put({ id: device.id, me: frame.me }, 'device'));
      noteMe();
      Socket.set({ state: 'CONNECTED', stream: 'RESUMING' });
      Stream.set({ mode: 'MAIN', info: 'RESUMING' });
      await outbox.resume();
    },

    async synced() {
      Socket.set({ stream: 'CONNECTED', hasSynced: true });
      importNamespace('WAWebHistorySyncProgress').getHistorySyncProgressModel().set({ realProgress: 100 });
      Stream.set({ mode: 'MAIN' });
      Stream.set({ info: 'NORMAL' });
      await outbox.resume();
    },

    refused: (frame) => outbox.onRefused(frame),

    // assumed: the reason that the real page gives when the phone has removed it
    unpaired: () => leave('unknown_companion'),

    async conflict() {
      Socket.set({ state: 'CONFLICT', stream: 'DISCONNECTED' });
      outbox.pause();
      socket.stop();
      Stream.set({ mode: 'CONFLICT' });
    },

    /** The server does not serve this page: `mode` is DEPRECATED_VERSION, TOS_BLOCK, SMB_TOS_BLOCK or PROXYBLOCK. */
    async block(frame) {
      outbox.pause();
      socket.stop();
      Socket.set({ state: frame.mode, stream: 'DISCONNECTED' });
      if (frame.mode === 'DEPRECATED_VERSION') Stream.set({ needsUpdate: true });
      Stream.set({ mode: frame.mode });
    },
  };

  exports.refreshCode = () => socket.send({ op: 'refresh' });

  exports.takeover = () => {
    if (Socket.state !== 'CONFLICT') return;
    Socket.set({ state: 'OPENING' });
    Stream.set({ mode: 'SYNCING', info: 'CONNECTING' });
    socket.connect();
  };

  /** Unlinks this device by the owner's wish. */
  exports.logout = async () => {
    if (leaving || !account.me()) return;
    socket.send({ op: 'logout' });
    await leave('user_initiated');
  };

  async function forget() {
    device = null;
    account.setMe(null);
    account.forgetKey();
    outbox.reset();
    await storage.clear();
  }

  async function leave(reason) {
    if (leaving) return;
    leaving = true;
    clearTimeout(timeout);
    await forget();
    importNamespace('WAWebLogoutReasonUtils').getErrorCodeFromLogoutReason(reason);
    Cmd.logout();
    Socket.set({ state: 'UNPAIRED', stream: 'DISCONNECTED' });
    Stream.set({ mode: 'QR' });
    setTimeout(() => {
      socket.stop();
      location.assign('/?post_logout=1&logout_reason=0');
    }, LEAVE_MS);
  }
});
