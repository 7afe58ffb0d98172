// What the server has for this device: stored first, then acknowledged, then shown to the models.
//
// In: `item` and `history` frames. Out: PageInbox (`applyItems`, `applyHistory`).
// Must not say `got` before the transaction is complete, and must not take the same number twice.
//
// Sources: the order (stored, acknowledged, then seen by the models) is assumed of the real page; it follows from what
// is known: a message that the page has acknowledged is not sent again, and after a crash it is found in the store
// only.
// History comes with isNewMsg false, waiting messages with true (wa-js registerNewMessageEvent.ts; whatsapp-web.js).
'use strict';

__d('PageInbox', [], (_global, require, importNamespace, _module, exports) => {
  const storage = require('PageStorage');
  const { recordOf } = importNamespace('PageMsgRecord');
  const { attributesOf } = importNamespace('PageMsgRecord');
  const { createWid } = importNamespace('WAWebWidFactory');

  /** Stores the items of one run together. */
  exports.applyItems = (frames) =>
    store(frames, async (frame, stores, result, effects) => {
      const { kind } = frame.item;
      if (!(kind in KINDS)) {
        console.error(`an item of the unknown kind ${kind}`);
        return;
      }
      await KINDS[kind](frame.item, stores, result, effects);
    });

  /** Stores all chats of the phone at the moment of linking. */
  exports.applyHistory = (frame) =>
    store([frame], async ({ chats }, stores, result, effects) => {
      for (const { messages, ...chat } of chats) {
        stores.chats.put(chat);
        const records = messages.map(recordOf);
        for (const record of records) stores.messages.put(record);
        effects.push(() => show(chat, records, false));
      }
    });

  async function store(frames, apply) {
    const effects = [];
    await storage.write(async (stores, result) => {
      effects.length = 0; // a write may run twice
      for (const frame of frames) {
        if (await storage.noteItem(stores, frame.n)) await apply(frame, stores, result, effects);
      }
    });
    for (const { n } of frames) require('PageSocket').send({ op: 'got', n });
    for (const effect of effects) effect();
  }

  /** Puts a chat and messages of it before the models. Through the namespace, because wa-js wraps the method. */
  function show(chat, records, isNewMsg) {
    importNamespace('WAWebChatCollection').ChatCollection.put(chat);
    const { ContactCollection } = importNamespace('WAWebContactCollection');
    for (const { from_me: own, author, name } of records) {
      if (!own && author) ContactCollection.note(author, { pushname: name });
    }
    void importNamespace('WAWebMsgCollection').MsgCollection.processMultipleMessages(
      createWid(chat.id),
      records.map((record) => attributesOf(record, isNewMsg)),
    );
  }

  const KINDS = {
    async message({ message }, stores, result, effects) {
      const record = recordOf(message);
      const known = await result(stores.messages.get(record.key));
      // source: observed with wa-js: a stanza that comes twice makes one event, a ciphertext gets its content later
      if (known && !(known.type === 'ciphertext' && record.type !== 'ciphertext')) return;
      if (known) record.order = known.order;
      if (!record.from_me) await adoptQuoted(record, stores, result);
      stores.messages.put(record);

      const isGroup = createWid(record.chat).isGroup();
      const chat = (await result(stores.chats.get(record.chat))) ?? {
        id: record.chat,
        name: '',
        unread: 0,
        group: isGroup,
        participants: [],
        t: 0,
      };
      chat.t = Math.max(chat.t, record.t);
      if (!record.from_me) {
        const counts = importNamespace('WAWebMsgUnread').getIsUnreadType(record);
        if (!known && counts) chat.unread = Math.max(chat.unread, 0) + 1;
        if (isGroup) stores.contacts.put({ id: record.author, pushname: record.name });
        else chat.pushname = record.name;
      }
      stores.chats.put(chat);
      effects.push(() => show(chat, [record], true));
    },

    async receipt(receipt, stores, _result, effects) {
      await storage.raiseAck(stores, receipt.ids, receipt.level ?? receipt.ack);
      effects.push(() => {
        const from = createWid(receipt.chat);
        const handlers = importNamespace('WAWebHandleSimpleReceipt');
        const handle = from.isGroup() ? 'handleGroupSimpleReceipt' : 'handleChatSimpleReceipt';
        void handlers[handle]({
          type: 'receipt',
          stanzaId: receipt.ids[0],
          externalIds: receipt.ids,
          from,
          // source: wa-js registerAckMessageEvent.ts: who has it is named in groups only
          participant: from.isGroup() ? createWid(receipt.sender) : null,
          recipient: null,
          ts: receipt.t,
          ack: receipt.ack,
          ackString: receipt.ack === 3 ? 'read' : 'delivery',
          offline: null,
          level: receipt.level ?? receipt.ack,
        });
      });
    },

    async group({ chat: { messages: _messages, ...chat } }, stores, result, effects) {
      const known = await result(stores.chats.get(chat.id));
      stores.chats.put({ ...known, ...chat });
      effects.push(() => {
        if (known) tellMembers(known, chat);
        importNamespace('WAWebChatCollection').ChatCollection.put({ ...known, ...chat });
      });
    },

    change: (item, stores, result, effects) => require('PageDeeds').take(item, stores, result, effects),

    async chat({ chat: { messages: _messages, ...chat } }, stores, result, effects) {
      const known = await result(stores.chats.get(chat.id));
      const merged = { ...known, ...chat };
      stores.chats.put(merged);
      effects.push(() => importNamespace('WAWebChatCollection').ChatCollection.put(merged));
    },
  };

  /** Who wrote the message that this one answers, where the answer does not say. */
  async function adoptQuoted(record, stores, result) {
    if (!record.quoted || record.quoted.author) return;
    const [original] = await result(stores.messages.index('id').getAll(record.quoted.id));
    const { me } = importNamespace('PageAccount');
    record.quoted.author = original?.from_me ? me().wid : (original?.author ?? original?.from ?? record.chat);
  }

  /** One change for those who came and one for those who went (source: wa-js registerParticipantsChangedEvent.ts). */
  function tellMembers(before, after) {
    const ids = (chat) => (chat.participants ?? []).map((each) => each.id);
    const changes = {
      add: ids(after).filter((id) => !ids(before).includes(id)),
      remove: ids(before).filter((id) => !ids(after).includes(id)),
    };
    for (const [actionType, list] of Object.entries(changes)) {
      if (list.length) {
        void importNamespace('WAWebDBUpdateGroup').updateDBForGroupAction(
          { chatId: createWid(after.id), author: undefined, pushname: undefined, ts: after.t, actions: [] },
          { action: actionType, actionType, participants: list.map(createWid), isInvite: false, reason: '' },
        );
      }
    }
  }
});
