// Messages on their way out: stored as unsent, handed to the server, and again by the page itself until it answers.
//
// In: wa-js's raw messages; the frames `sent` and `refused`; each new connection. Out: WAWebSendMsgChatAction,
// PageOutbox.
// Must not hand a message to the server before it is stored, and not add it to the models in the caller's turn.
//
// Sources: wa-js chat/functions/sendRawMessage.ts (`addAndSendMsgToChat(chat, raw)` gives two promises: the message,
// and `{messageSendResult}`; a refused message resolves), sendFileMessage.ts (waits for `add` of chat.msgs after the
// call and compares the id object). A message without an answer stays at ack 0 and is sent again by the page: known of
// the real page (the clock); that it says so with `again`, so that the server can drop a copy, stands for the real
// server's check of ids.
'use strict';

__d('PageOutbox', [], (_global, require, importNamespace, _module, exports) => {
  const storage = require('PageStorage');
  const { messageOf } = importNamespace('PageMsgRecord');

  /**
   * By order: `{record, settle, stored, handed, handedHere, concluded?}`; `handed` is whether the server may have it already, by
   * this or an earlier document, `handedHere` whether it went out on this connection.
   */
  const waiting = new Map();
  let online = false;

  /** Takes a record that is about to be stored as unsent. `settle` gets what became of it. */
  exports.announce = (record, settle) => {
    waiting.set(record.order, { record, settle, stored: false, handed: false, handedHere: false });
  };

  /** The record is stored: it may go out. */
  exports.submit = (record) => {
    const entry = waiting.get(record.order);
    if (!entry) return; // the device was unlinked meanwhile
    entry.stored = true;
    hand(entry);
  };

  /** The record could not be stored. */
  exports.withdraw = (record) => waiting.delete(record.order);

  /** A connection that knows this device is there: everything unsent goes out, in order. */
  exports.resume = async () => {
    for (const { order, record } of await storage.unsent()) {
      if (!waiting.has(order)) {
        waiting.set(order, { record, settle: () => {}, stored: true, handed: true, handedHere: false });
      }
    }
    online = true;
    for (const order of [...waiting.keys()].sort((a, b) => a - b)) hand(waiting.get(order));
  };

  exports.pause = () => {
    online = false;
    for (const entry of waiting.values()) entry.handedHere = false;
  };

  exports.reset = () => {
    exports.pause();
    waiting.clear();
  };

  exports.onSent = (frame) => conclude(frame.id, 1, { messageSendResult: 'OK', t: frame.t });
  exports.onRefused = (frame) => conclude(frame.id, -1, { messageSendResult: frame.error || 'ERROR_NETWORK' });

  function hand(entry) {
    if (!online || !entry.stored || entry.handedHere || entry.concluded) return;
    const frame = { op: 'send', message: messageOf(entry.record) };
    if (entry.handed) frame.again = true;
    if (require('PageSocket').send(frame)) {
      entry.handed = true;
      entry.handedHere = true;
    }
  }

  async function conclude(id, ack, outcome) {
    // The same id can be on its way twice: answers come in the order of the sends.
    const entry = [...waiting.values()].find((each) => each.handedHere && !each.concluded && each.record.id === id);
    // Before the wait, in which the next answer may come.
    if (entry) entry.concluded = true;
    await storage.write(async (stores) => {
      if (entry) stores.unsent.delete(entry.record.order);
      await storage.raiseAck(stores, [id], ack);
    });
    if (!entry) return;
    waiting.delete(entry.record.order);
    const msg = importNamespace('WAWebMsgCollection').MsgCollection.get(entry.record.key);
    if (msg && (ack > msg.ack || (ack < 0 && msg.ack <= 0))) msg.ack = ack;
    entry.settle(outcome);
  }
});

__d('WAWebSendMsgChatAction', [], (_global, require, importNamespace, _module, exports) => {
  const storage = require('PageStorage');
  const { recordOfRaw } = importNamespace('PageMsgRecord');
  const { Msg } = importNamespace('WAWebMsgModel');

  exports.addAndSendMsgToChat = (chat, raw) => {
    const record = recordOfRaw(raw);
    const { promise: outcome, resolve, reject } = Promise.withResolvers();
    const outbox = require('PageOutbox');
    outbox.announce(record, resolve);
    const message = add(chat, raw, record).then((msg) => {
      outbox.submit(record);
      return msg;
    });
    outcome.catch(() => {}); // who waits for the message alone hears of the error there
    message.catch((error) => {
      outbox.withdraw(record);
      reject(error);
    });
    return [message, outcome];
  };

  async function add(chat, raw, record) {
    await storage.write(async (stores, result) => {
      stores.unsent.put({ order: record.order, record });
      if (!(await result(stores.messages.get(record.key)))) stores.messages.put(record);
      const known = await result(stores.chats.get(record.chat));
      stores.chats.put({ ...(known ?? newChat(chat)), t: Math.max(known?.t ?? 0, record.t) });
    });
    const { MsgCollection } = importNamespace('WAWebMsgCollection');
    const known = MsgCollection.get(raw.id);
    if (known) return known; // observed with wa-js: the same id is sent again, without a guard
    const msg = new Msg({ ...raw, order: record.order });
    chat.msgs.add(msg);
    chat.noteMsg(msg);
    if ((chat.t ?? 0) < record.t) {
      chat.t = record.t;
      chat.collection?.sort();
    }
    return MsgCollection.add(msg);
  }

  const newChat = (chat) => ({
    id: String(chat.id),
    name: chat.name ?? '',
    unread: 0,
    group: chat.id.isGroup(),
    participants: [],
  });
});
