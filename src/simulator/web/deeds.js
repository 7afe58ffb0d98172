// What is done with messages that are there: reactions, edits, taking back; here and by others.
//
// In: calls of wa-js; items `change` from PageInbox. Out: WAWebSendReactionsMsgAction, WAWebReactionsMsgAction,
// WAWebMsgActionCapability, WAWebSendMessageEditAction, PageDeeds (own).
// Must not show a change of its own before the server has taken it.
//
// Sources: wa-js src/whatsapp/functions/sendReactionToMsg.ts, createOrUpdateReactions.ts (the name of the module, and the
// shape of what it takes: chat/events/registerReactionsEvent.ts), canEditMsg.ts and canEditCaption.ts (`canEditText`,
// `canEditCaption`), addAndSendMessageEdit.ts, registerEditedMessageEvent.ts (`change:latestEditMsgKey`),
// registerRevokeMessageEvent.ts (a `protocol` message with the subtype of the revoke goes through
// processMultipleMessages), misc/Cmd.ts (`sendRevokeMsgs(chat, {type, list}, options)` since 2.3000). That the page waits
// for the server before it shows a change is assumed; so is the type `revoked` of what was taken back.
'use strict';

__d('PageDeeds', [], (_global, require, importNamespace, _module, exports) => {
  const storage = require('PageStorage');
  const MsgKey = require('WAWebMsgKey');

  /** Asks the server to do it; rejects if it was not done. */
  exports.order = async (msg, change) => {
    const answer = await require('PageSocket').ask('change', {
      chat: String(msg.id.remote),
      message: msg.id.id,
      change,
    });
    if (!answer.exists) throw new Error('ERROR_UNKNOWN');
    const { me } = importNamespace('PageAccount');
    const by = me().wid;
    await storage.write(async (stores, result) => {
      for (const record of await recordsOf(stores, result, String(msg.id.remote), msg.id.id)) {
        stores.messages.put(changed(record, by, change));
      }
    });
    show({ id: msg.id.id, by, change, t: Math.floor(Date.now() / 1000) }, [msg]);
  };

  /** A change that the server tells of: stored with the item, then shown. */
  exports.take = async (item, stores, result, effects) => {
    const records = await recordsOf(stores, result, item.chat, item.id);
    for (const record of records) stores.messages.put(changed(record, item.by, item.change));
    effects.push(() => {
      const { MsgCollection } = importNamespace('WAWebMsgCollection');
      const models = records.map((record) => MsgCollection.get(record.key)).filter(Boolean);
      tell(item, records);
      show(item, models);
    });
  };

  async function recordsOf(stores, result, chat, id) {
    const found = await result(stores.messages.index('id').getAll(id));
    return found.filter((record) => record.chat === chat);
  }

  function changed(record, by, change) {
    if (change.kind === 'edit') {
      return { ...record, [record.media ? 'caption' : 'body']: change.body, edited: true };
    }
    if (change.kind === 'revoke') return { ...record, type: 'revoked', body: '', caption: '', media: undefined };
    const reactions = { ...record.reactions, [by]: change.emoji };
    if (!change.emoji) delete reactions[by];
    return { ...record, reactions };
  }

  function show({ by, change }, models) {
    for (const msg of models) {
      if (change.kind === 'edit') {
        msg.set({ [msg.mediaData ? 'caption' : 'body']: change.body });
        msg.set({ latestEditMsgKey: new MsgKey({ fromMe: msg.id.fromMe, remote: msg.id.remote, id: newId() }) });
      } else if (change.kind === 'revoke') {
        msg.set({ type: 'revoked', body: '', caption: undefined, mediaData: undefined });
      } else {
        const reactions = { ...msg.reactions, [by]: change.emoji };
        if (!change.emoji) delete reactions[by];
        msg.set({ reactions });
      }
    }
  }

  const newId = () => `3EB0${importNamespace('WARandomHex').randomHex(9)}`;

  /** What others did is told through the functions that wa-js wraps. */
  function tell({ by, change, t }, records) {
    const { createWid } = importNamespace('WAWebWidFactory');
    for (const record of records) {
      const parent = MsgKey.fromString(record.key);
      const remote = parent.remote;
      const participant = remote.isGroup() ? createWid(by) : undefined;
      const key = new MsgKey({ fromMe: false, remote, id: newId(), participant });
      if (change.kind === 'react') {
        importNamespace('WAWebReactionsMsgAction').addOrUpdateReactionsModelCollection(
          {
            msgKey: String(key),
            parentMsgKey: record.key,
            reactionText: change.emoji,
            senderUserJid: by,
            orphan: 0,
            read: false,
            t,
          },
          true,
        );
      } else if (change.kind === 'revoke') {
        void importNamespace('WAWebMsgCollection').MsgCollection.processMultipleMessages(remote, [
          {
            id: key,
            type: 'protocol',
            subtype: by === (record.author ?? record.from) ? 'sender_revoke' : 'admin_revoke',
            protocolMessageKey: parent,
            author: createWid(by),
            from: createWid(record.from),
            to: createWid(record.to),
            isNewMsg: true,
          },
        ]);
      }
    }
  }
});

__d('WAWebSendReactionsMsgAction', [], (_global, require, _import, _module, exports) => {
  exports.sendReactionToMsg = async (msg, emoji) => {
    await require('PageDeeds').order(msg, { kind: 'react', emoji });
    return 'OK';
  };
});

__d('WAWebReactionsMsgAction', [], (_global, _require, _import, _module, exports) => {
  // The models are changed by PageDeeds; what is known of the real function is its name and what it takes.
  exports.addOrUpdateReactionsModelCollection = async () => {};
});

__d('WAWebMsgActionCapability', [], (_global, _require, _import, _module, exports) => {
  const EDITABLE_S = 15 * 60;
  const isYoung = (msg) => Date.now() / 1000 - msg.t <= EDITABLE_S;
  exports.canEditText = (msg) => msg.id.fromMe && msg.type === 'chat' && isYoung(msg);
  exports.canEditCaption = (msg) => msg.id.fromMe && Boolean(msg.mediaData) && isYoung(msg);
});

__d('WAWebSendMessageEditAction', [], (_global, require, _import, _module, exports) => {
  exports.addAndSendMessageEdit = (msg, raw) => require('PageDeeds').order(msg, { kind: 'edit', body: raw.body });
});
